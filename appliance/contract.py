"""What crosses the boundary between orchestrator and appliance. Frozen, typed, versioned; never a secret.

Every message is one `Wire` model with a version. An unknown version or field is refused (`ContractError`), so two
releases that disagree say so at once instead of dropping what they don't know. Times are Unix seconds (float, UTC),
durations are seconds unless a name ends in `_ms`.

The appliance reports *evidence*: the phase in which an attempt ended and the signal that ended it. What that means
(reason, status, QID) is decided by `classify` and `reasons` on the orchestrator's side, and can be decided again later.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

VERSION: Final = 1
"""The wire version this release speaks. It rises with any change an older release could not read."""

PEER_TEXT_LIMIT = 512
"""Bytes of a peer's own text that evidence may carry (design: a hostile peer must not fill a store)."""


class ContractError(ValueError):
    """A message that this release cannot read: damaged, of another version, or with fields it does not know."""


class Wire(BaseModel):
    """A frozen message with a version that encodes to JSON bytes and back."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def encode(self) -> bytes:
        return self.model_dump_json().encode()

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read a message. Raises ContractError; its text names the field, never the value."""
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            raise ContractError(_describe(cls.__name__, error)) from None


def _describe(name: str, error: ValidationError) -> str:
    faults = (f"{'.'.join(map(str, e['loc'])) or 'message'}: {e['msg']}" for e in error.errors(include_input=False))
    return f"unreadable {name}: " + "; ".join(faults)


class Technology(StrEnum):
    """A host technology in the sense of an authentication record."""

    WINDOWS = "windows"
    UNIX = "unix"


class Phase(StrEnum):
    """The phases of one job, in order. An attempt ends in exactly one of them."""

    PLAN = "plan"
    DISPATCH = "dispatch"
    LEASE = "lease"
    JUMP = "jump"
    """A session with the jump host, where the record has one: with one that stands, or until a new one does."""
    DNS = "dns"
    TCP = "tcp"
    NEGOTIATE = "negotiate"
    """First bytes: the SSH identification line, or SMB negotiate and the NTLM challenge."""
    KEX = "kex"
    KDC = "kdc"
    """Kerberos: what is said with a domain controller. Entered before the permit, and again to submit the password."""
    PERMIT = "permit"
    VAULT = "vault"
    AUTH = "auth"
    PRIVILEGE = "privilege"
    LOGOFF = "logoff"


class SecretLookup(StrEnum):
    """How a secret is named in its vault."""

    NAME = "name"
    ID = "id"
    PATH = "path"
    MACHINE = "machine"
    """By the value of its template's Machine field."""


class HostKeyPolicy(StrEnum):
    """What an unknown SSH host key means. A *changed* key is refused under `pinned` and `tofu` alike, a revoked one
    always. A host for which a CA answers is not trusted on first use.
    """

    PINNED = "pinned"
    TOFU = "tofu"
    ANY = "any"


class CryptoProfile(StrEnum):
    """Which SSH algorithms may be offered: today's, OpenSSH's defaults with older ones added, or all that exist."""

    MODERN = "modern"
    COMPAT = "compat"
    LEGACY = "legacy"


class Selection(StrEnum):
    """How a record came to serve a target (Qualys: the domain type of a Windows record)."""

    SERVICE_SELECTED = "service-selected"
    USER_SELECTED = "user-selected"
    LOCAL = "local"
    ACTIVE_DIRECTORY = "active-directory"
    IP = "ip"


class Account(Wire):
    """What a directory locks: a user under an authority. Both are folded to lower case by `account_key`."""

    authority: str
    """`host:<address>` for an account of one host, else `dir:<name>` for a directory shared by many."""
    user: str

    @property
    def is_directory(self) -> bool:
        return self.authority.startswith("dir:")

    def __str__(self) -> str:
        return f"{self.user}@{self.authority}"


class CredentialRef(Wire):
    """Where a credential is, not what it is: a vault's title and the secret's resolved name, id, path or machine."""

    vault: str
    by: SecretLookup
    key: str
    template: str = ""
    """Of those of a machine, only the ones of the template of this name."""
    folder: str = ""
    """Of those of a machine, only the ones in the folder of this path, or below it."""

    @property
    def label(self) -> str:
        """What reports call the secret: its name, id or path; or the machine it is for."""
        if self.by is not SecretLookup.MACHINE:
            return self.key
        return ", ".join(filter(None, (f"machine {self.key}", self.narrowed_by)))

    @property
    def narrowed_by(self) -> str:
        narrowed = (("template", self.template), ("folder", self.folder))
        return ", ".join(f"{what} {text}" for what, text in narrowed if text)

    @property
    def described(self) -> str:
        """The same, and what that is."""
        return self.label if self.by is SecretLookup.MACHINE else f"{self.by} {self.key}"


