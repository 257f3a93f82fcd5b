"""Whatever the bus does to reports (order, duplicates, stale leases), a job has one outcome and the totals add up."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.contract import Evidence, Phase, Target, Technology, named
from appliance.reasons import REASONS, Status
from orchestrator.store import (
    AttemptRow,
    JobRow,
    OutcomeRow,
    RunRecord,
    RunState,
    Settled,
    Store,
    Undispatched,
    open_store,
)
from orchestrator.store.fencing import JobState, Verdict, judge

JOBS = 4
REASON_CODES = ["PASSED", "PRIV_NO_SUDO", "BAD_CREDENTIALS", "TCP_TIMEOUT"]


@dataclass(frozen=True)
class Report:
    job: int
    attempt: int
    mine: bool
    """With the attempt's own lease."""
    final: bool
    reason: str


@dataclass(frozen=True)
class Dispatch:
    job: int


@dataclass(frozen=True)
class GiveUp:
    jobs: frozenset[int]


Step = Dispatch | list[Report] | GiveUp

numbers = st.integers(0, JOBS - 1)
reports = st.builds(Report, numbers, st.integers(1, 3), st.booleans(), st.booleans(), st.sampled_from(REASON_CODES))
steps = st.one_of(
    st.builds(Dispatch, numbers), st.lists(reports, min_size=1, max_size=6), st.builds(GiveUp, st.frozensets(numbers))
)


def settled(run: str, report: Report) -> Settled:
    return Settled(
        run=run,
        job=f"j{report.job}",
        technology=Technology.UNIX if report.job % 2 else Technology.WINDOWS,
        attempt=report.attempt,
        lease=f"lease-{report.job}-{report.attempt}" if report.mine else "stale",
        appliance="a1",
        reason=report.reason,
        status=REASONS[report.reason].status,
        evidence=Evidence(phase=Phase.AUTH, signal=named(report.reason)),
        finished_at=1.0,
        final=report.final,
    )


def job_row(run: str, number: int) -> JobRow:
    technology = Technology.UNIX if number % 2 else Technology.WINDOWS
    return JobRow(run, f"j{number}", technology, Target(address=f"10.0.0.{number}"), ())


def undispatched(run: str, number: int) -> Undispatched:
    evidence = Evidence(phase=Phase.DISPATCH, signal=named("STOPPED"))
    return Undispatched(job_row(run, number), "STOPPED", Status.NOT_ATTEMPTED, evidence, 2.0)


class History:
    """Drives a store and remembers what it said."""

    def __init__(self, store: Store, run: str) -> None:
        self.store = store
        self.run = run
        self.attempts: Counter[int] = Counter()
        self.first: dict[str, str] = {}
        """The reason of each job's first final word that the store took."""
        self.decisions: Counter[tuple[str, int]] = Counter()

    async def step(self, step: Step) -> None:
        if isinstance(step, Dispatch):
            self.attempts[step.job] += 1
            number = self.attempts[step.job]
            attempt = AttemptRow(self.run, f"j{step.job}", number, f"lease-{step.job}-{number}", 0.0)
            await self.store.attempts.dispatched(self.run, [(job_row(self.run, step.job), attempt)], {})
        elif isinstance(step, GiveUp):
            rows = [undispatched(self.run, number) for number in sorted(step.jobs)]
            ends = await self.store.attempts.dispatched(self.run, [], {}, rows)
            for row, taken in zip(rows, ends, strict=True):
                if taken:
                    assert row.job.job not in self.first, "a job was finished twice"
                    self.first[row.job.job] = row.reason
        else:
            heard = [settled(self.run, report) for report in step]
            for word, report, decides in zip(heard, step, await self.store.attempts.settle(heard), strict=True):
                if not decides:
                    continue
                assert report.mine, "a stale lease was heard"
                self.decisions[word.job, word.attempt] += 1
                if word.final:
                    assert word.job not in self.first, "a job was finished twice"
                    self.first[word.job] = word.reason

    async def check(self) -> None:
        found: list[OutcomeRow] = [row async for row in self.store.attempts.outcomes(self.run)]
        assert {row.job: row.reason for row in found} == self.first
        assert len(found) == len(self.first), "one outcome a job"
        assert all(number == 1 for number in self.decisions.values()), "one decision an attempt"
        totals = await self.store.attempts.totals(self.run)
        assert totals.finished == len(found)
        assert totals.planned == JOBS == totals.open + sum(totals.of(status) for status in Status)
        pending = {row.job.job for row in await self.store.attempts.unfinished(self.run)}
        assert pending == {f"j{n}" for n in self.attempts} - self.first.keys()


names = count()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = await open_store(tmp_path / "store.db")
    yield store
    await store.close()


# One store serves all examples; each has a run of its own in it.
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(script=st.lists(steps, max_size=14))
async def test_one_outcome_a_job_and_totals_that_add_up(store: Store, script: list[Step]) -> None:
    history = History(store, f"r{next(names)}")
    await store.runs.add(RunRecord(history.run, "c", 0.0, RunState.RUNNING, 1, {}, planned=JOBS))
    for step in script:
        await history.step(step)
        await history.check()


@given(st.lists(reports, max_size=8))
def test_a_batch_is_judged_like_its_reports_one_by_one(batch: list[Report]) -> None:
    rows = [settled("r", report) for report in batch]
    jobs = {("r", f"j{n}"): JobState({1: f"lease-{n}-1", 2: f"lease-{n}-2"}, newest=2, finished=False) for n in (0, 1)}
    together = judge(rows, jobs)
    singly = []
    for row in rows:
        key = (row.run, row.job)
        [verdict] = judge([row], jobs)
        singly.append(verdict)
        if verdict is not Verdict.IGNORED:
            job = jobs[key]
            left = {number: lease for number, lease in job.open.items() if number != row.attempt}
            finished = job.finished or (row.final and verdict is Verdict.DECIDES)
            jobs[key] = JobState(left, job.newest, finished=finished)
    assert together == singly
