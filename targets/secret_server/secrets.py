"""A secret as the vault holds it: its values, its security, and what has happened to it. No rules: see `gate`."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from targets.faults import SecretState
from targets.material import Material, public_line
from targets.secret_server.templates import TEMPLATES, Field, Template, TemplateName
from targets.vault_spec import SecuritySpec

_FILE_NAMES = {"private-key": "id_ed25519", "public-key": "id_ed25519.pub"}


class Heartbeat(StrEnum):
    """Whether the secret's password opens its account, as the last check found it."""

    PENDING = "Pending"
    SUCCESS = "Success"
    FAILED = "Failed"
    UNABLE_TO_CONNECT = "UnableToConnect"
    ACCOUNT_LOCKED = "AccountLockedOut"
    DISABLED = "Disabled"
    PROCESSING = "Processing"
    UNKNOWN = "UnknownError"


@dataclass(frozen=True, slots=True)
class AuditRow:
    id: int
    secret_id: int
    action: str
    user: str
    user_id: int
    recorded: datetime
    notes: str = ""
    ticket: str = ""
    address: str = ""
    """Whence; SOAP shows it, REST does not."""


@dataclass(frozen=True, slots=True)
class Checkout:
    user_id: int
    user: str
    until: float
    """Seconds of the vault's clock."""


@dataclass(slots=True)
class StoredSecret:
    id: int
    name: str
    template_name: TemplateName
    folder: str
    folder_id: int
    user: str
    machine: str
    domain: str
    material: Material
    holds_key: bool
    state: SecretState
    security: SecuritySpec
    password_too: bool = False
    """Beside the key it holds the password, which sudo asks for."""
    holds_hash: bool = False
    """In the place of the password: its NT hash."""
    active: bool = True
    """False after DELETE; a state of `inactive` is as good."""
    checkout: Checkout | None = None
    changing: bool = False
    """A password change has been ordered and has not ended."""
    comments: dict[int, float] = field(default_factory=dict)
    """By user id: until when the comment that was given serves."""
    edited: dict[str, str] = field(default_factory=dict)
    """Values written through the API, by slug."""
    attached: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    """Files (name, content) uploaded through the API, by slug."""
    expired: bool = False
    heartbeat: Heartbeat = Heartbeat.PENDING
    heartbeat_at: datetime | None = None
    changed_at: datetime | None = None
    audits: list[AuditRow] = field(default_factory=list)
    """Oldest first."""

    @property
    def shown_active(self) -> bool:
        return self.active and self.state is not SecretState.INACTIVE

    @property
    def path(self) -> str:
        return f"{self.folder}\\{self.name}" if self.folder != "\\" else f"\\{self.name}"

    @property
    def template(self) -> Template:
        return TEMPLATES[self.template_name]

    @property
    def needs_comment(self) -> bool:
        return self.security.comment or bool(self.security.ticket) or self.state is SecretState.COMMENT

    @property
    def restricted(self) -> bool:
        """Its security asks for more than a right to view."""
        asks = self.security
        return self.needs_comment or asks.checkout or bool(asks.approvers) or bool(asks.double_lock)

    def text(self, what: Field) -> str:
        """The value of a field that is no file."""
        if what.slug in self.edited:
            return self.edited[what.slug]
        match what.slug:
            case "machine":
                return self.machine
            case "domain":
                return self.domain
            case "username":
                return self.user
            case "password":
                if self.holds_hash:
                    return self.material.nt_hash
                return self.material.password if self.password_too or not self.holds_key else ""
            case "private-key-passphrase":
                return self.material.passphrase if self.holds_key else ""
        return ""

    def item_id(self, what: Field) -> int:
        """A field of this secret, and of no other."""
        return self.id * 100 + what.id % 100

    def has_file(self, what: Field) -> bool:
        return what.is_file and (self.holds_key or what.slug in self.attached)

    def file_name(self, what: Field) -> str | None:
        if not self.has_file(what):
            return None
        return self.attached[what.slug][0] if what.slug in self.attached else _FILE_NAMES[what.slug]

    def file(self, what: Field) -> bytes | None:
        """An attachment's bytes, made when they are asked for; None where nothing is attached."""
        if not self.has_file(what):
            return None
        if what.slug in self.attached:
            return self.attached[what.slug][1]
        if what.slug == "public-key":
            return f"{public_line(self.material.private_bytes)} {self.user}\n".encode()
        return self.material.private_key_file()
