"""A load test under way: the real service on the simulated bus and a virtual clock; the test plays the appliances."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from itertools import count
from math import isinf
from random import Random

import anyio
import pytest

from appliance.contract import OK, Deferred, Evidence, Heartbeat, Outcome, Phase, PhaseTime, Report
from orchestrator.controller import DRAIN_GRACE_S, RunController
from orchestrator.load.bottleneck import Name
from orchestrator.load.driving import READY_S, CpuUse, Driver, LoadTest, load_test
from orchestrator.load.rate import Rate, Schedule
from orchestrator.load.recorder import UNFINISHED
from orchestrator.load.result import LoadResult, result_of
from orchestrator.service import Service
from tests.simulation.coverage import Coverage
from tests.simulation.memory import Memory
from tests.simulation.oracle import Oracle
from tests.simulation.sim_bus import SimBroker
from tests.simulation.sim_store import SimStore
from tests.simulation.virtual_loop import run as run_virtually
from tests.unit.load.arrivals import DEADLINE, RUN, a_plan

ZONE = "default"


class World:
    """A load test and its driver; `slots` appliances' worth of logins that take `login_s` each."""

    def __init__(self, rate: Rate, duration: float, *, slots: int, login_s: float) -> None:
        self.slots, self.login_s = slots, login_s
        self.pulling = 1
        self.put_off = 0
        """So many attempts are put off for a second, before the first one succeeds."""
        self.broker = SimBroker(Random(1))  # noqa: S311 - a schedule, not a secret
        self.bus = self.broker.orchestrator()
        leases = count()
        schedule = Schedule(rate, duration)
        self.test: LoadTest = load_test(a_plan(50), schedule, lambda: f"lease {next(leases)}", vault_only=False)
        self.memory = Memory()
        store = SimStore(self.memory, Oracle(Coverage()), Random(1)).as_store()  # noqa: S311 - as above
        self.service = Service(store, self.bus, anyio.current_time)
        self.driver: Driver | None = None
        self.ended = anyio.Event()
        self.ended_at = 0.0

    async def serve(self) -> None:
        """The service with this one run in it, as the command has it."""
        async with anyio.create_task_group() as tasks:
            await tasks.start(self.service.run)

            def ready(controller: RunController) -> None:
                self.driver = Driver(
                    test=self.test,
                    controller=controller,
                    beats=lambda: self.service.beats(ZONE),
                    expected=1,
                    capacity=lambda: self.service.capacity(ZONE),
                    cpu=self._cpu,
                    clock=anyio.current_time,
                )
                tasks.start_soon(self.driver.run, name="driver")

            await self.service.wait_for_appliance(ZONE)
            book = self.test.recorder
            await self.service.execute(self.test.plan, self.test.dispatcher, controller_ready=ready, book=book)
            self.ended_at = anyio.current_time()
            tasks.cancel_scope.cancel()
        self.ended.set()

    @staticmethod
    async def _cpu() -> CpuUse:
        return CpuUse()

    def stop(self) -> None:
        assert self.driver is not None
        self.driver.stop()

    async def beat(self) -> None:
        appliance = self.broker.appliance("a", ZONE)
        while True:
            now = anyio.current_time()
            await appliance.heartbeat(
                Heartbeat(appliance="a", zone=ZONE, capacity=self.slots, in_flight=0, sent_at=now, pulling=self.pulling)
            )
            await anyio.sleep(0.5)

    async def work(self) -> None:
        async with anyio.create_task_group() as tasks:
            for slot in range(self.slots):
                tasks.start_soon(self._slot, name=f"slot {slot}")

    async def _slot(self) -> None:
        appliance = self.broker.appliance("a", ZONE)
        while True:
            for lease in await appliance.lease(RUN, 1, 1.0):
                job, began = lease.job, anyio.current_time()
                ids = {"run": job.run, "job": job.job, "attempt": job.attempt, "lease": job.lease, "appliance": "a"}
                if self.put_off:
                    self.put_off -= 1
                    report: Report = Deferred(**ids, reason="VAULT_RATE_LIMITED", not_before=began + 1.0)
                else:
                    await anyio.sleep(self.login_s)
                    spent = PhaseTime(phase=Phase.AUTH, ms=1000 * self.login_s)
                    evidence = Evidence(phase=Phase.LOGOFF, signal=OK, started_at=began, phases=(spent,))
                    report = Outcome(**ids, evidence=evidence)
                await appliance.publish(report)
                await lease.done()

    def result(self, stopped: str = "") -> LoadResult:
        return result_of(self.test, campaign="c", targets=50, cores=2, ended_at=self.ended_at, stopped=stopped)


