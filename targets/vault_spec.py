r"""The vault's part of estate.toml: `[vault]`, `[[vault.users]]`, and what a secret's Security tab may ask for.

[vault]
user = "svc_scan"
mount = "/SecretServer"
[[vault.users]]
name = "boss"
permissions = ["View Secret", "Force Check In"]
access = { '\' = "list", '\Scan' = "owner" }
addresses = ["127.0.0.0/28", "127.0.1.1-127.0.1.9"]
"""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, PositiveInt, model_validator

from targets.parts import Part, Seconds
from targets.secret_server.rights import DEFAULT_PERMISSIONS, Permission, address_range
from targets.vault_faults import VAULT_FAULTS
from targets.vault_weather import WeatherSpec

_TAKEN = ("_lab", "api", "internals", "oauth2", "platform")
"""What the vault serves at `/` already."""


def _known_vault_fault(name: str) -> str:
    if name not in VAULT_FAULTS:
        raise ValueError(f"unknown vault fault {name!r}; known are {', '.join(VAULT_FAULTS)}")
    return name


def _range(text: str) -> str:
    address_range(text)
    return text


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"is no pattern: {error}") from None
    return text


PatternText = Annotated[str, AfterValidator(_pattern)]
VaultFaultName = Annotated[str, BeforeValidator(_known_vault_fault)]
AddressRangeText = Annotated[str, AfterValidator(_range)]
AccessName = Literal["none", "list", "view", "edit", "owner"]
AccessPath = Annotated[str, Field(pattern=r"^\\([^\\]+(\\[^\\]+)*)?$")]
"""A folder's or secret's path; `\\` is all."""


def _views_all() -> dict[AccessPath, AccessName]:
    return {"\\": "view"}


class TlsSpec(Part):
    certificate: Path
    key: Path


class Where(StrEnum):
    """Who gets a new password."""

    VAULT = "vault"
    HOSTS = "hosts"
    BOTH = "both"


class RotationOrder(StrEnum):
    """Which side has a new password first."""

    VAULT_FIRST = "vault-first"
    HOSTS_FIRST = "hosts-first"


class VaultUserSpec(Part):
    name: Annotated[str, Field(min_length=1)]
    domain: str = ""
    """Not empty: grants must name it, as a field or as `DOMAIN\\user`."""
    password: str = ""
    """Empty: a marker."""
    password_file: Path | None = None
    """The password is what this file holds."""
    permissions: tuple[Permission, ...] = DEFAULT_PERMISSIONS
    access: dict[AccessPath, AccessName] = Field(default_factory=_views_all)
    """What the user may do with secrets, by folder or secret; the longest path that fits counts."""
    addresses: tuple[AddressRangeText, ...] = ()
    """Where the user may come from: `127.0.0.2`, `127.0.0.2-127.0.0.9`, `127.0.0.0/28`. Empty: anywhere."""
    one_time_code: str = ""
    """Not empty: password grants must bring it in the header `OTP`."""
    enabled: bool = True

    @model_validator(mode="before")
    @classmethod
    def _from_file(cls, given: object) -> object:
        if not isinstance(given, dict) or "password_file" not in given:
            return given
        if "password" in given:
            raise ValueError("give `password` or `password_file`, not both")
        file = given["password_file"]
        try:
            password = Path(file).read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, ValueError, TypeError) as error:
            why = error.strerror if isinstance(error, OSError) else "no UTF-8 text"
            raise ValueError(f"cannot read password_file {file}: {why}") from None
        if not password:
            raise ValueError(f"password_file {file} is empty")
        return {**given, "password": password}


