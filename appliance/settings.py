"""The file of a stand-alone appliance: who it is, where its bus is, what it allows, which vault logins it holds.

Written by `keymuster appliance init`, of mode 0600 since it holds the appliance's nkey seed. Everything in it is local:
no job and no message can change it.
"""

from __future__ import annotations

import json
import os
import time
import tomllib
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    IPvAnyAddress,
    IPvAnyNetwork,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from appliance.bus.credentials import BusLogin
from appliance.bus.users import appliance_permissions, new_user
from appliance.certificates import CertificateError, ClientCertificate, client_certificate
from appliance.contract import ZONE, HostKeyPolicy
from appliance.login.dial import Sources
from appliance.policy import Policy
from appliance.sealed_logins import KnownVault, SealedBox
from appliance.settings_faults import faults_in, faults_of
from appliance.supervisor import Admission, Identity
from appliance.toml_faults import UnreadableError, file_text, syntax_fault
from appliance.toml_lines import key_lines
from appliance.utf8 import is_text
from appliance.vault.definition import (
    DEFAULT_MAX_AGE,
    LONGEST_MAX_AGE,
    Hidden,
    VaultAccess,
    VaultLogin,
    VaultTls,
)


class SettingsError(ValueError):
    """The file cannot be used; the text names the file and the field, and says what to do."""


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Bus(_Table):
    url: str
    seed: SecretStr
    """This appliance's nkey seed; the server's configuration, or the token, holds the public half."""
    token: str = ""
    """What the account says of this appliance's user, where the server goes by that."""
    ca: str = ""
    """Path of a PEM file, or the certificates themselves; empty for the system's authorities."""

    def login(self) -> BusLogin:
        """Raises SettingsError."""
        ca = self.ca if not self.ca or "-----BEGIN" in self.ca else _text(self.ca, "CA file")
        return BusLogin(url=self.url, seed=self.seed, token=self.token, ca=ca)


class Fleet(_Table):
    """What `appliance enroll` has written."""

    sealing: SecretStr
    """The private half of the key that vault logins are sealed to, base64."""
    voice: str
    """Whose word on vault logins counts: an Ed25519 key, base64."""


class PasswordReference(_Table):
    env: str = ""
    file: str = ""

    @model_validator(mode="after")
    def _one(self) -> Self:
        if bool(self.env) == bool(self.file):
            raise ValueError('give one of { env = "NAME" } and { file = "PATH" }')
        return self

    def read(self, what: str = "password file") -> str:
        """The secret, dropped from the environment at once. Raises SettingsError."""
        if self.env:
            value = os.environ.pop(self.env, None)
            if value is None:
                raise SettingsError(f"the environment has no {self.env}; set it for this command")
            if not is_text(value):
                raise SettingsError(f"cannot read {self.env} in the environment: it is not UTF-8 text")
            return value
        return _text(self.file, what).rstrip("\r\n")


def _text(file: str, what: str) -> str:
    """Raises SettingsError."""
    try:
        return Path(file).read_text(encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"cannot read the {what} {file}: {error.strerror}") from None
    except ValueError:  # a decoder's, whose text quotes the bytes; or a path with a NUL in it
        raise SettingsError(f"cannot read the {what} {file!r}: it is not UTF-8 text") from None


class Tls(_Table):
    """The words of a campaign's `tls` table."""

    ca: str = ""
    """Path of a PEM file with the only authorities to trust; empty for the system's."""
    verify: bool = True
    pin: str | tuple[str, ...] = ()
    """`sha256//` and base64, as curl's --pinnedpubkey takes it; one of them must be the vault's."""
    client_cert: str = ""
    """Path of a PEM file with the certificate that the vault is shown; empty for none."""
    client_key: PasswordReference | None = None
    client_key_passphrase: PasswordReference | None = None
    plain_http: bool = False

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if bool(self.client_cert) != (self.client_key is not None):
            raise ValueError("client_cert and client_key go together; give both, or neither")
        return self

    def resolved(self, vault: str) -> VaultTls:
        """With what its files hold. Raises SettingsError."""
        ca = _text(self.ca, "CA file") if self.ca else ""
        pins = (self.pin,) if isinstance(self.pin, str) else self.pin
        own = self._own(vault)
        try:
            return VaultTls(
                ca=ca,
                verify=self.verify,
                pins=pins,
                client_cert=own.chain if own else "",
                client_key=SecretStr(own.key if own else ""),
                plain_http=self.plain_http,
            )
        except ValidationError:
            pin = "sha256// and the base64 of the SHA-256 of the vault's public key, as curl --pinnedpubkey takes it"
            raise SettingsError(f"vault {vault!r}: tls.pin: is no pin; write {pin}") from None

    def _own(self, vault: str) -> ClientCertificate | None:
        if self.client_key is None:
            return None
        chain = _text(self.client_cert, "client certificate")
        key = self.client_key.read("client key file")
        passphrase = self.client_key_passphrase.read("passphrase file") if self.client_key_passphrase else ""
        try:
            return client_certificate(chain.encode(), key.encode(), passphrase, time.time())
        except CertificateError as error:
            raise SettingsError(f"vault {vault!r}: tls.{error.key}: {error}") from None