class RootBy(StrEnum):
    """How a login becomes root where the host asks for a password."""

    SUDO = "sudo"
    SU = "su"


class RootPassword(Wire):
    """The password that root delegation may be asked for, and whose it is; resolved for one target, never the value."""

    by: RootBy
    user: str
    """Whose password it is. sudo names who it asks for; su is told who to become."""
    account: Account
    secret: CredentialRef
    """The login's own secret, where its password is meant."""


class Ticket(Wire):
    """What work it is done for, for a vault that asks or whose audit ought to say it."""

    number: str
    system: int | None = None
    """The ticket system's id in the vault; None: the vault's default."""


class Part(StrEnum):
    """The logins of one attempt. Each has its own account and secret, and so its own permit and view."""

    LOGIN = "login"
    JUMP = "jump"
    """At the jump host on the way."""
    ROOT = "root"
    """On the target, from its user to root."""


class AccessTerms(Wire):
    """How the secrets of one record are asked for."""

    record: str = ""
    comment: str = ""
    """What the vault is told with every request that takes a comment; empty: `Job.purpose`, and only where it asks."""
    ticket: Ticket | None = None
    approval: bool = False
    """An approval that lacks is asked for and waited for; else it is the reason why the secret cannot be had."""
    part: Part = Part.LOGIN
    """Which of the record's secrets these are of."""


class KdcPlace(Wire):
    """A domain controller: an IP literal, or a DNS name to be resolved by the appliance."""

    host: str
    port: int


class KerberosTerms(Wire):
    """How a record logs in with Kerberos: where the tickets come from, and for which host they are."""

    required: bool
    """False: NTLM is used where no domain controller can be reached, or none knows the host's name."""
    realm: str
    kdcs: tuple[KdcPlace, ...]
    """Tried in this order."""
    host: str
    """The target's name as the target list gives it, never as the target does; empty where the list gives none."""


class Jump(Wire):
    """The SSH host through which a record's targets are reached, and the login there."""

    address: str
    """An IP literal, or a DNS name that the appliance resolves."""
    port: int
    user: str
    account: Account
    secret: CredentialRef
    private_key: bool = False
    host_keys: HostKeyPolicy = HostKeyPolicy.TOFU
    crypto: CryptoProfile = CryptoProfile.COMPAT

    @property
    def place(self) -> str:
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


class Fallback(Wire):
    """What a host is shown that has not taken what came before it."""

    secret: CredentialRef
    private_key: bool = False
    certificate: str = ""


class Candidate(Wire):
    """One authentication record, resolved for one target."""

    record: str
    user: str
    domain: str = ""
    account: Account
    secret: CredentialRef
    selection: Selection
    port: int
    private_key: bool = False
    """The secret holds a private key (and perhaps a passphrase); it is tried instead of the password."""
    fallbacks: tuple[Fallback, ...] = ()
    """In this order, keys before at most one password, in the same session and under the same permit."""
    certificate: str = ""
    """The OpenSSH user certificate of that key, which is public; empty where the secret has it, or there is none."""
    nt_hash: bool = False
    """The secret's password field holds an NT hash; what it looks like decides nothing."""
    sudo: bool = False
    """Root delegation by sudo is expected: its absence is Passed*, not Passed."""
    root: RootPassword | None = None
    """What sudo, or su, is answered with, once it has asked. None: nothing is."""
    host_keys: HostKeyPolicy = HostKeyPolicy.TOFU
    crypto: CryptoProfile = CryptoProfile.COMPAT
    kerberos: KerberosTerms | None = None
    """None: NTLMv2, for Windows."""
    jump: Jump | None = None

    @property
    def parts(self) -> tuple[tuple[Part, Account, CredentialRef], ...]:
        """Whom an attempt with this record may log in as, and with which secrets."""
        found = [(Part.LOGIN, self.account, secret) for secret in (self.secret, *(f.secret for f in self.fallbacks))]
        if self.jump is not None:
            found.append((Part.JUMP, self.jump.account, self.jump.secret))
        if self.root is not None:
            found.append((Part.ROOT, self.root.account, self.root.secret))
        return tuple(found)

    @property
    def accounts(self) -> tuple[Account, ...]:
        """Those of all parts, that of the login itself first."""
        return tuple(dict.fromkeys(account for _, account, _ in self.parts))

    @property
    def secrets(self) -> tuple[CredentialRef, ...]:
        """Those of all parts, that of the login itself first."""
        return tuple(dict.fromkeys(secret for _, _, secret in self.parts))

    @property
    def answers(self) -> tuple[Self, ...]:
        """What the login may be made with, in order, each in the form of a record with no other."""
        told = ({name: getattr(f, name) for name in Fallback.model_fields} for f in self.fallbacks)
        return tuple(self.model_copy(update={**update, "fallbacks": ()}) for update in ({}, *told))

    def as_root(self) -> Self:
        """Root delegation's password in the form of a record's, for whoever reads or paces one. Only where there is
        one.
        """
        assert self.root is not None  # noqa: S101 - see above
        root = self.root
        told = {"user": root.user, "account": root.account, "secret": root.secret}
        without = {"private_key": False, "fallbacks": (), "certificate": "", "root": None, "jump": None}
        return self.model_copy(update={**told, **without})