class SecuritySpec(Part):
    """What stands between a secret and those who may view it; as on the product's Security tab."""

    checkout: bool = False
    checkout_interval: Seconds = 1800.0
    change_on_checkin: bool = False
    comment: bool = False
    ticket: PatternText = ""
    """A pattern (of Python) that a ticket number must match as a whole; not empty: a view needs one, and a comment."""
    ticket_system: Annotated[int, Field(ge=0)] = 0
    """The only ticket system's id that is taken; 0: any, or none."""
    approvers: tuple[str, ...] = ()
    """Users who answer access requests; not empty: others need their approval."""
    double_lock: str = ""
    """The second password; not empty: values are shown only with it."""
    hide_password: bool = False
    """Only users with View Launcher Password see the password."""
    rotate_every: Seconds = 0.0
    """The password is changed on this schedule; 0: never."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.double_lock and self.checkout:
            raise ValueError("double_lock and checkout cannot be combined")
        if self.change_on_checkin and not self.checkout:
            raise ValueError("change_on_checkin needs checkout = true")
        if 0 < self.rotate_every < 1:
            raise ValueError("rotate_every must be a second at least, or 0 for never")
        return self


class OnboardingSpec(Part):
    """A rule by which an SDK client gets an account of its own."""

    rule: Annotated[str, Field(min_length=1)]
    key: str = ""
    """The onboarding key; empty: none is asked for."""
    user: str
    """The vault user that its clients act as."""
    addresses: tuple[AddressRangeText, ...] = ()


class VaultSpec(Part):
    user: str = "svc_scan"
    domain: str = ""
    """Of `user`. Not empty: grants must name it, as a field or as `DOMAIN\\user`."""
    users: tuple[VaultUserSpec, ...] = ()
    """Further users; one named like `user` says more about that one."""
    onboarding: tuple[OnboardingSpec, ...] = ()
    mount: Annotated[str, Field(pattern=r"^(/[\w.~-]+)*$")] = "/SecretServer"
    """Where the vault is mounted, besides `/`."""
    hostname: Annotated[str, Field(pattern=r"^[A-Za-z0-9.-]+$")] = "127.0.0.1"
    """The name or address that its URL gives it; its certificate is for that one too."""
    port: Annotated[int, Field(ge=0, le=65535)] = 0
    """0: a free one."""
    token_lifetime: Annotated[int, Field(ge=1)] = 1200
    """Seconds; what `expires_in` says."""
    refresh_tokens: bool = False
    login_failures: PositiveInt = 5
    """Failed grants in a row after which a vault user is locked."""
    local_always_allowed: bool = True
    """A restriction by address never refuses 127.0.0.1, as the product documents it."""
    access_denied_status: Literal[400, 403] = 400
    """Both are in the field for API_AccessDenied, depending on the release."""
    v2_passwords: bool = True
    """false: a secret read by v2 comes without its passwords, which are had by field (UNSURE which it is)."""
    v2_null_ids: bool = False
    """true: v2 says null where v1 says -1 for an id that there is not (UNSURE which it does)."""
    error_text: str = ""
    """Not empty: in place of every error's text, as an administrator can have it (ZeroInformationDisclosureMessage)."""
    healthcheck: Literal["json", "text"] = "json"
    """Older releases answer `Healthy`, and nothing else."""
    hidden_password: Literal["blank", "masked"] = "blank"  # noqa: S105 - no password
    """What stands in place of a password that may not be seen (UNSURE which it is)."""
    exposed: tuple[str, ...] = ("machine", "username", "domain")
    """Slugs of the fields that templates expose for display: a search can show these (UNSURE which ones the shipped
    templates do). Passwords, notes and files are never shown."""
    comment_interval: Seconds = 300.0
    """So long a comment serves its user for further views."""
    rotation_order: RotationOrder = RotationOrder.HOSTS_FIRST
    rotation_time: Seconds = 0.0
    """From the order of a password change until the first side has it."""
    rotation_lag: Seconds = 0.0
    """From then until the other side has it."""
    tls: bool | TlsSpec = False
    """true: a certificate is made (its CA is in the ready line)."""
    client_certificates: bool = False
    """Clients must show a certificate of an authority made for it; one is made too: it and its key are in the ready
    line."""
    faults: tuple[VaultFaultName, ...] = ()
    weather: WeatherSpec = WeatherSpec()
    slow: Seconds = 2.0
    retry_after: Annotated[int, Field(ge=0)] = 1

    @model_validator(mode="after")
    def _users_once(self) -> Self:
        names = [u.name.casefold() for u in self.all_users]
        if twice := {n for n in names if names.count(n) > 1}:
            raise ValueError(f"user given twice: {', '.join(sorted(twice))}")
        if self.mount.split("/")[1:2] in ([name] for name in _TAKEN):
            raise ValueError(f"mount {self.mount} is taken by the vault itself; take another path")
        if self.client_certificates and self.tls is False:
            raise ValueError("client_certificates are for https: add tls = true")
        if unknown := [o.user for o in self.onboarding if o.user.casefold() not in names]:
            raise ValueError(f"onboarding rule of an unknown user: {', '.join(unknown)}")
        return self

    @property
    def all_users(self) -> tuple[VaultUserSpec, ...]:
        """`user` first, then the others."""
        named = [u for u in self.users if u.name.casefold() == self.user.casefold()]
        first = named[0] if named else VaultUserSpec(name=self.user, domain=self.domain)
        if self.domain and not first.domain:
            first = first.model_copy(update={"domain": self.domain})
        rest = [u for u in self.users if u not in named[:1]]
        return first, *rest