Test = Callable[[World], Awaitable[None]]


def with_load(
    per_second: float = 20.0, duration: float = 5.0, *, slots: int = 10, login_s: float = 0.1
) -> Callable[[Test], Callable[[], None]]:
    def decorate(test: Test) -> Callable[[], None]:
        def sync() -> None:
            async def whole() -> None:
                world = World(Rate(per_second, per_second), duration, slots=slots, login_s=login_s)
                async with anyio.create_task_group() as tasks:
                    for step in (world.serve, world.beat, world.work):
                        tasks.start_soon(step, name=step.__name__)
                    await test(world)
                    tasks.cancel_scope.cancel()

            run_virtually(whole, Random(1))  # noqa: S311 - as above

        return sync

    return decorate


@with_load()
async def test_a_rate_that_is_held(world: World) -> None:
    await world.ended.wait()
    result = world.result()
    assert (result.due, result.succeeded, result.unfinished) == (100, 100, 0)
    assert (result.held, result.held_rate, result.bottleneck.name) == (True, 20.0, Name.NONE)
    assert result.latency.p99 < 500
    assert not world.memory.jobs, "nothing of it is in the store"
    assert [round(sample.at) for sample in result.samples][:4] == [1, 2, 3, 4]


@with_load(40.0, login_s=0.5)
async def test_latency_tells_of_those_who_wait_for_a_slot(world: World) -> None:
    """10 slots at 0.5 s carry 20/s: half of 200 arrivals wait, the last of them as long again as the test."""
    await world.ended.wait()
    result = world.result()
    assert (result.due, result.unfinished, result.held) == (200, 0, False)
    assert result.achieved == pytest.approx(20.0, abs=3.0)
    assert result.latency.longest > 4500
    spent = {stage.name: stage.latency for stage in result.stages}
    assert spent["auth"].p99 == pytest.approx(500, rel=0.05)
    assert result.bottleneck.name is Name.CAPACITY


@with_load(40.0, login_s=2.0)
async def test_its_end_is_bounded(world: World) -> None:
    """What is never begun counts as unfinished, with its age."""
    await world.ended.wait()
    assert world.ended_at <= world.test.over_at + 2 * (DEADLINE + DRAIN_GRACE_S) + 1.0
    result = world.result()
    assert result.unfinished > 0
    assert (result.due, result.ended + result.unfinished) == (200, 200)
    assert {one.reason: one.count for one in result.errors} == {UNFINISHED: result.unfinished}
    assert result.latency.count == 200
    assert result.bottleneck.name is Name.HOST, "2 s for a login is slow, whatever the capacity"


@with_load()
async def test_it_begins_when_somebody_takes_jobs(world: World) -> None:
    world.pulling = 0
    await anyio.sleep(READY_S / 2)
    assert isinf(world.test.arrivals.began)
    world.pulling = 1
    await world.ended.wait()
    assert READY_S / 2 < world.test.arrivals.began < READY_S
    assert world.result().succeeded == 100


@with_load()
async def test_it_begins_all_the_same_when_nobody_does(world: World) -> None:
    world.pulling = 0
    await world.ended.wait()
    assert world.test.arrivals.began == pytest.approx(READY_S, abs=1.0)


@with_load(duration=60.0)
async def test_an_interrupt_ends_it_with_what_there_is(world: World) -> None:
    await anyio.sleep(3.0)
    world.stop()
    await world.ended.wait()
    assert world.ended_at < 10.0
    result = world.result("it was interrupted")
    assert result.lasted == pytest.approx(3.0, abs=0.5)
    assert result.due == result.ended
    assert result.held


@with_load()
async def test_an_interrupt_before_its_first_arrival_ends_it_too(world: World) -> None:
    world.pulling = 0
    await anyio.sleep(1.0)
    world.stop()
    await world.ended.wait()
    assert (world.result("it was interrupted").due, world.ended_at < 10.0) == (0, True)


@with_load()
async def test_what_is_put_off_comes_again_and_is_late(world: World) -> None:
    world.put_off = 30
    await world.ended.wait()
    result = world.result()
    assert (result.succeeded, result.put_off[0].reason, result.put_off[0].count) == (100, "VAULT_RATE_LIMITED", 30)
    deferred = next(stage.latency for stage in result.stages if stage.name == "deferred")
    assert 0 < deferred.count <= 30, "some were put off twice"
    assert deferred.p50 >= 1000
    assert result.bottleneck.name is Name.VAULT
