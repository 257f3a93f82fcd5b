"""The campaign's objects, in the field's own words: vaults, records, targets, pace, gates.

These models say what each table may hold (`campaign_fields`: what each value). What concerns two keys or two tables at
once is in `campaign_checks`, what turns a file into these models in `campaign`. A model never holds a secret: a vault's
password is a reference to where it can be had, and a target's credential is named by its secret in the vault.
"""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    ValidationError,
    model_validator,
)

from appliance.contract import CryptoProfile, HostKeyPolicy, SecretLookup, Selection, Technology
from orchestrator.addresses import AddressError, canonical_address
from orchestrator.campaign_fields import (
    CertificateLine,
    Duration,
    Entry,
    EnvName,
    FilePath,
    FolderPath,
    GateText,
    HostName,
    KeyringName,
    LoginType,
    Pins,
    Port,
    ProxyUrl,
    Template,
    Text,
    UnixName,
    Url,
    VaultType,
    Zone,
)
from orchestrator.gates import Gate, parse_gate

SNAPSHOT_VERSION = 1
"""Rises with any change to the models that an older snapshot could not be read under."""


class SnapshotError(ValueError):
    """A stored snapshot that this release cannot read."""


def _secret(value: object) -> object:
    return {"name": value} if isinstance(value, str) else value


def _target(value: object) -> object:
    return {"address": value} if isinstance(value, str) else value


class Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PasswordReference(Table):
    """Where a secret of the vault's login (its password, its client key) can be had; never the secret. Exactly one key
    is set.
    """

    env: EnvName | None = None
    file: FilePath | None = None
    prompt: Literal[True] | None = None
    keyring: KeyringName | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(value is not None for value in (self.env, self.file, self.prompt, self.keyring)) != 1:
            raise ValueError(
                'must say where the secret is, in one way: { env = "NAME" }, { file = "PATH" }, { prompt = true } '
                'or { keyring = "service/user" }'
            )
        return self

    @property
    def kind(self) -> Literal["env", "file", "prompt", "keyring"]:
        if self.env is not None:
            return "env"
        if self.file is not None:
            return "file"
        return "keyring" if self.keyring is not None else "prompt"


