"""What goes into the store and comes out of it: frozen values, no SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from appliance.contract import Account, Candidate, Evidence, Job, Phase, Target, Technology
from appliance.reasons import Status
from orchestrator.run_state import RunState, Standing


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One execution of a campaign. Times are Unix seconds."""

    id: str
    campaign: str
    created_at: float
    state: RunState
    seed: int
    snapshot: Mapping[str, Any]
    """The resolved campaign, as plain data, what was predicted of the run, and on whose bus it began. The store reads
    one thing in it: the vaults' titles and types.
    """
    planned: int = 0
    """Outcomes that the run will have when it is done."""
    parent: str | None = None
    """The run whose targets this one tries again."""
    finished_at: float | None = None
    spent: Mapping[str, Any] | None = None
    """What it has cost (`Spent.data`); None unless it went from its beginning to its end in one piece."""
    cursors: Mapping[str, int] = field(default_factory=dict)
    """How far each dispatch cursor has come."""
    held: Mapping[str, Any] | None = None
    """What holds or ends it (`Standing.data`); None where nothing does."""
    priority: int | None = None
    """None: the campaign's."""

    @property
    def standing(self) -> Standing:
        return Standing.of(self.state, self.held)


@dataclass(frozen=True, slots=True)
class RecordUse:
    """An authentication record as resolved for one target: what a report shows of the login. Names, no secrets."""

    record: str
    user: str
    vault: str
    secret: str
    port: int
    account: str
    """What a directory would lock: `user@dir:NAME`, or `user@host:ADDRESS`."""
    others: Sequence[Sequence[str]] = ()
    """(vault, secret) of what else an attempt with it may read: for root, after a refused key, at a jump host."""

    @property
    def secrets(self) -> tuple[tuple[str, str], ...]:
        """(vault, secret) of all that an attempt with it may read."""
        return tuple(dict.fromkeys(((self.vault, self.secret), *((vault, secret) for vault, secret in self.others))))

    @classmethod
    def of(cls, candidate: Candidate) -> Self:
        secret = candidate.secret
        account, others = str(candidate.account), [[ref.vault, ref.label] for ref in candidate.secrets[1:]]
        return cls(candidate.record, candidate.user, secret.vault, secret.label, candidate.port, account, others)


@dataclass(frozen=True, slots=True)
class JobRow:
    """One target with one technology, and the records that could serve it, in order of selection."""

    run: str
    job: str
    technology: Technology
    target: Target
    records: tuple[RecordUse, ...]

    @classmethod
    def of(cls, job: Job) -> Self:
        return cls(job.run, job.job, job.technology, job.target, tuple(map(RecordUse.of, job.candidates)))


@dataclass(frozen=True, slots=True)
class AttemptRow:
    run: str
    job: str
    attempt: int
    """From 1; a newer attempt has a higher number."""
    lease: str
    dispatched_at: float
    tried: tuple[str, ...] = ()
    """Records that this attempt must not try."""
    zone: str = ""
    """Whose appliances are to do it."""

    @classmethod
    def of(cls, job: Job, dispatched_at: float) -> Self:
        return cls(job.run, job.job, job.attempt, job.lease, dispatched_at, job.tried, job.zone)


@dataclass(frozen=True, slots=True)
class LogonCount:
    """What a run has asked of an account, as the ledger of permits has it."""

    account: str
    """`user@authority`, as in an outcome."""
    granted: int
    succeeded: int
    failed: int


@dataclass(frozen=True, slots=True)
class LogonSums:
    """Over several accounts."""

    accounts: int = 0
    granted: int = 0
    succeeded: int = 0
    failed: int = 0
    most_failed: int = 0
    """Of one account."""


@dataclass(frozen=True, slots=True)
class RunLogons:
    """What a run has asked of all its accounts."""

    directories: LogonSums = LogonSums()
    hosts: LogonSums = LogonSums()
    """Accounts of single hosts."""
    listed: tuple[LogonCount, ...] = ()
    """Some of directories, then some of hosts: each kind's with the most failures first."""


@dataclass(frozen=True, slots=True)
class PermitCount:
    """What a run has asked of an account at one target, as the ledger of permits has it."""

    run: str
    address: str
    """The target's, as the target list gave it."""
    technology: Technology
    account: Account
    granted: int
    succeeded: int
    failed: int
    neutral: int
    """Verdicts that neither prove an account nor count towards its lock-out."""

    @property
    def unanswered(self) -> int:
        """Permits whose verdict has not come: they may have failed."""
        return max(0, self.granted - self.succeeded - self.failed - self.neutral)


@dataclass(frozen=True, slots=True)
class ApprovalRow:
    """Access to a secret that a run has asked for, or was about to ask for."""

    url: str
    user: str
    secret_id: int
    run: str
    vault: str
    secret: str
    """As a record names it."""
    at: float
    """When, in Unix seconds."""
    after: int = 0
    """The highest id of the user's own requests before: a higher one is this run's, though its answer never came."""
    request: int = 0
    """The request's id in the vault; 0 while it is being filed."""
    ours: bool = True
    """Filed by a run; False: it was there, and is not taken back."""


