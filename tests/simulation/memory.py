"""The store in memory, for both layers: what it has written may be gone after a power cut, except where it was synced.

Every write is one transaction in a journal. A power cut keeps a prefix of it: at least what was synced, at most all.
Which report counts is decided by the store's own rules (`orchestrator.store.fencing`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from appliance.reasons import Status
from orchestrator.permit_ledger import LedgerEntry
from orchestrator.run_state import Standing
from orchestrator.stops import Stops
from orchestrator.store.fencing import JobState, Verdict, judge
from orchestrator.store.records import Settled

JobKey = tuple[str, str]
"""(run, job)"""
AttemptValues = tuple[str, int, str, tuple[str, ...]]
"""(job, attempt, lease, tried)"""
EndValues = tuple[str, str, Status, int]
"""(job, reason, status, the attempt that is over)"""


@dataclass(slots=True)
class StoredJob:
    leases: dict[int, str] = field(default_factory=dict)
    tried: dict[int, tuple[str, ...]] = field(default_factory=dict)
    ended: dict[int, None] = field(default_factory=dict)
    outcome: tuple[int, str, Status] | None = None

    @property
    def newest(self) -> int:
        return max(self.leases, default=0)

    def state(self) -> JobState:
        open_ = {number: lease for number, lease in self.leases.items() if number not in self.ended}
        return JobState(open_, self.newest, finished=self.outcome is not None)


class Memory:
    """What survives. `ledger` and `stops` are durable with every write, as the real ones are."""

    def __init__(self) -> None:
        self.jobs: dict[JobKey, StoredJob] = {}
        self.cursors: dict[str, dict[str, int]] = defaultdict(dict)
        self.ledger: list[LedgerEntry] = []
        self.stops = Stops()
        self.standings: dict[str, Standing] = {}
        self._journal: list[tuple[Callable[..., object], tuple[Any, ...]]] = []
        self._synced = 0

    # -- writes: one transaction each --------------------------------------------------------------------------------

    def dispatched(
        self,
        run: str,
        rows: Sequence[AttemptValues],
        cursors: Mapping[str, int],
        held: Sequence[str] = (),
        ended: Sequence[EndValues] = (),
    ) -> list[bool]:
        """Attempts, cursors, the jobs that wait for their first attempt, and outcomes without an attempt: true for each
        of these that is the job's. Repeating changes nothing.
        """
        taken: list[bool] = self._write(self._dispatched, run, tuple(rows), dict(cursors), tuple(held), tuple(ended))
        return taken

    def settle(self, rows: Sequence[Settled]) -> list[bool]:
        taken: list[bool] = self._write(self._settle, tuple(rows))
        return taken

    def stand(self, run: str, standing: Standing) -> None:
        """Synced with all that was written before: it is one file."""
        self._write(self._stand, run, standing)
        self.sync()

    def _stand(self, run: str, standing: Standing) -> None:
        self.standings[run] = standing

    def _write(self, write: Callable[..., Any], *values: Any) -> Any:
        self._journal.append((write, values))
        return write(*values)

    def _dispatched(
        self,
        run: str,
        rows: Sequence[AttemptValues],
        cursors: Mapping[str, int],
        held: Sequence[str],
        ended: Sequence[EndValues],
    ) -> list[bool]:
        taken = self._finish(run, ended)
        for job in held:
            self.jobs.setdefault((run, job), StoredJob())
        for job, attempt, lease, tried in rows:
            stored = self.jobs.setdefault((run, job), StoredJob())
            if attempt not in stored.leases:
                stored.leases[attempt], stored.tried[attempt] = lease, tried
        for name, position in cursors.items():
            self.cursors[run][name] = max(position, self.cursors[run].get(name, 0))
        return taken

    def _settle(self, rows: Sequence[Settled]) -> list[bool]:
        keys = dict.fromkeys((row.run, row.job) for row in rows)
        states = {key: self.jobs[key].state() for key in keys if key in self.jobs}
        verdicts = judge(rows, states)
        for row, verdict in zip(rows, verdicts, strict=True):
            if verdict is Verdict.IGNORED:
                continue
            job = self.jobs[row.run, row.job]
            job.ended[row.attempt] = None
            if row.final and verdict is Verdict.DECIDES and job.outcome is None:
                job.outcome = (row.attempt, row.reason, row.status)
        return [verdict is Verdict.DECIDES for verdict in verdicts]

    def _finish(self, run: str, rows: Sequence[EndValues]) -> list[bool]:
        taken = []
        for name, reason, status, after in rows:
            job = self.jobs.setdefault((run, name), StoredJob())
            take = job.outcome is None and all(number <= after for number in job.state().open)
            if take:
                job.outcome = (job.newest, reason, status)
            taken.append(take)
        return taken

    # -- the disk ----------------------------------------------------------------------------------------------------

    def sync(self) -> None:
        """Everything written so far would survive a power cut."""
        self._synced = len(self._journal)

    def power_cut(self, rng: Random) -> int:
        """Forget the newest writes, from a point after the last sync on; how many they were."""
        keep = rng.randint(self._synced, len(self._journal))
        lost = len(self._journal) - keep
        journal, self._journal = self._journal[:keep], []
        self.jobs, self.cursors, self.standings = {}, defaultdict(dict), {}
        for write, values in journal:
            self._write(write, *values)
        return lost

    # -- reads -------------------------------------------------------------------------------------------------------

    def unfinished(self, run: str) -> list[tuple[str, StoredJob]]:
        """Known jobs without an outcome."""
        return [(job, stored) for (of, job), stored in self.jobs.items() if of == run and stored.outcome is None]

    def counts(self, run: str) -> dict[str, int]:
        found: dict[str, int] = defaultdict(int)
        for (of, _), job in self.jobs.items():
            if of == run and job.outcome is not None:
                found[job.outcome[2].value] += 1
        return dict(found)