class Vault(_Table):
    title: str
    url: str
    user: str = ""
    domain: str = ""
    password: PasswordReference | None = None
    """None: the login is sent by the fleet's orchestrator, sealed, and is good for this URL alone."""
    tls: Tls = Tls()
    api: Literal["rest", "soap", "auto"] = "rest"
    """`auto`: whichever the vault answers in, REST first."""
    proxy: str = ""
    """`http://HOST:PORT` of the proxy through which the vault is reached; empty for none."""
    requests: int = Field(default=8, ge=1, le=256)
    fetch: Literal["per-target", "shared"] = "per-target"
    """With "shared" one view of a secret serves all targets within `max_age` seconds."""
    max_age: float = Field(default=DEFAULT_MAX_AGE, ge=1.0, le=LONGEST_MAX_AGE)

    def known(self) -> KnownVault:
        """What a login that is sent is held to. Raises SettingsError."""
        return KnownVault(
            self.url.rstrip("/"), self.tls.resolved(self.title) if "tls" in self.model_fields_set else None
        )

    def login(self) -> VaultLogin:
        """Of one with a password. Raises SettingsError."""
        if self.password is None:
            raise SettingsError(f"vault {self.title!r} has no password here")
        tls = self.tls.resolved(self.title)
        try:
            access = VaultAccess(
                title=self.title,
                url=self.url,
                user=self.user,
                api=self.api,
                tls=tls,
                proxy=self.proxy,
                requests=self.requests,
                fetch=self.fetch,
                max_age=self.max_age,
            )
        except ValidationError as error:
            raise SettingsError("\n".join(faults_of(f"vault {self.title!r}", error))) from None
        return VaultLogin(access, Hidden(self.password.read()), self.domain)


_OF_A_SENT_LOGIN = frozenset({"title", "url", "tls"})


def _one_or_more(value: object) -> object:
    return [value] if isinstance(value, str) else value


