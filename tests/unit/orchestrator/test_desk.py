"""The holder's answers to other command lines, where a run is no longer in its hands."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import anyio
import pytest

from appliance.bus import BusError
from orchestrator.cli.control import Desk
from orchestrator.cli.engine import Engine
from orchestrator.cli.errors import Exit
from orchestrator.cli.given import Given
from orchestrator.lease_keeper import LeaseKeeper, run_lease
from orchestrator.run_state import Act, RunState
from orchestrator.store import RunRecord, open_store
from orchestrator.store.errors import StoreError


class Overtaken(LeaseKeeper):
    """Frozen as soon as it has taken a run, until another one has it."""

    async def take_run(self, run: str) -> str | None:
        owner = await super().take_run(run)
        seen = (await self._table.all())[run_lease(run)]
        assert await self._table.take({run_lease(run): seen}, "other", "another token")
        return owner


async def test_an_order_for_a_run_that_was_lost_a_moment_ago_is_answered(tmp_path: Path) -> None:
    store = await open_store(tmp_path / "store.db")
    try:
        await store.runs.add(RunRecord("r1", "c", 1.0, RunState.QUEUED, 1, {}))
        keeper = Overtaken(store.leases, store.fences, "here")
        async with anyio.create_task_group() as tasks:
            desk = Desk(cast("Engine", SimpleNamespace(store=store, keeper=keeper)), tasks)
            told = {"run": "r1", "given": Given(Act.CANCEL, "alice").data()}
            answer = json.loads(await desk.answer("order", json.dumps(told).encode()))
        assert answer["code"] == Exit.INCOMPLETE
        assert answer["error"].startswith("run r1 has been taken over by another orchestrator")
        assert "give the same command again" in answer["error"]
        record = await store.runs.get("r1")
        assert record is not None
        assert record.state is RunState.QUEUED
    finally:
        await store.close()


class Failing:
    """Its tables cannot be read, nor can the bus be asked."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def get(self, run: str) -> RunRecord | None:
        raise self._error


@pytest.mark.parametrize(
    ("error", "code"),
    [(StoreError("its disk is full"), Exit.INCOMPLETE), (BusError("the bus does not answer"), Exit.VAULT)],
)
async def test_what_fails_beneath_the_holder_is_an_answer_and_does_not_end_it(error: Exception, code: Exit) -> None:
    async with anyio.create_task_group() as tasks:
        desk = Desk(cast("Engine", SimpleNamespace(store=SimpleNamespace(runs=Failing(error)))), tasks)
        answer = json.loads(await desk.answer("priority", b'{"run": "r1", "priority": 1}'))
    assert answer == {"error": str(error), "code": code}
