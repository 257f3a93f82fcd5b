"""What releases of contract version 1 have written is read, and they are written what they read, or nothing.

`golden/v1` was made by the release before version 2: a message of each kind, with the JSON Schema of what that release
read, and `golden/store_0010.sql`, a store as it left one.
"""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from anyio import to_thread
from jsonschema import Draft202012Validator

from appliance import access, contract, questions
from appliance.contract import VERSION, ContractError, Heartbeat, RunNotice, Wire, ZoneOrders, sealed
from appliance.reasons import Status
from orchestrator.assembly import Prepared, dispatcher, recall, run_plan
from orchestrator.campaign_model import Campaign
from orchestrator.job_message import job_of
from orchestrator.run_state import RunState
from orchestrator.store import AttemptRow, JobRow, Settled, Store, open_store
from tests.unit.orchestrator.test_zones import campaign

GOLDEN = Path(__file__).parent / "golden"
KINDS: dict[str, type[Wire]] = {
    kind.__name__: kind
    for kind in (
        contract.Job,
        contract.RunNotice,
        contract.Heartbeat,
        contract.PermitRequest,
        contract.PermitAnswer,
        contract.PermitRelease,
        contract.Outcome,
        contract.Deferred,
        access.AccessRequest,
        access.AccessAnswer,
        questions.VaultQuery,
        questions.VaultAnswer,
        contract.EnrolmentToken,
        contract.EnrolmentRequest,
        contract.EnrolmentAnswer,
        sealed.SealedLogins,
    )
}
TO_APPLIANCES = ("Job", "RunNotice", "PermitAnswer", "AccessAnswer", "VaultQuery", "EnrolmentAnswer", "SealedLogins")


def golden(name: str) -> dict[str, Any]:
    return dict(json.loads((GOLDEN / "v1" / f"{name}.json").read_text()))


def what_is_wrong(name: str, message: object) -> list[str]:
    """What a reader of version 1 would refuse; it refuses unknown fields, too."""
    schema = json.loads((GOLDEN / "v1" / f"{name}.schema.json").read_text())
    return [error.message for error in Draft202012Validator(schema).iter_errors(message)]


def test_the_golden_messages_are_whole() -> None:
    assert {path.name.partition(".")[0] for path in (GOLDEN / "v1").iterdir()} == KINDS.keys()
    assert [what_is_wrong(name, golden(name)) for name in KINDS] == [[] for _ in KINDS]
    assert what_is_wrong("Job", {**golden("Job"), "new": 1}), "the schemas are as strict as the release was"


@pytest.mark.parametrize("name", KINDS)
def test_a_message_of_version_1_is_read_and_nothing_of_it_is_lost(name: str) -> None:
    message = golden(name)
    read = KINDS[name].decode(json.dumps(message).encode())
    assert json.loads(read.encode()).items() >= message.items()


@pytest.mark.parametrize("name", TO_APPLIANCES)
def test_what_an_appliance_is_sent_is_of_version_1(name: str) -> None:
    """Every field in use, so that no form of it can slip."""
    assert what_is_wrong(name, json.loads(KINDS[name].decode(json.dumps(golden(name)).encode()).encode())) == []


def test_the_jobs_that_are_written_today_are_read_by_version_1() -> None:
    parsed = campaign('[[zones]]\nname = "dmz"\nips = ["10.2.0.0/16"]\nfallback = "default"\n')
    prepared = _prepared(parsed)
    plan = run_plan(prepared)
    assert plan.contract == 1
    step = dispatcher(prepared, [], lambda: "lease", 0.0).step(
        capacity=dict.fromkeys(plan.zones.all, 4),
        now=0.0,
        broken=lambda _: False,
        stop_on=lambda _: None,
    )
    jobs = [job_of(attempt, plan, {}) for attempt in step.attempts]
    assert {job.zone for job in jobs} == {"default", "dmz"}
    assert [what_is_wrong("Job", json.loads(job.encode())) for job in jobs] == [[] for _ in jobs]


def test_jobs_of_a_newer_version_are_announced_so_that_an_older_appliance_cannot_read_it() -> None:
    """No notice, no scan process; no scan process, no pull."""
    notice = RunNotice(v=2, run="r", zone="z", vaults=(), targets=1)
    assert what_is_wrong("RunNotice", json.loads(notice.encode())) == ["1 was expected"]
    ours = json.loads(RunNotice(run="r", zone="z", vaults=(), targets=1).encode())
    assert what_is_wrong("RunNotice", ours) == []
    with pytest.raises(ContractError, match=r"unreadable RunNotice: v"):
        RunNotice.decode(json.dumps({**ours, "v": VERSION + 1}).encode())


