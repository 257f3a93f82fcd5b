"""Which runs of a store the cost model is made of."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from appliance.contract import (
    OK,
    Account,
    Candidate,
    CredentialRef,
    Evidence,
    Phase,
    PhaseTime,
    SecretLookup,
    Selection,
    Target,
    Technology,
)
from appliance.reasons import Status
from orchestrator.capacity.costs import Costs
from orchestrator.capacity.history import TELLING, learnt
from orchestrator.store import (
    AttemptRow,
    JobRow,
    RecordUse,
    RunRecord,
    RunState,
    Settled,
    Store,
    open_store,
)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = await open_store(tmp_path / "store.db")
    yield store
    await store.close()


async def ran(
    store: Store, run: str, campaign: str = "c", *, planned: int = TELLING, state: RunState = RunState.FINISHED
) -> None:
    """A run of one target, whose login took as many seconds as the run's name says."""
    await store.runs.add(RunRecord(run, campaign, float(run[1:]), state, 1, {}, planned=planned))
    use = RecordUse.of(
        Candidate(
            record="unix",
            user="scan",
            account=Account(authority="host:10.0.0.1", user="scan"),
            secret=CredentialRef(vault="Vault", by=SecretLookup.NAME, key="s"),
            selection=Selection.IP,
            port=22,
        )
    )
    job = JobRow(run, f"{run}-job", Technology.UNIX, Target(address="10.0.0.1"), (use,))
    await store.attempts.dispatched(run, [(job, AttemptRow(run, job.job, 1, "lease", 1.0))], {})
    phases = (PhaseTime(phase=Phase.AUTH, ms=float(run[1:]) * 1000),)
    evidence = Evidence(phase=Phase.LOGOFF, signal=OK, record="unix", started_at=2.0, phases=phases, submitted=True)
    ids = {"run": run, "job": job.job, "technology": Technology.UNIX, "attempt": 1, "lease": "lease", "appliance": "a"}
    end = {"reason": "PASSED", "status": Status.PASSED, "evidence": evidence, "finished_at": 99.0, "final": True}
    await store.attempts.settle([Settled(**ids, **end)])  # type: ignore[arg-type]  # its own names and types


def login_s(costs: Costs) -> float:
    return costs.of(Technology.UNIX)[0].busy


async def test_nothing_is_learnt_from_an_empty_store(store: Store) -> None:
    assert await learnt(store, "c") == Costs()


async def test_the_campaigns_latest_that_came_to_its_end(store: Store) -> None:
    for run in ("r1", "r2", "r3", "r4"):
        await ran(store, run)
    await ran(store, "r5", state=RunState.PAUSED)
    await ran(store, "r6", "another")
    costs = await learnt(store, "c")
    assert (costs.runs, login_s(costs)) == (("r4", "r3", "r2"), 4.0)


async def test_a_probe_tells_less_than_an_older_run(store: Store) -> None:
    await ran(store, "r1")
    await ran(store, "r2", planned=TELLING - 1)
    assert (await learnt(store, "c")).runs == ("r1", "r2")


async def test_a_campaign_without_a_run_learns_from_others(store: Store) -> None:
    await ran(store, "r1", "another")
    assert (await learnt(store, "c")).runs == ("r1",)


async def test_one_that_is_named_alone(store: Store) -> None:
    for run in ("r1", "r2"):
        await ran(store, run)
    assert (await learnt(store, "c", "r1")).runs == ("r1",)
