"""What becomes of the arrivals, counted: histograms, intervals and reasons where a run has its store's rows.

The rules, stated here and nowhere else:

 L1 latency     From when an arrival was due until its end was heard of, whatever its end. One that has not ended when
                the test is over counts with its age by then: its latency is that at least.
 L2 stages      An arrival's latency is what its stages add up to (`stages`). Of one that was put off, the last
                attempt's phases are known; what was before it is `deferred`.
 L3 success     An arrival whose login (or, vault only, whose read) worked, with whatever rights. All else is an error,
                by its reason.
 L4 served      An arrival counts as served if its last attempt was begun within ON_TIME_S of its due time and ended
                within its deadline, and nobody has turned it away (TURNED_AWAY): who answers "too much" has not
                answered. A host that is closed, or a secret that is wrong, has been served: it ends so at any rate.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from appliance.contract import NO_DESCRIPTOR, Phase
from appliance.reasons import Status
from orchestrator.load.bottleneck import OWN_LIMIT
from orchestrator.load.latency import Latency
from orchestrator.load.source import Arrivals, arrival_of_job
from orchestrator.load.stages import BUS, DEFERRED, REPORT, WAIT
from orchestrator.store.records import AttemptRow, JobRow, Settled, Undispatched

ON_TIME_S = 1.0
GRACE_S = 1.0
"""Beyond an attempt's deadline, the time its report may take."""
INTERVALS = 300
"""At most so many; the longer a test, the longer each."""
EARLY = 0.1
"""The first share of the arrivals, which the later ones are held against."""
UNFINISHED = "UNFINISHED"
"""In place of a reason: begun or not, it had not ended when the test was over."""
TURNED_AWAY = frozenset({
    "VAULT_RATE_LIMITED", "VAULT_TIMEOUT", "VAULT_UNREACHABLE", "SSH_THROTTLED", "SSH_PENALTY", "SESSION_LIMIT",
    "SERVER_BUSY", "PERMIT_WAIT", "NO_PACER", "SKIPPED_BREAKER", "LOCKOUT_BUDGET_SPENT", "STOPPED", "OWN_OVERLOAD",
    "APPLIANCE_LOST", "INTERNAL", UNFINISHED,
})  # fmt: skip
RECENT = 5
"""Intervals that the live view looks back on."""


@dataclass(slots=True)
class Interval:
    """A stretch of the test. Arrivals are `due` and `served` in the one they were due in, `ended` where they ended."""

    begins: float
    """Seconds from the test's start."""
    due: int = 0
    served: int = 0
    ended: int = 0
    succeeded: int = 0
    p50: float = 0.0
    """Latency of those that ended in it, in milliseconds."""
    p95: float = 0.0
    p99: float = 0.0
    _spent: list[float] = field(default_factory=list)

    def add(self, latency: float, *, succeeded: bool) -> None:
        self.ended += 1
        self.succeeded += succeeded
        self._spent.append(latency)

    def close(self) -> None:
        """Nothing ends in it any more."""
        if self._spent:
            ordered = sorted(self._spent)
            self.p50, self.p95, self.p99 = (1000 * _nearest(ordered, percent) for percent in (50, 95, 99))
            self._spent = []


def _nearest(ordered: Sequence[float], percent: int) -> float:
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


@dataclass(slots=True)
class _Open:
    due: float
    sent: float = 0.0
    again: float = 0.0
    """When its newest attempt was sent."""
    attempt: int = 0
    """0: it waits to be sent."""
    over: int = 0
    """Its newest attempt that has ended."""


@dataclass(slots=True)
class Means:
    """Seconds per arrival and stage, of a part of the arrivals."""

    count: int = 0
    spent: dict[str, float] = field(default_factory=dict)

    def add(self, stages: Mapping[str, float]) -> None:
        self.count += 1
        for stage, seconds in stages.items():
            self.spent[stage] = self.spent.get(stage, 0.0) + seconds

    def by_stage(self) -> Mapping[str, float]:
        return {stage: spent / self.count for stage, spent in self.spent.items()}


