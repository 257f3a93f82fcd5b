"""What runs have read, out of a real store: views that were told, and attempts of which nothing was heard."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from appliance.contract import OK, Evidence, Phase, Signal, View, named
from appliance.reasons import Status
from orchestrator.assembly import Prepared, Selection, prepare
from orchestrator.attempts import Planned
from orchestrator.audit.uses import LATE_S, SEARCH_S, UNHEARD_VIEWS, SecretKey, Use, Uses, VaultKey, uses_of
from orchestrator.campaign_model import Campaign
from orchestrator.run_state import RunState, Standing
from orchestrator.store import Store, open_store
from orchestrator.store.records import AttemptRow, JobRow, RecordUse, Settled

NOW = 2000.0
VAULT = VaultKey("https://vault.example/SecretServer", "svc", "")
SECRET = SecretKey(VAULT, 7)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = await open_store(tmp_path / "store.db")
    yield store
    await store.close()


def campaign(title: str = "Vault", user: str = "svc") -> Campaign:
    vault = {"title": title, "url": "https://vault.example/SecretServer/", "user": user, "password": {"env": "X"}}
    record = {
        "title": "Unix",
        "technology": "unix",
        "user": "scan",
        "vault": title,
        "secret": {"name": "root-{address}"},
        "ips": ["10.0.0.1-10.0.0.9"],
    }
    data: dict[str, Any] = {"name": "c", "vaults": [vault], "records": [record], "pace": {"deadline": "5s"}}
    return Campaign.model_validate({**data, "targets": {"include": ["10.0.0.1-10.0.0.9"]}})


async def a_run(store: Store, run: str = "r1", began: float = 1000.0, *, of: Campaign | None = None) -> Prepared:
    prepared = prepare(of or campaign(), Selection(), run=run, seed=1, now=began)
    assert isinstance(prepared, Prepared)
    await store.runs.add(prepared.record)
    return prepared


def view(at: float, vault: str = "Vault", secret_id: int = 7, *, sure: bool = True) -> View:
    return View(vault=vault, secret_id=secret_id, asked=at, answered=at + 0.5, sure=sure)


async def attempted(
    store: Store,
    prepared: Prepared,
    number: int = 0,
    *,
    views: Sequence[View] = (),
    phase: Phase = Phase.LOGOFF,
    signal: Signal = OK,
    record: str = "Unix",
    submitted: bool = True,
    ended: bool = True,
) -> Planned:
    """One attempt at the plan's n-th unit: dispatched at 1001, ended at 1010."""
    unit = prepared.plan.at(prepared.plan.cursors()[0], number)
    assert isinstance(unit, Planned)
    run = prepared.record.id
    job = JobRow(run, unit.job, unit.technology, unit.target, tuple(map(RecordUse.of, unit.candidates)))
    await store.attempts.dispatched(run, [(job, AttemptRow(run, unit.job, 1, "lease", 1001.0))], {})
    evidence = Evidence(phase=phase, signal=signal, record=record, submitted=submitted, views=tuple(views))
    row = Settled(
        run, unit.job, unit.technology, 1, "lease", "a1", "PASSED", Status.PASSED, evidence, 1010.0, final=True
    )
    if ended:
        assert await store.attempts.settle([row]) == [True]
    return unit


async def gathered(store: Store, prepared: Prepared) -> Uses:
    return await uses_of(store, prepared, NOW)


async def test_each_view_that_an_attempt_tells_is_a_use(store: Store) -> None:
    run = await a_run(store)
    unit = await attempted(store, run, views=[view(1002.0), view(1004.0, sure=False)])
    found = await gathered(store, run)
    told = Use(
        "r1", "c", unit.job, 1, unit.target.address, "unix", "a1", f"root-{unit.target.address}", 1002, 1002.5, True
    )
    assert found.by_secret == {SECRET: [told, replace(told, begin=1004.0, end=1004.5, sure=False)]}
    assert (found.unheard, found.unreadable_runs, found.titles) == ({}, [], {VAULT: "Vault"})


