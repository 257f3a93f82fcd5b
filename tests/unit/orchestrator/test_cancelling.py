"""The end of a cancelled run: one outcome for each target, totals that add up, and no row for each of millions."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from appliance.contract import Target, Technology
from appliance.reasons import Status
from orchestrator.assembly import Prepared, Selection, prepare
from orchestrator.attempts import Planned
from orchestrator.campaign_model import Campaign
from orchestrator.cancelling import end_all
from orchestrator.cli.given import Given
from orchestrator.cli.unattended import order_unattended
from orchestrator.outcomes import outcomes_of
from orchestrator.run_state import Act, RunState, Standing
from orchestrator.store import AttemptRow, JobRow, Store, open_store


def prepared(include: str) -> Prepared:
    vault = {"title": "V", "type": "Secret Server", "url": "https://v.test", "user": "u", "password": {"env": "E"}}
    record = {"title": "R", "technology": "unix", "user": "scan", "vault": "V", "secret": "s", "ips": [include]}
    campaign = Campaign.model_validate(
        {"name": "c", "vaults": [vault], "records": [record], "targets": {"include": [include]}}
    )
    made = prepare(campaign, Selection(), run="r1", seed=7, now=1.0)
    assert isinstance(made, Prepared)
    return made


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await open_store(tmp_path / "store.db")
    yield opened
    await opened.close()


async def begun(store: Store, run: Prepared, out: int) -> list[Planned]:
    """A run of whose plan so many have gone out."""
    await store.runs.add(run.record)
    await store.runs.update(run.record.id, standing=Standing(RunState.RUNNING))
    (cursor,) = run.plan.cursors()
    units = [unit for n in range(out) if isinstance(unit := run.plan.at(cursor, n), Planned)]
    rows = [
        (JobRow("r1", u.job, u.technology, u.target, ()), AttemptRow("r1", u.job, 1, f"lease {n}", 2.0) if n else None)
        for n, u in enumerate(units)
    ]
    await store.attempts.dispatched("r1", rows, {cursor: out})
    return units


async def test_every_target_of_a_cancelled_run_has_one_outcome(store: Store) -> None:
    run = prepared("10.0.0.0/24")
    units = await begun(store, run, 10)
    standing = await order_unattended(store, "r1", Given(Act.CANCEL, "alice", "wrong list"))
    assert standing.state is RunState.CANCELLED
    record = await store.runs.get("r1")
    assert record is not None
    assert (record.state, record.standing.by, record.standing.why) == (RunState.CANCELLED, "alice", "wrong list")
    found = [outcome async for outcome in outcomes_of(store, record)]
    assert Counter(o.target.address for o in found) == Counter(f"10.0.0.{n}" for n in range(256))
    assert {(o.reason, o.status, o.technology) for o in found} == {("CANCELLED", Status.NOT_ATTEMPTED, Technology.UNIX)}
    assert {o.job for o in found} == {unit.job for unit in run.plan.walk()}
    assert sum(o.attempts == 1 for o in found) == 9, "those that were out, and not the one that was held"
    assert all("by alice" in o.evidence.text and "wrong list" in o.evidence.text for o in found)
    assert {o.record for o in found if o.job not in {u.job for u in units}} == {"R"}
    totals = await store.attempts.totals("r1")
    assert (totals.planned, totals.finished, totals.open) == (256, 256, 0)


async def test_again_changes_nothing(store: Store) -> None:
    run = prepared("10.0.0.0/24")
    await begun(store, run, 10)
    standing = Standing(RunState.CANCELLING, by="alice", since=5.0)
    counts = run.plan.counts()
    assert await end_all("r1", counts, store.attempts, store.remainders, standing, 6.0) == 10
    first = await store.attempts.totals("r1")
    assert await end_all("r1", counts, store.attempts, store.remainders, standing, 9.0) == 0
    assert await store.attempts.totals("r1") == first


async def test_a_whole_eight_is_one_row(store: Store) -> None:
    run = prepared("10.0.0.0/8")
    await begun(store, run, 3)
    await order_unattended(store, "r1", Given(Act.CANCEL, "alice"))
    (rest,) = await store.remainders.of("r1")
    assert (rest.first, rest.behind) == (3, 1 << 24)
    totals = await store.attempts.totals("r1")
    assert totals.planned == totals.of(Status.NOT_ATTEMPTED) == 1 << 24
    record = await store.runs.get("r1")
    assert record is not None
    seen = set()
    async for outcome in outcomes_of(store, record):
        seen.add(outcome.target)
        if len(seen) == 1000:
            break
    assert len(seen) == 1000
    assert all(isinstance(target, Target) for target in seen)