class VaultTls(Table):
    ca: FilePath | None = None
    """A PEM file to trust instead of the system's authorities."""
    verify: StrictBool = True
    pin: Pins = ()
    """Public keys, one of which the vault must have, beside `ca` or, with `verify = false`, alone."""
    client_cert: FilePath | None = None
    """A PEM file with the certificate that the vault is shown, and those that lead to its authority."""
    client_key: PasswordReference | None = None
    """Where its private key is, as PEM text."""
    client_key_passphrase: PasswordReference | None = None
    plain_http: StrictBool = False
    """Leave to reach the vault by http from off this machine."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.client_cert is None) != (self.client_key is None):
            raise ValueError("client_cert and client_key go together; give both, or neither")
        if self.client_key is not None and self.client_key.prompt:
            raise ValueError("client_key cannot be typed at a prompt; give { file }, { env } or { keyring }")
        if self.client_key_passphrase is not None and self.client_key is None:
            raise ValueError("client_key_passphrase has no client_key to go with; remove it, or give the key")
        return self


class Vault(Table):
    """An authentication vault."""

    title: Text
    type: VaultType = "Thycotic Secret Server"
    url: Url
    user: Text
    domain: Text | None = None
    password: PasswordReference
    api: Literal["rest", "soap", "auto"] = "rest"
    """`auto`: whichever the vault answers in, REST first."""
    tls: VaultTls = VaultTls()
    proxy: ProxyUrl | None = None
    """The HTTP proxy through which appliances reach the vault."""
    check_out: StrictBool = True
    """Secrets that want to be checked out are, for the run, and given back at its end; false: their targets fail."""
    fetch: Literal["per-target", "shared"] = "per-target"
    """One view per target, or one for all that ask within `max_age`. A matter of the vault, not of a record: it is its
    load and its audit that this is about, and two records of one secret must not keep it for two times."""
    max_age: Annotated[Duration, Field(ge=1.0, le=900.0)] = 60.0
    """How long a scan process keeps a shared secret; none lives for longer than a quarter of an hour."""


class SecretReference(Table):
    """How a record's secret is named in its vault; in the file also just its exact name. One of the first four keys is
    set.
    """

    name: Template | None = None
    id: Annotated[StrictInt, Field(ge=1)] | None = None
    path: Template | None = None
    machine: Template | None = None
    """The value of its template's Machine field: for vaults that hold one secret per host."""
    template: Text | None = None
    """With `machine`: only secrets of the template of this name."""
    folder: FolderPath | None = None
    """With `machine`: only secrets in this folder, or below it."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(value is not None for value in (self.name, self.id, self.path, self.machine)) != 1:
            raise ValueError(
                'must name the secret in one way: "exact name", { name = ".." }, { id = 42 }, { path = ".." } or '
                '{ machine = ".." }'
            )
        if self.machine is None and (self.template or self.folder):
            raise ValueError(
                "has template or folder beside what names one secret already; they narrow machine: remove them, or "
                'write { machine = "{host}" }'
            )
        return self

    @property
    def by(self) -> SecretLookup:
        if self.id is not None:
            return SecretLookup.ID
        if self.machine is not None:
            return SecretLookup.MACHINE
        return SecretLookup.NAME if self.name is not None else SecretLookup.PATH

    @property
    def text(self) -> str:
        """The name, path, machine or id as written, placeholders included."""
        return self.name or self.path or self.machine or str(self.id)


class RootDelegation(Table):
    """How a Unix login becomes root; in the file also just its type. What it needs is checked in `campaign_checks`."""

    type: Literal["none", "sudo", "su"] = "none"
    password: Literal["login"] | None = None
    """sudo is answered with the login's own password, where it asks for one."""
    secret: Annotated[
        SecretReference | None, BeforeValidator(_secret, json_schema_input_type=str | SecretReference)
    ] = None
    """Or with that of this secret; su always is."""
    vault: Text | None = None
    """Of the secret, where it is another vault than the record's."""
    user: UnixName | None = None
    """Whose password the secret holds: with sudo the record's user's, where nothing is said, with su root's."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.type == "none" and (self.password or self.secret):
            raise ValueError('has a password and no way to root; write type = "sudo" or type = "su"')
        if self.type == "su" and self.password:
            raise ValueError("su asks for root's own password, never the login's; give its secret")
        if self.type == "su" and self.secret is None:
            raise ValueError('su needs root\'s password; write { type = "su", secret = "..." }')
        if self.password and self.secret:
            raise ValueError("password and secret are two answers to one question; keep one of them")
        if (self.vault or self.user) and self.secret is None:
            raise ValueError("vault and user say something of a secret, and there is none; remove them, or give secret")
        return self


def _root(value: object) -> object:
    return {"type": value} if isinstance(value, str) else value


class _Record(Table):
    """What records of both technologies have."""

    title: Text
    login_type: LoginType = "vault"
    user: Text
    vault: Text
    """The title of a vault of this campaign."""
    secret: Annotated[SecretReference, BeforeValidator(_secret, json_schema_input_type=str | SecretReference)]
    ips: tuple[Entry, ...] = ()
    accounts: Text | None = None
    """The directory that locks this user: records with the same one share a budget."""
    failure_budget: Annotated[StrictInt, Field(ge=1, le=100)] = 2
    failure_window: Annotated[Duration, Field(gt=0.0, le=86400.0)] = 1800.0
    """At most a day: so long the permit ledger is kept."""


class WindowsRecord(_Record):
    technology: Literal["windows"]
    domain: Text | None = None
    domain_type: Literal["netbios-user-selected", "netbios-service-selected", "active-directory", "local"] = (
        "netbios-user-selected"
    )
    port: Port = 445

    @property
    def selection(self) -> Selection:
        return Selection(self.domain_type.removeprefix("netbios-"))

    @property
    def by_address(self) -> bool:
        """Is it chosen by its `ips`, rather than by the domain that a host negotiates?"""
        return self.selection in (Selection.USER_SELECTED, Selection.LOCAL)


class UnixRecord(_Record):
    technology: Literal["unix"]
    port: Port = 22
    private_key: StrictBool = False
    certificate: CertificateLine | None = None
    """The private key's OpenSSH user certificate, where the secret has none, or an old one."""
    root_delegation: Annotated[
        RootDelegation, BeforeValidator(_root, json_schema_input_type=Literal["none", "sudo"] | RootDelegation)
    ] = RootDelegation()
    host_keys: HostKeyPolicy = HostKeyPolicy.TOFU
    known_hosts: FilePath | None = None
    """Keys that hosts are known by before they have been seen; they take the place of keys seen by earlier runs."""
    crypto: CryptoProfile = CryptoProfile.COMPAT