@dataclass(frozen=True, slots=True)
class CheckOutRow:
    """A secret that a run has checked out of a vault, or was about to: written before the vault is asked."""

    url: str
    user: str
    """The vault counts check-outs per user: with `url` this is whose it is."""
    secret_id: int
    run: str
    vault: str
    """The vault's title in that run."""
    zone: str
    secret: str
    """As the record names it."""
    ours: bool = True
    """False: the vault's user had it before us, so it is not ours to give back."""


@dataclass(frozen=True, slots=True)
class SearchRow:
    """A time in which `verify-clean` has read the secrets of a run; Unix seconds."""

    run: str
    begun_at: float
    ended_at: float | None
    """None for one that was killed, or goes on."""


SeenKey = tuple[str, int, str, str]
"""A host key: (address, port, OpenSSH public key line, run)."""


@dataclass(frozen=True, slots=True)
class Settled:
    """An attempt has ended, and how. `final` is false when a newer attempt will follow."""

    run: str
    job: str
    technology: Technology
    attempt: int
    lease: str
    appliance: str
    reason: str
    status: Status
    evidence: Evidence
    finished_at: float
    final: bool


@dataclass(frozen=True, slots=True)
class Undispatched:
    """A final outcome that no attempt decided: no record, window closed, stopped."""

    job: JobRow
    reason: str
    status: Status
    evidence: Evidence
    finished_at: float
    after: int = 0
    """The job's newest attempt that the caller knows to be over, reported or not; 0 for none."""


@dataclass(frozen=True, slots=True)
class OpenAttempt:
    """An attempt whose end nobody has reported."""

    job: str
    attempt: int
    lease: str
    dispatched_at: float
    technology: Technology
    target: Target


@dataclass(frozen=True, slots=True)
class PastAttempt:
    """An attempt that ended without deciding its job."""

    attempt: int
    reason: str
    record: str
    submitted: bool
    views: int = 0
    """How often it has viewed a secret."""


@dataclass(frozen=True, slots=True)
class DispatchedAttempt:
    """An attempt that went out, with whatever is known of its end."""

    run: str
    job: str
    attempt: int
    technology: Technology
    target: Target
    records: tuple[RecordUse, ...]
    dispatched_at: float
    ended_at: float | None
    """None while nobody has reported it."""
    appliance: str
    evidence: Evidence | None


@dataclass(frozen=True, slots=True)
class TimedAttempt:
    """An attempt that has ended, by its times: what a cost model is made of. Seconds."""

    job: str
    technology: Technology
    account: str
    """Of the record that was used: `user@authority`; empty where it came to none."""
    reason: str
    dispatched: float
    """Unix seconds, like the next two."""
    began: float
    """When the appliance took it up; 0 where it never did."""
    ended: float
    """When its end was settled."""
    phases: Mapping[Phase, float]
    views: tuple[tuple[float, float], ...]
    """When each view was asked for, and when it was answered."""
    submitted: bool
    cut_off: bool
    """It was ended by the campaign's deadline."""
    paced: float = 0.0
    """Seconds for which what it asked of its vaults waited for their rate, where it came to a view."""


@dataclass(frozen=True, slots=True)
class VerdictTime:
    """How long an account's permits were out until the login's success was known; seconds."""

    account: str
    """`user@authority`, as in an outcome."""
    number: int
    mean: float


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A known job without an outcome: what a resumed run needs to go on with it."""

    job: JobRow
    attempt: int
    """The newest attempt's number; 0 for a job that was held before its first."""
    open: bool
    """The newest attempt has not been reported."""
    tried: tuple[str, ...]
    """What the newest attempt was told not to try."""
    history: tuple[PastAttempt, ...]


@dataclass(frozen=True, slots=True)
class OutcomeRow:
    """A job's one outcome, with all that a report says about it."""

    run: str
    job: str
    technology: Technology
    target: Target
    status: Status
    reason: str
    record: str
    """The record that was used; with a single candidate, that one even when the attempt ended before the choice."""
    user: str
    vault: str
    vault_type: str
    secret: str
    port: int
    """0 when no record is known."""
    account: str
    evidence: Evidence
    attempts: int
    """0 for an outcome that needed no attempt."""
    appliance: str
    finished_at: float
    zone: str = ""
    """That the deciding attempt was sent to; empty where there was none, or an older release sent it."""
    earlier: tuple[PastAttempt, ...] = ()
    """The attempts before the one that decided, as far as they were reported."""


@dataclass(frozen=True, slots=True)
class Remainder:
    """What a cursor had left when its run was ended: units from index `first` up to, without, `behind`."""

    cursor: str
    first: int
    behind: int
    technology: Technology
    status: Status
    reason: str
    finished_at: float
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class Count:
    technology: Technology
    status: Status
    reason: str
    number: int


@dataclass(frozen=True, slots=True)
class Totals:
    """One unit: target x technology. planned = passed + passed* + failed + not attempted + open, and a finished run has
    none open.
    """

    planned: int
    counts: tuple[Count, ...]

    @property
    def finished(self) -> int:
        return sum(c.number for c in self.counts)

    @property
    def open(self) -> int:
        return self.planned - self.finished

    def of(self, status: Status) -> int:
        return sum(c.number for c in self.counts if c.status is status)
