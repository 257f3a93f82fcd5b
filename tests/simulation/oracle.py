"""The promises, checked after each step. Written from the design's words, not from the code under test: where it
repeats a rule, it repeats it in another way, over the ledger's entries and the store's rows alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from appliance.contract import Account, Report
from appliance.reasons import Lockout
from orchestrator.attempts import OpenAttempt
from orchestrator.collect import Again, Final
from orchestrator.controller import ORCHESTRATOR
from orchestrator.permit_ledger import EntryKind, LedgerEntry
from orchestrator.stops import Stop
from orchestrator.store.records import Settled
from tests.simulation.coverage import Coverage
from tests.simulation.estate import Submission, secret_of
from tests.simulation.kernel import Violation
from tests.simulation.memory import JobKey, Memory


@dataclass(slots=True)
class _Paced:
    """An account as the ledger's entries tell it."""

    unanswered: dict[Submission, None] = field(default_factory=dict)
    proven: dict[str, None] = field(default_factory=dict)
    breaker: LedgerEntry | None = None


class Oracle:
    """Watches one world."""

    def __init__(self, coverage: Coverage) -> None:
        self.coverage = coverage
        self.began: dict[str, float] = {}
        self._accounts: dict[Account, _Paced] = defaultdict(_Paced)
        self._granted: dict[Submission, None] = {}
        self._submitted: dict[Submission, None] = {}
        self._leases: dict[str, None] = {}
        self._sent: dict[tuple[str, str, int, str], None] = {}
        self.ambush: Callable[[], None] | None = None
        """Happens while the next permit is being made durable."""
        self._told: list[tuple[Stop, float]] = []
        self._too_late: dict[Submission, str] = {}

    # -- permits -----------------------------------------------------------------------------------------------------

    def durable(self, entries: Iterable[LedgerEntry]) -> None:
        """Ledger entries have reached the disk, in this order."""
        for entry in entries:
            paced = self._accounts[entry.account]
            key = (entry.run, entry.job, entry.attempt)
            if entry.kind is EntryKind.GRANTED:
                self._grant(entry, paced, key)
            elif entry.kind is EntryKind.BREAKER:
                paced.breaker = entry
            else:
                self._answered(entry, paced, key)

    def _answered(self, entry: LedgerEntry, paced: _Paced, key: Submission) -> None:
        paced.unanswered.pop(key, None)
        if entry.kind is EntryKind.SUCCESS:
            paced.breaker = None
            paced.proven[entry.run] = None
        elif entry.kind is EntryKind.FAILURE:
            paced.proven.clear()
            if key not in self._granted:
                self.coverage.hit("R9")

    def _grant(self, entry: LedgerEntry, paced: _Paced, key: Submission) -> None:
        if key in self._granted:
            raise Violation(f"{key} was given a permit twice")
        if paced.unanswered and entry.run not in paced.proven:
            raise Violation(f"{entry.account}: {key} goes in beside {list(paced.unanswered)} before a canary succeeded")
        broken = paced.breaker
        if broken is not None and (broken.run == entry.run or self.began[entry.run] <= broken.at):
            raise Violation(f"{entry.account}: {key} has a permit though the breaker is open ({broken.cause})")
        for stop, told_at in self._told:
            if stop.selector.binds_account(entry.account) or stop.selector.binds_secret(secret_of(entry.account)):
                if entry.at > told_at:
                    raise Violation(
                        f"{key} is granted a permit at {entry.at}, and stopped since {told_at}: {stop.text}"
                    )
                self._too_late[key] = stop.text
        self._granted[key] = None
        paced.unanswered[key] = None

    def stopped(self, stop: Stop, at: float) -> None:
        """An admin has been told that it holds."""
        self._told.append((stop, at))

    def appending(self, entries: Iterable[LedgerEntry]) -> None:
        """Ledger entries are on their way to the disk."""
        if self.ambush is not None and any(entry.kind is EntryKind.GRANTED for entry in entries):
            spring, self.ambush = self.ambush, None
            spring()

    def allowed(self) -> None:
        """Every stop is about to be lifted."""
        self.ambush = None
        self.ambush = None
        self._told.clear()

    def lifted(self, stops: Sequence[Stop]) -> None:
        """These do not hold any more; whoever gave one may have been told so after the order to lift all."""
        self._told = [(stop, at) for stop, at in self._told if stop not in stops]

    def goes_out(self, attempts: Iterable[OpenAttempt]) -> None:
        """Attempts are about to be dispatched."""
        for attempt in attempts:
            left = [c for c in attempt.planned.candidates if c.record not in attempt.tried]
            for stop, _ in self._told:
                at = stop.selector
                if all(at.binds_account(c.account) or at.binds_secret(c.secret) for c in left):
                    raise Violation(f"{attempt.planned.job} is dispatched, and nothing is left to it: {stop.text}")

    def granted_to(self, attempt: OpenAttempt, run: str, memory: Memory) -> None:
        """A permit is about to be granted for an attempt."""
        job = memory.jobs[run, attempt.planned.job]
        if job.newest != attempt.attempt or job.leases[job.newest] != attempt.lease:
            raise Violation(f"permit for {attempt.planned.job}:{attempt.attempt}, which is not the newest attempt")

    def left(self, run: str) -> None:
        """The run's controller has ended: what it had out is void, and after a power cut numbers may come again."""
        for key in [key for key in self._granted if key[0] == run]:
            del self._granted[key]
            self._submitted.pop(key, None)
            self._too_late.pop(key, None)

    def submitted(self, who: Submission) -> None:
        if who not in self._granted:
            raise Violation(f"{who} submits a password without a durable permit")
        if who in self._too_late:
            raise Violation(f"{who} submits with a permit that was durable after its stop: {self._too_late[who]}")
        if who in self._submitted:
            raise Violation(f"{who} submits a second password")
        self._submitted[who] = None

    def answered(self) -> None:
        """Long after everything has ended: no permit is out any more."""
        out = {account: list(paced.unanswered) for account, paced in self._accounts.items() if paced.unanswered}
        if out:
            raise Violation(f"permits that were never answered: {out}")

    # -- jobs --------------------------------------------------------------------------------------------------------

    def dispatched(self, run: str, name: str, number: int, lease: str, memory: Memory) -> None:
        """D5, against the store."""
        job = memory.jobs.get((run, name))
        newest = job.newest if job is not None else 0
        if number != newest + 1:
            raise Violation(f"{name}: attempt {number} after {newest}")
        if lease in self._leases:
            raise Violation(f"{name}:{number} has a lease token that was used before")
        if job is not None and job.outcome is not None:
            raise Violation(f"{name} has its outcome, and yet gets attempt {number}")
        self._leases[lease] = None

    def open(
        self,
        attempts: Iterable[OpenAttempt],
        *,
        most: int,
        per_account: Callable[[Account], int] | None,
        per_subnet: int,
    ) -> None:
        """D1, D3, D4. An account's breaker may lift D3: `per_account` is None then."""
        accounts: dict[Account, int] = defaultdict(int)
        subnets: dict[str, int] = defaultdict(int)
        number = 0
        for attempt in attempts:
            number += 1
            subnets[attempt.planned.target.address.rsplit(".", 1)[0]] += 1
            account = attempt.planned.account
            if account is not None:
                accounts[account] += 1
        if number > most:
            raise Violation(f"{number} attempts are open, with room for {most}")
        for account, open_now in accounts.items():
            if per_account is not None and open_now > per_account(account):
                raise Violation(f"{open_now} attempts of {account} are open, with room for {per_account(account)}")
        if per_subnet and max(subnets.values(), default=0) > per_subnet:
            raise Violation(f"{max(subnets.values())} attempts in one subnet, with room for {per_subnet}")

    def sent(self, report: Report) -> None:
        """An appliance has published a report."""
        self._sent[report.run, report.job, report.attempt, report.lease] = None

    def settled(self, rows: Iterable[Settled]) -> None:
        """Reports are about to be taken into the store."""
        for row in rows:
            if row.appliance != ORCHESTRATOR and (row.run, row.job, row.attempt, row.lease) not in self._sent:
                raise Violation(f"{row.job}:{row.attempt} ends with a report that nobody has sent for it")

    def taken(self, report: Report, attempt: OpenAttempt, decision: Again | Final) -> None:
        """A report decides what becomes of its job."""
        if (report.attempt, report.lease) != (attempt.attempt, attempt.lease):
            raise Violation(f"a report of {report.job}:{report.attempt} was taken for attempt {attempt.attempt}")
        self.decided(attempt, decision)

    @staticmethod
    def decided(attempt: OpenAttempt, decision: Again | Final) -> None:
        if isinstance(decision, Final):
            return
        repeat = decision.repeat
        spent = decision.evidence.submitted and decision.reason.lockout is not Lockout.NO
        other_secret = repeat.rotations == attempt.rotations + 1 == 1
        other_account = len(repeat.tried) > len(attempt.tried)
        if spent and not other_secret and not other_account:
            raise Violation(f"{attempt.planned.job}: the same password again after {decision.reason.code}")

    def ended(self, key: JobKey, memory: Memory) -> None:
        """A final outcome is about to be written."""
        job = memory.jobs.get(key)
        if job is not None and job.outcome is not None:
            raise Violation(f"{key} ends a second time")

    @staticmethod
    def finished(planned: Mapping[str, object], run: str, counts: Mapping[str, int], memory: Memory) -> None:
        """The run says that it is done: one outcome each, and totals that add up."""
        ends = [job for (of, job), state in memory.jobs.items() if of == run and state.outcome is not None]
        if sorted(ends) != sorted(planned):
            raise Violation(f"run {run} is done without an outcome for {sorted(set(planned) - set(ends))}")
        if sum(counts.values()) != len(planned):
            raise Violation(f"run {run}: {sum(counts.values())} outcomes counted of {len(planned)} planned")
