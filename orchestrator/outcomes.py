"""Every outcome of a run: those with rows of their own, and those of targets that were ended together.

The latter are the plan's units behind the place that a cursor had come to; the plan is made anew for them, and walked
without being written out. They come last, in the plan's order.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from anyio.lowlevel import checkpoint

from orchestrator.assembly import Prepared, recall
from orchestrator.attempts import Planned, Unplannable
from orchestrator.store import Store
from orchestrator.store.records import OutcomeRow, RecordUse, Remainder, RunRecord

AT_A_TIME = 500


async def outcomes_of(store: Store, run: RunRecord) -> AsyncIterator[OutcomeRow]:
    """Each target and technology once. Raises SnapshotError where the run's campaign is needed and cannot be read."""
    async for outcome in store.attempts.outcomes(run.id):
        yield outcome
    rest = await store.remainders.of(run.id)
    prepared = recall(run) if rest else None
    if not isinstance(prepared, Prepared):
        return
    types = {vault.title: vault.type for vault in prepared.campaign.vaults}
    for part in rest:
        for index in range(part.first, part.behind):
            if index % AT_A_TIME == 0:
                await checkpoint()
            yield _outcome(run.id, prepared.plan.at(part.cursor, index), part, types)


def _outcome(run: str, unit: Planned | Unplannable, part: Remainder, types: dict[str, str]) -> OutcomeRow:
    candidates = unit.candidates if isinstance(unit, Planned) else ()
    used = RecordUse.of(candidates[0]) if len(candidates) == 1 else RecordUse("", "", "", "", 0, "")
    return OutcomeRow(
        run=run,
        job=unit.job,
        technology=unit.technology,
        target=unit.target,
        status=part.status,
        reason=part.reason,
        record=used.record,
        user=used.user,
        vault=used.vault,
        vault_type=types.get(used.vault, ""),
        secret=used.secret,
        port=used.port,
        account=used.account,
        evidence=part.evidence,
        attempts=0,
        appliance="",
        finished_at=part.finished_at,
    )
