"""The campaign's objects, in the field's own words: vaults, records, targets, pace, gates.

These models say what each table may hold (`campaign_fields`: what each value). What concerns two keys or two tables at
once is in `campaign_checks`, what turns a file into these models in `campaign`. A model never holds a secret: a vault's
password is a reference to where it can be had, and a target's credential is named by its secret in the vault.
"""

from __future__ import annotations

from functools import cached_property
from string import Formatter
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    StrictBool,
    StrictInt,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from appliance.contract import CryptoProfile, HostKeyPolicy, SecretLookup, Selection, Technology
from orchestrator.addresses import AddressError, canonical_address
from orchestrator.campaign_fields import (
    DEFAULT_PRIORITY,
    CertificateLine,
    Comment,
    DnsDomain,
    Duration,
    Entry,
    EnvName,
    FilePath,
    FolderPath,
    GateText,
    HostName,
    Kdc,
    KeyringName,
    Line,
    LoginType,
    Pins,
    Port,
    Priority,
    ProxyUrl,
    SingleHost,
    Template,
    Text,
    UnixName,
    Url,
    VaultType,
    Zone,
    kdc_place,
)
from orchestrator.campaign_table import STORED, Table
from orchestrator.campaign_times import Schedule, Window
from orchestrator.gates import Gate, parse_gate
from orchestrator.zones import DEFAULT_ZONE, StandIn, ZoneMap, zone_map

MOST_WINDOWS = 32
MOST_ZONES = 256
SNAPSHOT_VERSION = 1
"""Rises with any change to the models that an older snapshot could not be read under."""


class SnapshotError(ValueError):
    """A stored snapshot that this release cannot read."""


def _secret(value: object) -> object:
    return {"name": value} if isinstance(value, str) else value


def _several(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def _target(value: object) -> object:
    return {"address": value} if isinstance(value, str) else value


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
    comment: Comment | None = None
    """What the vault's audit is told with every request; without it, a default where the vault asks for a comment."""
    ticket: Line | None = None
    """The number of the ticket on whose account secrets are read."""
    ticket_system: Annotated[StrictInt, Field(ge=1)] | None = None
    """The ticket system's id in the vault."""

    approval: Literal["fail", "request"] = "fail"
    """Where access to a secret has to be approved: its targets fail, or approval is asked for and waited for."""
    approval_wait: Annotated[Duration, Field(ge=0.0, le=604800.0)] = 1800.0
    """How long jobs wait for it."""
    approval_window: Annotated[Duration, Field(ge=60.0, le=2592000.0)] = 14400.0
    """How long access is asked for, from the request on."""

    @field_validator("approval")
    @classmethod
    def _by_rest(cls, value: str, info: ValidationInfo) -> str:
        if value == "request" and info.data.get("api", "rest") != "rest":
            raise ValueError('"request" needs api = "rest": SOAP files no access request')
        return value

    @field_validator("approval_window")
    @classmethod
    def _beyond_the_wait(cls, value: float, info: ValidationInfo) -> float:
        wait = info.data.get("approval_wait", 0.0)
        if value <= wait:
            raise ValueError(
                f"must be longer than approval_wait ({wait:g} s): it begins when the request is filed, so what is "
                "approved at last would be over already"
            )
        return value

    @field_validator("ticket_system")
    @classmethod
    def _of_a_ticket(cls, value: int | None, info: ValidationInfo) -> int | None:
        if value is not None and info.data.get("ticket") is None:
            raise ValueError('goes with ticket; add ticket = "NUMBER", or remove it')
        return value


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

    @property
    def plain(self) -> str:
        """The same of a reference that takes nothing from a target: with its doubled braces read."""
        return self.text if self.id is not None else self.text.format()


MOST_FALLBACKS = 5
"""With the first answer as many as sshd takes in one connection (MaxAuthTries, 6)."""


class Fallback(Table):
    """What a Unix login goes on with where the host has refused what came before."""

    secret: Annotated[
        SecretReference | None, BeforeValidator(_secret, json_schema_input_type=str | SecretReference)
    ] = None
    """In the record's vault."""
    password: Literal["login"] | None = None
    """In its place: the password that the record's own secret holds beside the key."""
    private_key: StrictBool = False
    certificate: CertificateLine | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.secret is None) == (self.password is None):
            raise ValueError('names one thing to go on with: secret = "..." or password = "login"')
        if self.password and self.private_key:
            raise ValueError("password is no private key; remove private_key, or give the key's secret")
        if self.certificate and not self.private_key:
            raise ValueError("certificate goes with private_key = true; add that, or remove it")
        return self


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
    kerberos: Literal["off", "prefer", "required"] = "off"
    """`prefer`: NTLM where no domain controller can be reached or none knows the host's name, never after a refusal."""
    realm: DnsDomain | None = None
    """The directory's full DNS name; by default `domain`, where that is one."""
    kdc: (
        Annotated[
            tuple[Kdc, ...],
            BeforeValidator(_several, json_schema_input_type=str | tuple[str, ...]),
            Field(min_length=1),
        ]
        | None
    ) = None
    """Domain controllers, tried in this order; by default whatever the realm's own name resolves to."""
    nt_hash: StrictBool = False
    """The secret's password field holds an NT hash: 32 hex digits, or LM:NT."""

    @property
    def tickets_from(self) -> tuple[str, tuple[tuple[str, int], ...]] | None:
        """The realm and its domain controllers, each with its port; None without Kerberos."""
        realm = self.realm or self.domain
        if self.kerberos == "off" or realm is None:
            return None
        return realm.upper(), tuple(map(kdc_place, self.kdc or (realm.lower(),)))

    @property
    def controllers(self) -> tuple[str, ...]:
        """The addresses and names of the domain controllers."""
        found = self.tickets_from
        return () if found is None else tuple(host for host, _ in found[1])

    @property
    def selection(self) -> Selection:
        return Selection(self.domain_type.removeprefix("netbios-"))

    @property
    def by_address(self) -> bool:
        """Is it chosen by its `ips`, rather than by the domain that a host negotiates?"""
        return self.selection in (Selection.USER_SELECTED, Selection.LOCAL)