class Target(Wire):
    """A host as the campaign names it. `address` is an IP literal, or a DNS name to be resolved by the appliance."""

    address: str
    host: str = ""
    fqdn: str = ""
    domain: str = ""


class HostAuthority(Wire):
    """A CA that may vouch for a target's SSH host key by a certificate."""

    key: str
    """As `type base64`."""
    names: tuple[str, ...]
    """The target's names for which it may: a certificate must be for one of them."""


class Job(Wire):
    """One attempt at one target with one technology."""

    v: Literal[1] = VERSION
    run: str
    job: str
    attempt: int
    lease: str
    """A random 128-bit token (hex) that the report must echo; a report with another one is discarded."""
    zone: str
    technology: Technology
    target: Target
    candidates: tuple[Candidate, ...]
    """Applicable records in order of selection; which Windows one applies is known after the challenge."""
    tried: tuple[str, ...] = ()
    """Records that an earlier attempt has tried and that must not be tried again."""
    rotated: bool = False
    """An earlier attempt was refused while its secret changed: what this process has kept of it may be the old one."""
    known_host_keys: tuple[str, ...] = ()
    """OpenSSH public key lines (`type base64`) the store knows for this target."""
    host_authorities: tuple[HostAuthority, ...] = ()
    revoked_host_keys: tuple[str, ...] = ()
    """Fingerprints (`SHA256:...`) of keys that are taken from no host, nor as the CA of its certificate."""
    known_jump_keys: tuple[str, ...] = ()
    """The same of the jump host of its record."""
    jump_authorities: tuple[HostAuthority, ...] = ()
    revoked_jump_keys: tuple[str, ...] = ()
    deadline: float
    """Seconds from the first byte of work to the last; absolute for the attempt, whatever hangs."""
    give_up_at: float
    """Unix time after which waiting for the vault or the pacer ends as a failure instead of a deferral."""
    purpose: str
    """What the vault's audit is told: campaign, run and target."""
    terms: tuple[AccessTerms, ...] = ()
    """Of those records whose vault has terms of its own."""
    vault_only: bool = False
    """A load test of the vault: the attempt ends once its secret has been read; nothing is dialled or submitted."""


class SignalKind(StrEnum):
    """What kind of thing ended the attempt; `classify` has one table per kind."""

    OK = "ok"
    DEADLINE = "deadline"
    ERRNO = "errno"
    NTSTATUS = "ntstatus"
    KERBEROS = "kerberos"
    EXCEPTION = "exception"
    NAMED = "named"
    """The adapter knows the reason by the protocol itself; the name is a reason code."""


class Signal(Wire):
    """The raw thing that ended a phase, as far from an interpretation as it can be kept."""

    kind: SignalKind
    name: str = ""
    """errno name, NTSTATUS as 0x%08x, a Kerberos error as `18` or `18/0x%08x` (with an NTSTATUS),
    `module.Class` of an exception, or a reason code."""
    bases: tuple[str, ...] = ()
    """For an exception: its base classes, nearest first, so that an unlisted subclass still lands on a row."""


