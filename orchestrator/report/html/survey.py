"""What the page says of all outcomes together: sums, causes and times per phase."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from appliance.contract import Phase
from appliance.reasons import Status
from orchestrator.gates import GateResult
from orchestrator.report.rows import ReportRow
from orchestrator.report.summary import Summariser, Summary
from orchestrator.store.records import RunRecord

BINS = (1, 3, 10, 30, 100, 300, 1000, 3000, 10_000, 30_000, math.inf)
"""Upper ends of the histogram's classes, in ms."""


@dataclass(frozen=True, slots=True)
class PhaseTimes:
    """How long a phase took, in ms, over the targets that came to it."""

    phase: Phase
    number: int
    median: float
    p95: float
    longest: float
    histogram: tuple[int, ...]
    """Targets per class of BINS."""


class Survey:
    """Counts rows as they pass by."""

    def __init__(self, run: RunRecord, gates: Sequence[GateResult] = ()) -> None:
        self.run = run
        self._summariser = Summariser(run, gates)
        self._times: dict[Phase, array[float]] = {}
        self.appliances: Counter[str] = Counter()

    def add(self, row: ReportRow) -> None:
        self._summariser.add(row)
        for time in row.evidence.phases:
            self._times.setdefault(time.phase, array("d")).append(time.ms)
        if row.appliance:
            self.appliances[row.appliance] += 1

    def summary(self) -> Summary:
        return self._summariser.summary()

    def by_status(self) -> list[tuple[Status, int]]:
        totals = self.summary().totals
        return [(status, totals.of(status)) for status in Status]

    def phases(self) -> list[PhaseTimes]:
        """In the order in which a login goes through them."""
        return [_times(phase, sorted(self._times[phase])) for phase in Phase if phase in self._times]


def _times(phase: Phase, ordered: list[float]) -> PhaseTimes:
    counts = Counter(next(i for i, end in enumerate(BINS) if ms <= end) for ms in ordered)
    histogram = tuple(counts[i] for i in range(len(BINS)))
    return PhaseTimes(phase, len(ordered), _percentile(ordered, 50), _percentile(ordered, 95), ordered[-1], histogram)


def _percentile(ordered: Sequence[float], percent: int) -> float:
    """The nearest-rank percentile."""
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]