@pytest.mark.parametrize(
    ("how", "until"),
    [
        ({"signal": named("APPLIANCE_LOST"), "phase": Phase.LEASE, "submitted": False}, 1010.0),
        ({"signal": named("APPLIANCE_LOST"), "phase": Phase.PERMIT, "submitted": False}, 1010.0),
        ({"signal": named("NO_PACER"), "phase": Phase.DISPATCH, "submitted": False}, 1010.0),
        ({"phase": Phase.AUTH}, 1010.0),
        ({"ended": False}, NOW),
    ],
    ids=["lost", "redelivered", "put off while the bus was away", "of a release that noted no views", "not reported"],
)
async def test_an_attempt_of_which_nothing_was_heard_may_have_read(
    store: Store, how: dict[str, Any], until: float
) -> None:
    run = await a_run(store)
    unit = await attempted(store, run, **how)
    found = await gathered(store, run)
    [(ref, [use])] = found.unheard.items()
    assert ref == unit.candidates[0].secret
    assert (use.begin, use.end, use.sure, use.heard) == (1001.0, until + 5.0 + LATE_S, False, False)
    found.resolve(ref, SECRET)
    assert found.by_secret == {SECRET: [use] * UNHEARD_VIEWS}
    assert found.unheard == {}


@pytest.mark.parametrize(
    "how",
    [
        {"phase": Phase.TCP, "signal": named("TCP_TIMEOUT")},
        {"phase": Phase.AUTH, "signal": named("MFA_REQUIRED"), "record": ""},
    ],
    ids=["not reached", "refused before a record was chosen"],
)
async def test_an_attempt_that_came_to_no_login_has_read_nothing(store: Store, how: dict[str, Any]) -> None:
    run = await a_run(store)
    await attempted(store, run, submitted=False, **how)
    found = await gathered(store, run)
    assert (found.by_secret, found.unheard) == ({}, {})


async def test_other_runs_explain_rows_of_the_same_secrets_whatever_they_call_the_vault(store: Store) -> None:
    run, other = await a_run(store), await a_run(store, "r2", 1100.0, of=campaign("The same one", "SVC"))
    await attempted(store, run, views=[view(1002.0)])
    await attempted(store, other, 1, views=[view(1102.0, "The same one"), view(1103.0, "The same one", 8)])
    unheard = await attempted(store, other, 0, ended=False)
    found = await gathered(store, run)
    assert set(found.by_secret) == {SECRET}, "a secret that the run has not used is not its business"
    uses = found.by_secret[SECRET]
    assert [(use.run, use.begin) for use in uses if use.heard] == [("r1", 1002.0), ("r2", 1102.0)]
    assert [use.job for use in uses if not use.heard] == [unheard.job] * UNHEARD_VIEWS


async def test_runs_of_another_user_or_time_explain_nothing(store: Store) -> None:
    run = await a_run(store)
    await attempted(store, run, views=[view(1002.0)])
    elsewhere, before = await a_run(store, "r2", of=campaign(user="other")), await a_run(store, "r0", 500.0)
    await attempted(store, elsewhere, views=[view(1003.0)])
    await attempted(store, before, views=[view(600.0)])
    await store.runs.update("r0", state=RunState.FINISHED, finished_at=700.0)
    assert [use.run for use in (await gathered(store, run)).by_secret[SECRET]] == ["r1"]


async def test_a_run_that_was_paused_before_and_goes_on_explains_what_it_reads(store: Store) -> None:
    run, paused = await a_run(store), await a_run(store, "r0", 500.0)
    await attempted(store, run, views=[view(1002.0)])
    await store.runs.update("r0", standing=Standing(RunState.PAUSED), finished_at=700.0)
    await store.runs.update("r0", standing=Standing(RunState.RESUMING))
    await attempted(store, paused, 1, views=[view(1003.0)])
    assert [use.run for use in (await gathered(store, run)).by_secret[SECRET]] == ["r1", "r0"]


async def test_a_run_that_this_release_cannot_read_is_told(store: Store) -> None:
    run = await a_run(store)
    strange = replace(run.record, id="r9", snapshot={"schema": 99})
    await store.runs.add(strange)
    assert (await gathered(store, run)).unreadable_runs == ["r9"]


async def test_what_verify_clean_has_read_is_explained(store: Store) -> None:
    run, other = await a_run(store), await a_run(store, "r2")
    await attempted(store, run, views=[view(1002.0)])
    await attempted(store, other, views=[view(1003.0, secret_id=8)])
    await store.searches.begin("r1", 1500.0)
    await store.searches.end(await store.searches.begin("r1", 1600.0), 1610.0)
    await store.searches.end(await store.searches.begin("r1", 10.0), 20.0)
    await store.searches.begin("r2", 1700.0)
    [seen, *maybe] = (await gathered(store, run)).by_secret[SECRET]
    assert seen.begin == 1002.0
    assert {(use.begin, use.end) for use in maybe} == {(1500.0, 1500.0 + SEARCH_S), (1600.0, 1610.0)}
    assert {(use.run, use.sure) for use in maybe} == {("verify-clean r1", False)}
    assert len(maybe) == 2 * UNHEARD_VIEWS
