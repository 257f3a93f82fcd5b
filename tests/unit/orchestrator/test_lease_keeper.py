"""A keeper's looks go on whatever else the store refuses."""

from __future__ import annotations

from functools import partial
from random import Random
from typing import cast

import anyio

from orchestrator.lease_keeper import LeaseKeeper, run_lease
from orchestrator.leases import LOOK_S, LOST_S
from orchestrator.store import StoreError
from orchestrator.store.leases import Fences, LeaseRow, Leases
from tests.simulation.sim_leases import SimLeases
from tests.simulation.virtual_loop import run as run_virtually


async def _turn() -> None:
    await anyio.sleep(0.001)


class Refusing(SimLeases):
    """A server that lets nobody end sessions, or takes its time to say so."""

    asked = 0
    takes = 0.0

    async def end_frozen(self) -> int:
        self.asked += 1
        await anyio.sleep(self.takes)
        raise StoreError("its user may not do that: permission denied for function pg_terminate_backend")


def test_a_dead_ones_run_is_taken_over_though_no_session_can_be_ended() -> None:
    for takes in (0.0, 60.0):
        run_virtually(partial(_taken_over, takes), Random(1))  # noqa: S311 - a schedule


async def _taken_over(takes: float) -> None:
    name = run_lease("r")
    rows = {name: LeaseRow(name, "dead", "token", 7)}
    table = Refusing(rows, _turn, lambda: True)
    table.takes = takes
    keeper = LeaseKeeper(cast("Leases", table), Fences(), "heir")
    began = anyio.current_time()
    async with anyio.create_task_group() as tasks:
        await tasks.start(keeper.run)
        assert await keeper.take_run("r") is None
        assert anyio.current_time() - began <= LOST_S + 3 * LOOK_S
        assert table.asked
        tasks.cancel_scope.cancel()
