"""The cost model, out of the runs that the store has."""

from __future__ import annotations

from orchestrator.capacity.costs import Costs, PastRun, costs_of
from orchestrator.capacity.spent import Spent
from orchestrator.run_state import RunState
from orchestrator.store import Store
from orchestrator.store.records import RunRecord

RUNS = 3
SAMPLE = 5_000
"""Targets of a run that are looked at: their evidence takes a second to read."""
TELLING = 50
"""Up to so many targets, a run with more of them tells more, however early it was: a probe has one."""


async def learnt(store: Store, campaign: str, run: str | None = None) -> Costs:
    """From this run, or from the latest that came to their end: of the campaign, else of any. Raises StoreError."""
    return costs_of([await _past(store, record) for record in _chosen(await store.runs.all(), campaign, run)])


def _chosen(records: list[RunRecord], campaign: str, run: str | None) -> list[RunRecord]:
    """The one that tells most first."""
    if run is not None:
        return [record for record in records if record.id == run]
    finished = [record for record in reversed(records) if record.state is RunState.FINISHED]
    own = [record for record in finished if record.campaign == campaign]
    return sorted(own or finished, key=lambda record: -min(record.planned, TELLING))[:RUNS]


async def _past(store: Store, record: RunRecord) -> PastRun:
    return PastRun(
        run=record.id,
        spent=None if record.spent is None else Spent.of(record.spent),
        attempts=await store.timings.attempts(record.id, SAMPLE),
        verdicts=await store.timings.verdicts(record.id),
        jobs=record.planned,
    )
