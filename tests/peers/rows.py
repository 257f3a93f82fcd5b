"""What a server does to a user, as a row: for the real server, and for the simulated host that claims to do the same.

A row names a user of the real server (`sshd.py`, `smbd.py`), what the vault holds for it, and the group of an estate
that is its counterpart; what comes of an attempt must be the same at both. `test_rows` makes the attempts, and
`tests/acceptance` a campaign. The rows themselves are in `unix_rows` and `windows_rows`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from Cryptodome.Hash import MD4

from appliance.contract import CryptoProfile, HostKeyPolicy, Phase, RootBy, Selection, Technology
from appliance.vault.credential import Credential

WRONG = "not it"


class Password(StrEnum):
    """What the vault holds instead of a key."""

    RIGHT = "right"
    WRONG = "wrong"
    EMPTY = "empty"

    def given(self, right: str) -> str:
        return {Password.RIGHT: right, Password.WRONG: WRONG, Password.EMPTY: ""}[self]


@dataclass(frozen=True, slots=True)
class Key:
    """A private key in the vault. `form`: plain, passphrase (OpenSSH's), pem, stranger (nobody's) or garbage."""

    form: str
    passphrase: Password = Password.RIGHT
    certificate: str = ""
    """That of the key `plain`: good, expired, early, elsewhere (for another user), unknown (of nobody's authority),
    host (for hosts), another (key's) or garbage."""


class Hash(StrEnum):
    """An NT hash in the vault, and how it is written; GARBAGE is the password, where the record expects its hash."""

    LOWER = "lower"
    UPPER = "upper"
    WITH_LM = "LM:NT"
    WRONG = "wrong"
    EMPTY = "of an empty password"
    GARBAGE = "garbage"

    def given(self, right: str) -> str:
        digest = MD4.new({Hash.WRONG: WRONG, Hash.EMPTY: ""}.get(self, right).encode("utf-16-le")).hexdigest()  # noqa: S303
        if self is Hash.WITH_LM:
            return f"{NO_LM}:{digest}"
        return right if self is Hash.GARBAGE else digest.upper() if self is Hash.UPPER else digest


NO_LM = "aad3b435b51404eeaad3b435b51404ee"
"""What tools print where no LM hash is kept."""


class Known(StrEnum):
    """What has been seen of the host before."""

    NOTHING = "nothing"
    ITS_KEY = "its key"
    ITS_RSA_KEY = "its RSA key"
    ANOTHER_KEY = "another key"
    ITS_CA = "its CA"
    ITS_KEY_AND_CA = "its key and its CA"
    REVOKED = "that its key is revoked"
    REVOKED_CA = "that its CA is revoked"


CA_KNOWN = (Known.ITS_CA, Known.ITS_KEY_AND_CA, Known.REVOKED, Known.REVOKED_CA)


@dataclass(frozen=True, slots=True)
class Simulated:
    """The group of an estate (targets/spec.py) whose host does the same."""

    fault: str = "none"
    login: str = "password"
    system: str = ""
    locks: bool = False
    """It asks a directory, which locks as the real server does."""
    root: str = "free"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    technology: Technology
    name: str
    """What the server does to the user."""
    user: str
    reason: str
    logons: tuple[str, ...] = ()
    """The verdicts on the attempt, as the real server logs them: `password ok`; of Samba's, the status."""
    simulated: Simulated | str = field(default_factory=Simulated)
    """A text says why no simulated host does it."""
    server: str = ""
    """Of several real ones: one of `sshd.OTHERS`, or of VARIANTS."""
    held: Password | Key | Hash = Password.RIGHT
    submitted: bool = True
    sudo: bool = False
    root: RootBy | None = None
    """Root delegation by a password, which is asked for at the moment."""
    root_user: str = ""
    """Whose password it is; default the user's own for sudo, root's for su."""
    root_held: Password = Password.RIGHT
    root_asked: bool = True
    """A server comes to ask for it."""
    tallied: int = 0
    """So many failures the real server's PAM counts on the way to root."""
    host_keys: HostKeyPolicy = HostKeyPolicy.TOFU
    crypto: CryptoProfile = CryptoProfile.COMPAT
    known: Known = Known.NOTHING
    domain: str = ""
    """The host's own, where it is `own`."""
    selection: Selection = Selection.IP
    locked_first: bool = False
    """So many wrong passwords come first that the account is locked."""
    ends_in: Phase | None = None
    says: str = ""
    """A pattern of the evidence's text."""
    facts: Mapping[str, str | None] = field(default_factory=dict)
    """Patterns of facts that are others than FACTS, or besides them; None: not there. USER stands for the user."""

    @property
    def id(self) -> str:
        return f"{self.technology}: {self.name}"

    @property
    def status(self) -> str:
        """That of a login that ends so, as a report has it."""
        if self.reason == "PASSED":
            return "Passed"
        if self.reason.startswith("PRIV_") or self.reason in ("ADMIN_SHARE_OFF", "REMOTE_REGISTRY_OFF"):
            return "Passed*"
        before_the_login = ("HOST_KEY_", "KEX_", "SMB1_ONLY", "ENCRYPTION_REQUIRED")
        return "Not Attempted" if self.reason.startswith(before_the_login) else "Failed"

    @property
    def qids(self) -> tuple[int, ...]:
        if self.status != "Failed":
            return ()
        if self.technology is Technology.UNIX:
            return (105053,)
        return (105015, 105052) if self.reason == "ACCOUNT_LOCKED" else (105015,)

    @property
    def asks(self) -> bool:
        """A server comes to ask for the credential where it is submitted then, or cannot be used."""
        return self.submitted or self.reason.startswith("SECRET_")

    @property
    def pattern(self) -> dict[str, str]:
        """What each fact that the attempt has must look like."""
        answered = {"authentication": "NTLMv2"} if self.technology is Technology.WINDOWS and self.submitted else {}
        patterns = {**FACTS[self.technology], **answered, **self.facts}
        return {name: pattern for name, pattern in patterns.items() if pattern is not None}


FACTS: Mapping[Technology, Mapping[str, str]] = {
    Technology.UNIX: {
        "banner": r"SSH-2\.0-OpenSSH_\d+\.\d+\S*( \S+)?",
        "version": r"OpenSSH_\d+\.\d+\S*",
        **dict.fromkeys(
            ("kex_offered", "host_keys_offered", "ciphers_offered", "macs_offered"), r"[a-z0-9@.,-]+(\.\.\.)?"
        ),
        "crypto_needed": "modern",
        "kex": "curve25519-sha256",
        "cipher": "aes128-gcm@openssh\\.com",
        "host_key": r"ssh-ed25519 [A-Za-z0-9+/]{68}",
        "host_key_fingerprint": r"SHA256:[A-Za-z0-9+/]{43}",
        "methods": "publickey,password,keyboard-interactive",
    },
    Technology.WINDOWS: {
        "dialect": r"3\.1\.1",
        "signing": "enabled",
        "netbios_host": r"[A-Z0-9]{1,15}",
        "netbios_domain": r"[A-Z0-9]{1,15}",
        "dns_host": r"[a-z0-9.-]+",
        "dns_domain": r"[a-z0-9.-]*",  # Samba's is empty outside of a domain, that of Windows its host's name
    },
}
"""What a host shows of itself before it has been given any credential."""


def credential(
    held: Password | Key | Hash,
    password: str,
    key: Callable[[str], tuple[bytes, str]],
    certificate: Callable[[str], bytes],
) -> Credential:
    """What the vault holds; `key` gives the file and the passphrase of a form, `certificate` that of another."""
    if isinstance(held, Password | Hash):
        return Credential(password=held.given(password))
    if held.form == "garbage":
        return Credential(private_key=b"-----BEGIN GARBAGE-----\n")
    data, passphrase = key(held.form)
    certified = certificate(held.certificate) if held.certificate else b""
    return Credential(private_key=data, passphrase=held.passphrase.given(passphrase), certificate=certified)