class Recorder:
    """Implements `AttemptBook`. Memory is bounded by what is open, the intervals and the stages."""

    def __init__(self, arrivals: Arrivals, deadline: float) -> None:
        self.arrivals = arrivals
        self.deadline = deadline
        schedule = arrivals.schedule
        self.width = max(1.0, float(-(-schedule.duration // INTERVALS)))
        self.intervals = [Interval(n * self.width) for n in range(int(-(-schedule.duration // self.width)))]
        self._first = [schedule.before(interval.begins) for interval in self.intervals]
        """The number of the first arrival of each."""
        for interval, first, following in zip(
            self.intervals, self._first, [*self._first[1:], schedule.total], strict=True
        ):
            interval.due = following - first
        self.tail: list[Interval] = []
        """After the last arrival was due, while what was under way ends."""
        self.total = Latency()
        self.stages: dict[str, Latency] = {}
        self.early, self.late = Means(), Means()
        self.reasons: Counter[str] = Counter()
        self.put_off: Counter[str] = Counter()
        """Attempts that ended without an end of their arrival, by reason."""
        self.words: Counter[str] = Counter()
        """Of all attempts that have ended: their reasons; OWN_LIMIT where they waited for our own limit on requests to
        a vault.
        """
        self.first_words: dict[str, str] = {}
        """By reason, what the first to end so has said."""
        self.succeeded = 0
        self._open: dict[str, _Open] = {}
        self._current = 0
        """The index of the interval that is going on."""

    # -- the controller's book ---------------------------------------------------------------------------------------

    async def dispatched(
        self,
        run: str,  # noqa: ARG002 - a recorder is of one test
        rows: Sequence[tuple[JobRow, AttemptRow | None]],
        cursors: Mapping[str, int],  # noqa: ARG002 - nothing is resumed
        ended: Sequence[Undispatched] = (),
    ) -> list[bool]:
        for job, attempt in rows:
            if job.job not in self._open:
                self._open[job.job] = _Open(self._due(job.job))
            known = self._open[job.job]
            if attempt is not None and attempt.attempt > known.attempt:
                known.sent = known.sent or attempt.dispatched_at
                known.again, known.attempt = attempt.dispatched_at, attempt.attempt
        for row in ended:
            self._leave_out(row)
        return [True] * len(ended)

    async def settle(self, rows: Sequence[Settled]) -> list[bool]:
        return [self._settle(row) for row in rows]

    async def finished(self, run: str, names: Sequence[str]) -> int:  # noqa: ARG002 - every target comes again
        return 0

    def _leave_out(self, row: Undispatched) -> None:
        known = self._open.pop(row.job.job, None)
        due = known.due if known is not None else self._due(row.job.job)
        waited = max(0.0, row.finished_at - due)
        self.first_words.setdefault(row.reason, row.evidence.text)
        self._end(row.job.job, row.reason, row.finished_at, {WAIT: waited}, served=False, succeeded=False)

    def _settle(self, row: Settled) -> bool:
        known = self._open.get(row.job)
        if known is None or row.attempt <= known.over:
            return False
        known.over = row.attempt
        own_limit = row.reason == "OWN_OVERLOAD" and (not row.final or row.evidence.phase is Phase.VAULT)
        own_limit &= not row.evidence.text.startswith(NO_DESCRIPTOR)  # more requests at once would make that worse
        self.words[OWN_LIMIT if own_limit else row.reason] += 1
        self.first_words.setdefault(row.reason, row.evidence.text)
        if not row.final:
            self.put_off[row.reason] += 1
            return True
        del self._open[row.job]
        evidence = row.evidence
        begun = evidence.started_at or known.again
        stages = {
            WAIT: max(0.0, known.sent - known.due),
            **({DEFERRED: known.again - known.sent} if row.attempt > 1 else {}),
            BUS: max(0.0, begun - known.again),
            **{time.phase.value: time.ms / 1000 for time in evidence.phases},
        }
        stages[REPORT] = max(0.0, row.finished_at - known.due - sum(stages.values()))
        on_time = begun - known.due <= ON_TIME_S
        in_time = evidence.total_ms / 1000 <= self.deadline + GRACE_S
        served = on_time and in_time and row.reason not in TURNED_AWAY
        succeeded = row.status in (Status.PASSED, Status.PASSED_LIMITED)
        self._end(row.job, row.reason, row.finished_at, stages, served=served, succeeded=succeeded)
        return True

    # -- counting ----------------------------------------------------------------------------------------------------

    def _end(
        self, job: str, reason: str, at: float, stages: Mapping[str, float], *, served: bool, succeeded: bool
    ) -> None:
        number = arrival_of_job(job)
        latency = max(0.0, at - self._due(job))
        self.total.add(latency)
        for stage, seconds in stages.items():
            if stage not in self.stages:
                self.stages[stage] = Latency()
            self.stages[stage].add(seconds)
        (self.early if number < EARLY * self.arrivals.schedule.total else self.late).add(stages)
        if succeeded:
            self.succeeded += 1
        else:
            self.reasons[reason] += 1
        self.intervals[bisect_right(self._first, number) - 1].served += served
        self._at(at).add(latency, succeeded=succeeded)

    def close(self, now: float, lasted: float) -> int:
        """The test is over, after so many seconds in which arrivals were due: what has not ended by now never will
        (L1). How many those are.
        """
        never_sent = range(self.arrivals.taken, self.arrivals.schedule.before(lasted))
        ages = [now - one.due for one in self._open.values()]
        ages += [now - self.arrivals.due("", number) for number in never_sent]
        for age in ages:
            self.total.add(max(0.0, age))
        if ages:
            self.reasons[UNFINISHED] += len(ages)
        self._open.clear()
        for interval in (*self.intervals, *self.tail):
            interval.close()
        return len(ages)

    @property
    def ended(self) -> int:
        return self.succeeded + sum(self.reasons.values())

    def recent(self, now: float) -> Sequence[Interval]:
        """The newest intervals that are over, oldest first."""
        self._at(now)
        return (*self.intervals, *self.tail)[max(0, self._current - RECENT) : self._current]

    def _at(self, when: float) -> Interval:
        """The interval of a moment; nothing ends in those before it any more."""
        index = max(0, int((when - self.arrivals.began) // self.width))
        while index >= len(self.intervals) + len(self.tail):
            self.tail.append(Interval((len(self.intervals) + len(self.tail)) * self.width))
        while self._current < index:
            self._of(self._current).close()
            self._current += 1
        return self._of(index)

    def _of(self, index: int) -> Interval:
        n = len(self.intervals)
        return self.intervals[index] if index < n else self.tail[index - n]

    def _due(self, job: str) -> float:
        return self.arrivals.due("", arrival_of_job(job))
