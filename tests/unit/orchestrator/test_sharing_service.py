"""The service deals out a zone's capacity to its open runs, and anew when one comes, goes, drains or is preferred."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import cast

import anyio

from appliance.contract import Account, Heartbeat
from orchestrator.account_state import Budget
from orchestrator.dispatch import Dispatcher, Pace
from orchestrator.purposes import Purposes
from orchestrator.run_plan import RunPlan
from orchestrator.service import Service
from orchestrator.store import Store
from orchestrator.zones import Zoning
from tests.simulation.coverage import Coverage
from tests.simulation.layer2 import SEEN
from tests.simulation.memory import Memory
from tests.simulation.oracle import Oracle
from tests.simulation.sim_bus import SimBroker
from tests.simulation.sim_store import SimStore
from tests.simulation.virtual_loop import run as run_virtually
from tests.unit.orchestrator.test_controller import Plan

ZONE = "z"


class Runs:
    def __init__(self, is_anothers: Callable[[str], bool] = lambda _run: False) -> None:
        rng = Random(1)  # noqa: S311 - a schedule
        self.broker = SimBroker(rng)
        self.memory = Memory()
        store = cast("Store", SimStore(self.memory, Oracle(Coverage(SEEN)), rng))
        self.service = Service(store, self.broker.orchestrator(), anyio.current_time, is_anothers=is_anothers)
        self.leases = iter(range(10_000))

    async def execute(self, name: str, targets: int, priority: int) -> None:
        pace, why = Pace(5.0, 0.0), Purposes("c", name)

        def budget(_account: Account, _record: str) -> Budget:
            return Budget(2, 60.0)

        plan = RunPlan(name, why, Zoning({ZONE: targets}), 0.0, targets, pace, ("V",), budget, priority=priority)
        dispatcher = Dispatcher(Plan(targets), pace, {}, lambda: f"lease {next(self.leases)}", lambda _a: 2)
        await self.service.execute(plan, dispatcher, controller_ready=lambda _controller: None)

    async def beat(self, capacity: int) -> None:
        appliance = self.broker.appliance("a", ZONE)
        while True:
            await appliance.heartbeat(
                Heartbeat(appliance="a", zone=ZONE, capacity=capacity, in_flight=0, sent_at=anyio.current_time())
            )
            await anyio.sleep(3.0)

    def shares(self, *names: str) -> list[int]:
        return [self.service.share(name, ZONE) for name in names]


def test_shares_follow_who_is_there_and_who_is_preferred() -> None:
    async def story() -> None:
        runs = Runs()
        async with anyio.create_task_group() as tasks:
            await tasks.start(runs.service.run)
            tasks.start_soon(runs.beat, 40)
            tasks.start_soon(runs.execute, "a", 5000, 10)
            await anyio.sleep(5.0)
            assert runs.shares("a") == [40]
            tasks.start_soon(runs.execute, "b", 5000, 30)
            await anyio.sleep(10.0)
            assert runs.shares("a", "b") == [10, 30]
            consumers = runs.broker.jobs[ZONE].consumers
            assert [consumers[name].capacity for name in ("a", "b")] == [10, 30]
            runs.service.prefer("a", 90)
            await anyio.sleep(5.0)
            assert runs.shares("a", "b") == [30, 10]
            assert [consumers[name].capacity for name in ("a", "b")] == [30, 10]
            tasks.start_soon(runs.execute, "c", 3, 1000)
            await anyio.sleep(5.0)
            assert sum(runs.shares("a", "b", "c")) == 40
            assert runs.shares("c")[0] <= 5, "it has three targets"
            controller = runs.service.controller("b")
            assert controller is not None
            controller.stopping.set()
            controller.wake()
            await anyio.sleep(5.0 + 10.0 + 5.0)
            assert runs.service.controller("b") is None
            assert sum(runs.shares("a", "c")) == 40
            tasks.cancel_scope.cancel()

    run_virtually(story, Random(1))  # noqa: S311 - a schedule


def test_an_appliance_that_cannot_read_a_runs_jobs_is_no_capacity_for_it() -> None:
    async def story() -> None:
        runs = Runs()
        async with anyio.create_task_group() as tasks:
            await tasks.start(runs.service.run)
            for name, reads, draining in (("old", (1, 1), False), ("new", (1, 2), False), ("away", (1, 2), True)):
                beat = Heartbeat(
                    appliance=name, zone=ZONE, capacity=5, in_flight=0, sent_at=0.0, reads=reads, draining=draining
                )
                await runs.broker.appliance(name, ZONE).heartbeat(beat)
            await anyio.sleep(1.0)
            assert [runs.service.capacity(ZONE, contract) for contract in (1, 2)] == [10, 5]
            assert runs.service.share("r", ZONE, 2) == 5
            tasks.cancel_scope.cancel()

    run_virtually(story, Random(1))  # noqa: S311 - a schedule