OK = Signal(kind=SignalKind.OK)
DEADLINE = Signal(kind=SignalKind.DEADLINE)


def named(reason: str) -> Signal:
    return Signal(kind=SignalKind.NAMED, name=reason)


def ntstatus(code: int) -> Signal:
    return Signal(kind=SignalKind.NTSTATUS, name=f"0x{code & 0xFFFFFFFF:08x}")


def kerberos_error(code: int, status: int | None = None) -> Signal:
    """A domain controller's error (RFC 4120 7.5.9), with the NTSTATUS that it gives beside it, if any."""
    beside = "" if status is None else f"/0x{status & 0xFFFFFFFF:08x}"
    return Signal(kind=SignalKind.KERBEROS, name=f"{code}{beside}")


def raised(error: BaseException) -> Signal:
    """The signal of an exception: its class and bases by name; the text is kept apart, since it may quote anything."""
    names = [f"{c.__module__}.{c.__qualname__}" for c in type(error).__mro__ if c not in (object, BaseException)]
    return Signal(kind=SignalKind.EXCEPTION, name=names[0], bases=tuple(names[1:]))


@dataclass(frozen=True, slots=True)
class Failure:
    """An expected end of one step, as a value: where, what, the peer's own words, and what was learnt on the way."""

    phase: Phase
    signal: Signal
    text: str = ""
    facts: dict[str, str] = field(default_factory=dict)


class PhaseTime(Wire):
    phase: Phase
    ms: float


class Reread(StrEnum):
    """What a second read of the secret showed after a failed login."""

    NOT_DONE = "not-done"
    UNCHANGED = "unchanged"
    CHANGED = "changed"
    """Another secret; or the same one, which the vault says it has changed a moment ago: its host may lag behind."""
    FAILED = "failed"


OUT_OF_SYNC = "out_of_sync"
"""The fact that the vault itself takes the secret for wrong, by what it has tried on its own; the vault's words."""


class View(Wire):
    """A request for a secret's values, as the vault's audit ought to show it. Times: Unix seconds by the appliance."""

    vault: str
    secret_id: int
    asked: float
    answered: float
    """When its answer was there, or the wait for it was over: the vault wrote its row in between."""
    sure: bool = True
    """False where the vault may have answered, and may have not: cut off, or a server's error."""
    secret: str = ""
    """What the record calls it, where it is not its own: the jump host's, root's, or that of a fallback."""


class Evidence(Wire):
    """What one attempt saw. Enough to classify it again with a better table; never a secret, never a body."""

    phase: Phase
    signal: Signal
    text: str = ""
    """The peer's own words, escaped, at most PEER_TEXT_LIMIT bytes."""
    facts: dict[str, str] = Field(default_factory=dict)
    """Protocol facts by name: banner, dialect, methods offered, host_key, domain, groups..."""
    record: str = ""
    submitted: bool = False
    """A password or signature was sent to the target: the attempt may have counted against the account."""
    reread: Reread = Reread.NOT_DONE
    views: tuple[View, ...] = ()
    """What it read in the vault, in order: `keymuster audit` pairs them with the vault's own rows."""
    started_at: float = 0.0
    phases: tuple[PhaseTime, ...] = ()

    @property
    def total_ms(self) -> float:
        return sum(p.ms for p in self.phases)


class Outcome(Wire):
    """An attempt has ended; the evidence says how."""

    v: Literal[1] = VERSION
    kind: Literal["outcome"] = "outcome"
    run: str
    job: str
    attempt: int
    lease: str
    appliance: str
    evidence: Evidence


class Deferred(Wire):
    """An attempt has ended before anything was submitted and asks to be dispatched again, not before a time."""

    v: Literal[1] = VERSION
    kind: Literal["deferred"] = "deferred"
    run: str
    job: str
    attempt: int
    lease: str
    appliance: str
    reason: str
    text: str = ""
    not_before: float
    vault: str = ""
    """The title of the vault that is away as a whole, where that is the reason; whoever needs it need not be sent."""
    secret: CredentialRef | None = None
    """The secret whose approval it waits for, where that is the reason; it need not be sent before that has come."""
    views: tuple[View, ...] = ()
    """As in evidence: an attempt may be put off in the middle of its reading."""


Report = Outcome | Deferred