class Settings(_Table):
    name: str = Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")
    zone: str = Field(default="default", pattern=ZONE)
    capacity: int = Field(default=256, ge=1, le=10_000)
    processes: int = Field(default_factory=lambda: os.cpu_count() or 1, ge=1, le=256)
    bus: Bus
    networks: Annotated[tuple[IPvAnyNetwork, ...], Field(min_length=1)]
    host_keys: HostKeyPolicy = HostKeyPolicy.TOFU
    source: Annotated[tuple[IPvAnyAddress, ...], BeforeValidator(_one_or_more)] = ()
    """What targets are dialled from: an address of this machine, of either family one. A family without any is dialled
    from where the kernel chooses."""
    vaults: tuple[Vault, ...] = ()
    fleet: Fleet | None = None

    @model_validator(mode="after")
    def _logins_come_from_somewhere(self) -> Self:
        for vault in self.vaults:
            if vault.password is None and self.fleet is None:
                raise ValueError(f"vault {vault.title!r} has no password; only an enrolled appliance is sent its login")
            if vault.password is None and (idle := sorted(vault.model_fields_set - _OF_A_SENT_LOGIN)):
                raise ValueError(f"vault {vault.title!r} is sent its login, which says {', '.join(idle)}; leave it out")
            if vault.password is not None and not vault.user:
                raise ValueError(f"vault {vault.title!r} has a password and no user; name the user")
        return self

    @field_validator("source")
    @classmethod
    def _usable(cls, addresses: tuple[IPv4Address | IPv6Address, ...]) -> tuple[IPv4Address | IPv6Address, ...]:
        for address in addresses:
            scoped = isinstance(address, IPv6Address) and (address.is_link_local or address.scope_id)
            if address.is_unspecified or address.is_multicast or scoped:
                raise ValueError(f"{address} is no address to dial from; name one that an interface has, in full")
        if len({address.version for address in addresses}) < len(addresses):
            raise ValueError("names two addresses of one family; name one of IPv4, one of IPv6, or both")
        return addresses

    @classmethod
    def load(cls, path: str) -> Self:
        """Raises SettingsError."""
        try:
            text = file_text(path)
        except OSError as error:
            raise SettingsError(f"{path}: {error.strerror}; `keymuster appliance init {path}` writes one") from None
        except UnreadableError as error:
            raise SettingsError(str(error)) from None
        return cls.of(text, path)

    @classmethod
    def of(cls, text: str, path: str) -> Self:
        """From what the file holds. Raises SettingsError."""
        try:
            data = tomllib.loads(text)
            lines = key_lines(text)
        except (ValueError, RecursionError) as error:
            raise SettingsError(str(syntax_fault(error, text, path))) from None
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            raise SettingsError(faults_in(lines, data, error, path, _TABLES)) from None

    def identity(self, *, fast_path: bool = True) -> Identity:
        """Raises SettingsError."""
        v4, v6 = (next((str(a) for a in self.source if a.version == version), None) for version in (4, 6))
        sources = Sources(v4, v6)
        return Identity(self.name, self.zone, self.bus.login(), self.capacity, self.processes, sources, fast_path)

    def own_logins(self) -> tuple[VaultLogin, ...]:
        """Those whose passwords are here. Raises SettingsError for a password or a CA that cannot be read, and for a
        vault that cannot be used.
        """
        return tuple(vault.login() for vault in self.vaults if vault.password is not None)

    def admission(self, logins: tuple[VaultLogin, ...]) -> Admission:
        """With these logins."""
        networks = tuple(map(str, self.networks))
        policy = Policy.of(networks, self.host_keys, {v.access.title: v.access.url for v in logins})
        return Admission(policy, networks, logins)

    def box(self) -> SealedBox | None:
        """Where the logins come from that are sent; None where none is. Raises SettingsError."""
        if self.fleet is None or all(vault.password is not None for vault in self.vaults):
            return None
        sent = {vault.title: vault.known() for vault in self.vaults if vault.password is None}
        return SealedBox(self.name, self.fleet.sealing.get_secret_value(), self.fleet.voice, sent)


_TABLES: dict[tuple[str, ...], type[BaseModel]] = {
    (): Settings,
    ("bus",): Bus,
    ("fleet",): Fleet,
    ("vaults",): Vault,
    ("vaults", "tls"): Tls,
}


TEMPLATE = """\
# A Keymuster appliance. Keep this file to yourself (mode 0600): it holds the appliance's key.
name = "{name}"
zone = "{zone}"
capacity = 256              # targets in flight
# processes = 2             # scan processes; default: one per core

# Only these networks are ever dialled, whatever a job asks for; the domain controllers of Kerberos records too.
networks = ["10.0.0.0/8"]
host_keys = "tofu"          # the weakest SSH host-key policy a job may ask for: pinned, tofu, any
# source = "10.0.0.5"       # the address of this machine that targets are dialled from; ["10.0.0.5", "2001:db8::5"]

[bus]
url = "tls://nats.example:4222"
# ca = "nats-ca.pem"         # the only authorities to trust for it; default: the system's
seed = "{seed}"
# The NATS server must know this appliance by its public key, and allow it what `appliance init` printed:
#   {public}

[[vaults]]
title = "Secret Server Vault"
url = "https://vault.example/SecretServer"
user = "svc-keymuster"
password = {{ env = "KEYMUSTER_VAULT_PASSWORD" }}   # or {{ file = "PATH" }}
# api = "rest"              # or "soap"; "auto" finds out which of them the vault answers in
# tls = {{ ca = "vault-ca.pem" }}   # and pin, client_cert, client_key..., as in a campaign
"""


def write_template(path: str, name: str, zone: str) -> str:
    """Write a new appliance's file; returns what the NATS server must know of it: one of the users in its configuration
    (`authorization { users: [...] }`). Raises SettingsError where a file is already there.
    """
    try:
        permissions = appliance_permissions(zone, name)
    except ValueError as error:
        raise SettingsError(str(error)) from None
    pair = new_user()
    text = TEMPLATE.format(name=name, zone=zone, seed=pair.seed, public=pair.public)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise SettingsError(f"{path} is already there; it was left as it is") from None
    except OSError as error:
        raise SettingsError(f"cannot write {path}: {error.strerror}") from None
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:  # a full disk; a part of a file would keep the next attempt from writing one
        Path(path).unlink(missing_ok=True)
        raise SettingsError(f"cannot write {path}: {error.strerror}") from None
    return json.dumps({"nkey": pair.public, "permissions": permissions})
