"""What one attempt saw, and its report. What that means is decided elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from appliance.contract.logins import CredentialRef
from appliance.contract.wire import ContractError, Phase, Wire, described


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
CUT = "cut_off"
"""The fact of an attempt whose end came before its deadline, since its run's window was over."""


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


NO_DESCRIPTOR = "no file descriptor was left"
"""Begins the text where the appliance's process may open no more: OWN_OVERLOAD, wherever that shows."""


class View(Wire):
    """A request for a secret's values, as the vault's audit ought to show it. Times: Unix seconds by the appliance."""

    vault: str
    secret_id: int
    asked: float
    answered: float
    """When its answer was there, or the wait for it was over: the vault wrote its row in between."""
    sure: bool = True
    """False where the vault may have answered, and may have not: cut off, or a server's error."""
    paced: float = 0.0
    """Seconds for which its request, and what had to be asked before it, waited for the vault's rate."""
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

    v: Literal[1] = 1
    kind: Literal["outcome"] = "outcome"
    run: str
    job: str
    attempt: int
    lease: str
    appliance: str
    evidence: Evidence


class Deferred(Wire):
    """An attempt has ended before anything was submitted and asks to be dispatched again, not before a time."""

    v: Literal[1] = 1
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
    paced: bool = False
    """Its turn did not come in time at a vault that limits its rate, and answers others: nothing speaks against it."""
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
        raise ContractError(described("Report", error)) from None