_REPORT: TypeAdapter[Report] = TypeAdapter(Annotated[Outcome | Deferred, Field(discriminator="kind")])


def encode_report(report: Report) -> bytes:
    return report.model_dump_json().encode()


def decode_report(data: bytes) -> Report:
    """Read an Outcome or a Deferred. Raises ContractError."""
    try:
        return _REPORT.validate_json(data)
    except ValidationError as error:
        raise ContractError(_describe("Report", error)) from None


class PermitRequest(Wire):
    """May this attempt submit a password for this account now? Asked at most once per attempt and part."""

    v: Literal[1] = VERSION
    kind: Literal["request"] = "request"
    run: str
    job: str
    attempt: int
    lease: str
    holder: str
    """A random token of this asking, which the release must echo: a redelivered job may ask beside its twin, and must
    not give back what the other one holds."""
    account: Account
    record: str
    part: str = ""
    """Of an attempt that logs in more than once, which login it is for: each has a permit of its own."""
    valid_for: float
    """Seconds in which the verdict will be known; a permit not released by then counts as a failed logon."""
    logons: int = 1
    """As so many failed logons a failure would count."""


class PermitVerdict(StrEnum):
    GRANTED = "granted"
    WAIT = "wait"
    """Not now: hang up, defer the job until `until`."""
    SKIP = "skip"
    """The account's breaker is open or its budget spent, or an admin has stopped the login: do not submit; `cause` says
    why."""
    DUPLICATE = "duplicate"
    """This attempt has had its permit: a redelivery must not submit a second password."""


class PermitAnswer(Wire):
    v: Literal[1] = VERSION
    verdict: PermitVerdict
    cause: str = ""
    """For SKIP: the reason code that opened the breaker, LOCKOUT_BUDGET_SPENT, or STOPPED, with the stop in `text`."""
    text: str = ""
    until: float = 0.0


class PermitRelease(Wire):
    """The verdict of a permit: the pacer classifies the signal itself."""

    v: Literal[1] = VERSION
    kind: Literal["release"] = "release"
    run: str
    job: str
    attempt: int
    lease: str
    holder: str
    part: str = ""
    technology: Technology
    account: Account
    phase: Phase
    signal: Signal
    submitted: bool
    logons: int = 1
    """As so many failed logons a failure counts: sudo begins a second try before anybody can hang up, and PAM counts
    that too."""
    reread: Reread = Reread.NOT_DONE
    facts: dict[str, str] = Field(default_factory=dict)


PermitAsk = PermitRequest | PermitRelease
"""What a scan process says to the pacer."""


class Heartbeat(Wire):
    """An appliance is alive: how much it can carry and what it is doing."""

    v: Literal[1] = VERSION
    appliance: str
    zone: str
    capacity: int
    in_flight: int
    runs: tuple[str, ...] = ()
    sent_at: float
    draining: bool = False
    pulling: int = 0
    """Scan processes that take jobs, of all runs."""
    loop_lag_ms: float = 0.0
    """How late their event loops have been of late, the worst of them."""


class RunNotice(Wire):
    """A run is open in a zone: appliances start scan processes for it, and end them when the notice is gone."""

    v: Literal[1] = VERSION
    run: str
    zone: str
    vaults: tuple[str, ...]
    paused: bool = False


def account_key(authority: str, user: str) -> Account:
    r"""The one key under which `DOMAIN\u`, `u@realm` and `u` count as the same account of an authority."""
    bare = user.rsplit("\\", 1)[-1].split("@", 1)[0]
    return Account(authority=authority.strip().lower(), user=bare.strip().lower())


def peer_text(raw: bytes | str) -> str:
    """A peer's own words, safe to store and print: decoded, controls escaped, at most PEER_TEXT_LIMIT bytes."""
    text = raw.decode("utf-8", "backslashreplace") if isinstance(raw, bytes) else raw
    text = text.strip()[: PEER_TEXT_LIMIT + 1]  # whatever comes behind is cut off anyway: no megabytes are escaped
    if not text.isprintable():
        text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    encoded = text.encode("utf-8", "backslashreplace")
    if len(encoded) <= PEER_TEXT_LIMIT:
        return encoded.decode()
    return encoded[: PEER_TEXT_LIMIT - 3].decode("utf-8", "ignore") + "..."


def canonical(value: Any) -> bytes:
    """Stable JSON of plain data: what ids and snapshots are hashed over."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