Record = Annotated[WindowsRecord | UnixRecord, Field(discriminator="technology")]


class TargetEntry(Table):
    """One included entry; a name, FQDN or domain may be given for a single host only."""

    address: Entry
    host: HostName | None = None
    fqdn: HostName | None = None
    domain: HostName | None = None

    @model_validator(mode="after")
    def _single(self) -> Self:
        if self.host or self.fqdn or self.domain:
            try:
                canonical_address(self.address)
            except AddressError:
                raise ValueError(
                    f"{self.address!r} is more than one host; host, fqdn and domain go with a single address"
                ) from None
        return self


class Targets(Table):
    include: tuple[Annotated[TargetEntry, BeforeValidator(_target, json_schema_input_type=str | TargetEntry)], ...] = ()
    exclude: tuple[Entry, ...] = ()
    technologies: Annotated[tuple[Technology, ...], Field(min_length=1)] | None = None
    """Every target is planned for these; without it, for those that some record could serve."""


class Pace(Table):
    retries: Annotated[StrictInt, Field(ge=0, le=10)] = 1
    deadline: Annotated[Duration, Field(ge=1.0, le=3600.0)] = 30.0
    per_subnet: Annotated[StrictInt, Field(ge=0)] = 0
    """Targets in flight per /24 or /64; 0 is no cap."""
    vault_requests: Annotated[StrictInt, Field(ge=1, le=256)] = 8
    """At most so many at once from one scan process to one vault; fewer while the vault throttles or is slow."""
    vault_patience: Annotated[Duration, Field(ge=0.0, le=86400.0)] = 120.0
    capacity: Annotated[StrictInt, Field(ge=1, le=10000)] = 256
    zone: Zone = "default"


class Campaign(Table):
    """What to try and how. Made by `campaign.load_campaign`, which also checks what single models cannot."""

    name: Text
    gate: tuple[GateText, ...] = ()
    vaults: tuple[Vault, ...] = ()
    records: tuple[Record, ...] = ()
    targets: Targets = Targets()
    pace: Pace = Pace()

    @cached_property
    def gates(self) -> tuple[Gate, ...]:
        return tuple(parse_gate(text) for text in self.gate)

    def snapshot(self) -> dict[str, Any]:
        """Plain JSON data from which the same campaign can be had again: defaults filled in, paths absolute, no secret
        (the vault login's password stays the reference that it is in the file).
        """
        return {"schema": SNAPSHOT_VERSION, "campaign": self.model_dump(mode="json", exclude_none=True)}

    @staticmethod
    def from_snapshot(data: dict[str, Any]) -> Campaign:
        """Raises SnapshotError for another schema, or for damage."""
        if data.get("schema") != SNAPSHOT_VERSION:
            raise SnapshotError(
                f"this run's campaign was stored with schema {data.get('schema')!r}, and this release reads "
                f"{SNAPSHOT_VERSION}; finish the run with the release that began it, or start a new one"
            )
        try:
            return Campaign.model_validate(data.get("campaign"))
        except ValidationError as error:
            places = ", ".join(sorted({".".join(map(str, e["loc"])) for e in error.errors(include_input=False)}))
            raise SnapshotError(f"this run's stored campaign is damaged at {places}; start a new run") from None


def campaign_schema() -> dict[str, Any]:
    """The JSON Schema of a campaign file, for editors."""
    schema = Campaign.model_json_schema(mode="validation")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "Keymuster campaign"}