def test_a_beat_of_version_1_takes_jobs_of_version_1_alone() -> None:
    old = Heartbeat.decode(json.dumps(golden("Heartbeat")).encode())
    assert (old.reads, old.release, old.takes(1), old.takes(2)) == ((1, 1), "", True, False)
    ours = Heartbeat(appliance="a", zone="z", capacity=1, in_flight=0, sent_at=0.0, reads=(1, VERSION))
    assert ours.takes(1)
    assert ours.takes(VERSION)
    assert not ours.takes(VERSION + 1)


def test_who_is_drained() -> None:
    orders = ZoneOrders(zone="z", appliances=("a", "b"))
    assert [orders.drains(name) for name in ("a", "c")] == [True, False]
    assert ZoneOrders(zone="z", all=True).drains("c")


def _prepared(parsed: Campaign) -> Prepared:
    from orchestrator.assembly import Selection, prepare  # noqa: PLC0415 - beside the contract's Selection

    prepared = prepare(parsed, Selection(), run="r", seed=1, now=0.0)
    assert isinstance(prepared, Prepared)
    return prepared


# -- the store ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def old_store(tmp_path: Path) -> Path:
    file = tmp_path / "store.db"
    connection = sqlite3.connect(file)
    connection.executescript((GOLDEN / "store_0010.sql").read_text())
    connection.close()
    return file


async def test_a_store_of_the_release_before_is_read_and_gone_on_with(old_store: Path) -> None:
    store = await open_store(old_store)
    try:
        record = await store.runs.get("r1")
        assert record is not None
        assert (record.state, record.cursors) == (RunState.RUNNING, {"unix/default": 2})
        prepared = recall(record)
        assert isinstance(prepared, Prepared)
        assert run_plan(prepared).zones.all == ("default",)
        [outcome] = [row async for row in store.attempts.outcomes("r1")]
        assert (outcome.status, outcome.appliance, outcome.zone) == (Status.PASSED, "dmz-1", "")
        unfinished = await store.attempts.unfinished("r1")
        made = dispatcher(prepared, unfinished, lambda: "new lease", 2000.0)
        step = made.step(capacity={"default": 4}, now=2000.0, broken=lambda _: False, stop_on=lambda _: None)
        assert {(attempt.planned.target.address, attempt.attempt, attempt.zone) for attempt in step.attempts} == {
            ("10.0.0.2", 2, "default"),
            *((one.planned.target.address, 1, "default") for one in step.attempts if one.attempt == 1),
        }
        await _ends(store, prepared, step.attempts[0])
        await to_thread.run_sync(_as_the_release_before_writes, old_store)
        rows = {row.target.address: row.zone async for row in store.attempts.outcomes("r1")}
        assert sorted(rows.values()) == ["", "", "default"]
        assert [row.zone for row in await store.check_outs.all()] == ["default"]
    finally:
        await store.close()


async def _ends(store: Store, prepared: Prepared, attempt: Any) -> None:
    job = job_of(attempt, run_plan(prepared), {})
    await store.attempts.dispatched("r1", [(JobRow.of(job), AttemptRow.of(job, 2000.0))], {})
    evidence = contract.Evidence(phase=contract.Phase.LOGOFF, signal=contract.OK)
    row = Settled(
        run="r1",
        job=job.job,
        technology=job.technology,
        attempt=job.attempt,
        lease=job.lease,
        appliance="dmz-1",
        reason="PASSED",
        status=Status.PASSED,
        evidence=evidence,
        finished_at=2001.0,
        final=True,
    )
    assert await store.attempts.settle([row]) == [True]


def _as_the_release_before_writes(file: Path) -> None:
    """It is still running, on the store that the newer one has migrated, and knows nothing of the new column."""
    connection = sqlite3.connect(file)
    with connection:
        jobs = "INSERT INTO jobs SELECT run, 'old', technology, '10.0.0.9', host, fqdn, domain, 'x', records FROM jobs"
        connection.execute(f"{jobs} WHERE job = 'j1'")
        columns = "ended_at, appliance, reason, status, evidence"
        connection.execute(
            f"INSERT INTO attempts (run, job, attempt, lease, dispatched_at, tried, {columns}) "  # noqa: S608 - constants
            f"SELECT run, 'old', attempt, lease, dispatched_at, tried, {columns} FROM attempts WHERE job = 'j1'"
        )
        connection.execute(
            "INSERT INTO outcomes SELECT run, 'old', attempt, technology, status, reason, finished_at, evidence "
            "FROM outcomes WHERE job = 'j1'"
        )
    connection.close()
