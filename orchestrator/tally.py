"""What attempts, permits and the store have come to since this process began: for metrics.

It is taken from what is written anyway: whoever tallies stands before the store's attempts and its ledger, hands each
call on, and counts what it was about. What a run's controller does is the same with and without it.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from appliance.contract import Evidence
from appliance.histogram import Histogram
from orchestrator.attempt_book import AttemptBook
from orchestrator.pacer_desk import FencedLedger
from orchestrator.permit_ledger import EntryKind, LedgerEntry
from orchestrator.store.leases import Held
from orchestrator.store.records import AttemptRow, JobRow, Settled, Undispatched

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
Ending = tuple[str, str, str]
"""Technology, status and reason."""


def _histogram() -> Histogram:
    return Histogram(SECONDS)


@dataclass(slots=True)
class Tally:
    attempts: Counter[Ending] = field(default_factory=Counter)
    outcomes: Counter[Ending] = field(default_factory=Counter)
    phases: dict[tuple[str, str], Histogram] = field(default_factory=lambda: defaultdict(_histogram))
    """By technology and phase."""
    views: dict[str, Histogram] = field(default_factory=lambda: defaultdict(_histogram))
    """By vault."""
    delay: Histogram = field(default_factory=_histogram)
    store: dict[str, Histogram] = field(default_factory=lambda: defaultdict(_histogram))
    entries: Counter[EntryKind] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    """Failures by realm: `directory` or `host`."""

    def ended(self, row: Settled) -> None:
        technology = row.technology.value
        ending = (technology, row.status.value, row.reason)
        self.attempts[ending] += 1
        if row.final:
            self.outcomes[ending] += 1
        self._timed(technology, row.evidence, row.finished_at)

    def _timed(self, technology: str, evidence: Evidence, at: float) -> None:
        total = 0.0
        for spent in evidence.phases:
            seconds = spent.ms / 1000
            total += seconds
            self.phases[technology, spent.phase.value].add(seconds)
        for view in evidence.views:
            self.views[view.vault].add(max(0.0, view.answered - view.asked))
        if evidence.started_at:
            self.delay.add(max(0.0, at - evidence.started_at - total))

    def left(self, row: Undispatched) -> None:
        self.outcomes[row.job.technology.value, row.status.value, row.reason] += 1

    def written(self, entry: LedgerEntry) -> None:
        self.entries[entry.kind] += 1
        if entry.kind is EntryKind.FAILURE:
            self.failed["directory" if entry.account.is_directory else "host"] += 1


@dataclass(frozen=True, slots=True)
class TalliedBook:
    """Implements `AttemptBook`."""

    book: AttemptBook
    tally: Tally

    async def dispatched(
        self,
        run: str,
        rows: Sequence[tuple[JobRow, AttemptRow | None]],
        cursors: Mapping[str, int],
        ended: Sequence[Undispatched] = (),
    ) -> list[bool]:
        began = time.perf_counter()
        taken = await self.book.dispatched(run, rows, cursors, ended)
        self.tally.store["dispatch"].add(time.perf_counter() - began)
        for row, fresh in zip(ended, taken, strict=True):
            if fresh:
                self.tally.left(row)
        return taken

    async def settle(self, rows: Sequence[Settled]) -> list[bool]:
        began = time.perf_counter()
        first = await self.book.settle(rows)
        if rows:
            self.tally.store["settle"].add(time.perf_counter() - began)
        for row, counted in zip(rows, first, strict=True):
            if counted:
                self.tally.ended(row)
        return first

    async def finished(self, run: str, names: Sequence[str]) -> int:
        return await self.book.finished(run, names)


@dataclass(frozen=True, slots=True)
class TalliedLedger:
    """Implements `pacer_desk.FencedLedger`."""

    ledger: FencedLedger
    tally: Tally

    async def append(self, entries: Sequence[LedgerEntry]) -> None:
        began = time.perf_counter()
        await self.ledger.append(entries)
        self._tell(entries, began)

    async def append_fenced(self, entries: Sequence[LedgerEntry], held: Collection[Held]) -> Sequence[Held]:
        began = time.perf_counter()
        stale = await self.ledger.append_fenced(entries, held)
        self._tell(() if stale else entries, began)
        return stale

    def _tell(self, entries: Sequence[LedgerEntry], began: float) -> None:
        self.tally.store["ledger"].add(time.perf_counter() - began)
        for entry in entries:
            self.tally.written(entry)