class Jump(Table):
    """The SSH host through which a record's targets are reached, and the login there."""

    host: SingleHost
    port: Port = 22
    user: Text
    secret: Annotated[SecretReference, BeforeValidator(_secret, json_schema_input_type=str | SecretReference)]
    vault: Text | None = None
    """The title of a vault; without it, the record's own."""
    accounts: Text | None = None
    """The directory that locks this user; without it, or as "local", the jump host's own accounts."""
    private_key: StrictBool = False
    host_keys: HostKeyPolicy = HostKeyPolicy.TOFU
    known_hosts: FilePath | None = None
    crypto: CryptoProfile = CryptoProfile.COMPAT

    @field_validator("secret")
    @classmethod
    def _one_for_all(cls, secret: SecretReference) -> SecretReference:
        if secret.id is None and any(name for _, name, _, _ in Formatter().parse(secret.text)):
            raise ValueError("takes nothing from the target: a jump host has one secret for all; write its name out")
        return secret


class UnixRecord(_Record):
    technology: Literal["unix"]
    port: Port = 22
    private_key: StrictBool = False
    certificate: CertificateLine | None = None
    """The private key's OpenSSH user certificate, where the secret has none, or an old one."""
    fallback: Annotated[tuple[Fallback, ...], Field(max_length=MOST_FALLBACKS)] = ()
    """In this order, where the host refuses the key: further keys, and at most one password."""
    root_delegation: Annotated[
        RootDelegation, BeforeValidator(_root, json_schema_input_type=Literal["none", "sudo"] | RootDelegation)
    ] = RootDelegation()
    host_keys: HostKeyPolicy = HostKeyPolicy.TOFU
    known_hosts: FilePath | None = None
    """Keys that hosts are known by before they have been seen; they take the place of keys seen by earlier runs. Lines
    marked `@cert-authority` and `@revoked` are the run's alone.
    """
    crypto: CryptoProfile = CryptoProfile.COMPAT
    jump: Jump | None = None


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
    """At most so many at once from one scan process to one vault; fewer while the vault is slow or overloaded.
    A vault that limits requests in time is paced besides.
    """
    vault_patience: Annotated[Duration, Field(ge=0.0, le=86400.0)] = 120.0
    throttle_patience: Annotated[Duration, Field(ge=0.0, le=86400.0)] = 300.0
    """For how long an SSH host that turns us away (MaxStartups, PerSourcePenalties) is asked again."""
    capacity: Annotated[StrictInt, Field(ge=1, le=10000)] = 256
    zone: Zone = DEFAULT_ZONE
    """Of all targets that no other zone names."""
    zone_patience: Annotated[Duration, Field(ge=1.0, le=86400.0)] = 120.0
    """For how long a zone without appliances is waited for, when nothing else is left to do."""


class ZoneTable(Table):
    """Targets whose jobs are a zone's: the smallest entry that holds an address says which zone it is in."""

    name: Zone
    ips: tuple[Entry, ...] = ()
    fallback: Zone | None = None
    """The zone that stands in while this one has no appliance that takes jobs."""
    fallback_after: Annotated[Duration, Field(ge=0.0, le=86400.0)] = 30.0
    """From when on, since it has none."""


class Campaign(Table):
    """What to try and how. Made by `campaign.load_campaign`, which also checks what single models cannot."""

    name: Text
    priority: Priority = DEFAULT_PRIORITY
    """Its runs' weight where they share appliances, vaults and subnets with others: twice as much is twice the part."""
    gate: tuple[GateText, ...] = ()
    vaults: tuple[Vault, ...] = ()
    records: tuple[Record, ...] = ()
    targets: Targets = Targets()
    pace: Pace = Pace()
    zones: Annotated[tuple[ZoneTable, ...], Field(max_length=MOST_ZONES)] = ()
    windows: Annotated[tuple[Window, ...], Field(max_length=MOST_WINDOWS)] = ()
    """When its runs may work; always, where there are none."""
    schedule: Schedule | None = None
    """When runs are begun by themselves."""

    @cached_property
    def gates(self) -> tuple[Gate, ...]:
        return tuple(parse_gate(text) for text in self.gate)

    @cached_property
    def zone_map(self) -> ZoneMap:
        fallbacks = {zone.name: StandIn(zone.fallback, zone.fallback_after) for zone in self.zones if zone.fallback}
        return zone_map(self.pace.zone, ((zone.name, zone.ips) for zone in self.zones), fallbacks)

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
            return Campaign.model_validate(data.get("campaign"), context={STORED: True})
        except ValidationError as error:
            places = ", ".join(sorted({".".join(map(str, e["loc"])) for e in error.errors(include_input=False)}))
            raise SnapshotError(f"this run's stored campaign is damaged at {places}; start a new run") from None


def campaign_schema() -> dict[str, Any]:
    """The JSON Schema of a campaign file, for editors."""
    schema = Campaign.model_json_schema(mode="validation")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "Keymuster campaign"}
