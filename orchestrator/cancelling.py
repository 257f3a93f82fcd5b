"""The end of a cancelled run: every target that has no outcome yet gets one, and the totals add up.

What the store knows of (held, put off, cut off in flight) gets its row, in batches; what the cursors have not come to
is ended as a whole, so that a /8 takes no longer than a /24. Every step may be repeated after a crash.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Protocol

from appliance.contract import Evidence, Phase, Technology, named
from appliance.reasons import REASONS, Status
from orchestrator.attempt_book import AttemptBook
from orchestrator.run_state import Standing
from orchestrator.store.records import Undispatched, Unfinished

CANCELLED = "CANCELLED"
BATCH = 500
Counts = Mapping[str, tuple[Technology, int]]


class Open(AttemptBook, Protocol):
    async def unfinished(self, run: str) -> Sequence[Unfinished]: ...


class Closing(Protocol):
    """See `store.remainders`."""

    async def close(
        self,
        run: str,
        counts: Counts,
        *,
        reason: str,
        status: Status,
        evidence: Evidence,
        finished_at: float,
    ) -> None: ...


async def end_all(run: str, counts: Counts, attempts: Open, remainders: Closing, standing: Standing, now: float) -> int:
    """Nothing of the run may be under way. `counts`: how many units each cursor has. How many known jobs were ended so.
    Raises StoreError.
    """
    status = REASONS[CANCELLED].status
    evidence = Evidence(phase=Phase.DISPATCH, signal=named(CANCELLED), text=standing.text, started_at=now)
    await remainders.close(run, counts, reason=CANCELLED, status=status, evidence=evidence, finished_at=now)
    left = iter(await attempts.unfinished(run))
    ended = 0
    while batch := list(islice(left, BATCH)):
        rows = [Undispatched(job.job, CANCELLED, status, evidence, now, after=job.attempt) for job in batch]
        ended += sum(await attempts.dispatched(run, [], {}, rows))
    return ended
