"""The simulated bus misbehaves when told to, and the same way each time. What it does otherwise: tests/contract."""

from __future__ import annotations

from functools import partial
from random import Random
from typing import TypeVar

import anyio
import pytest

from appliance.bus import BusUnavailable, NoPacer
from appliance.contract import PermitAnswer, PermitRequest, PermitVerdict
from tests.contract.test_bus import beat, job, nobody_asks, notice, outcome, permit_request
from tests.simulation.sim_bus import Faults, SimAppliance, SimBroker, SimOrchestrator
from tests.simulation.virtual_loop import Stuck, VirtualLoop, run

T = TypeVar("T")


def seeded(seed: int) -> Random:
    return Random(seed)  # noqa: S311 - the same seed must give the same history


async def opened(broker: SimBroker) -> tuple[SimOrchestrator, SimAppliance]:
    bus = broker.orchestrator()
    await bus.open_zone("z")
    await bus.open_run(notice(), 100)
    return bus, broker.appliance("alpha", "z")


async def troubled(seed: int) -> list[str]:
    """Twenty jobs through two appliances, with everything going wrong that can; what happened, in order."""
    happened: list[str] = []
    done: dict[str, None] = {}
    faults = Faults(latency=0.05, early_redelivery=0.2, reorder=0.3, lost_ack=0.1)
    broker = SimBroker(seeded(seed), faults=faults)
    bus, _ = await opened(broker)

    async def work(name: str) -> None:
        appliance = broker.appliance(name, "z")
        while True:
            for lease in await appliance.lease("r1", 5, 1.0):
                happened.append(f"{anyio.current_time():.6f} {name} {lease.job.job} {lease.delivery}")
                await appliance.publish(outcome(lease.job, name))
                await lease.done()

    async def collect() -> None:
        async with bus.reports("r1") as reports:
            async for batch in reports:
                for delivery in batch:
                    done[delivery.report.job] = None
                    await delivery.done()

    async with anyio.create_task_group() as tasks:
        for name in ("alpha", "beta"):
            tasks.start_soon(work, name)
        tasks.start_soon(collect)
        await bus.put([job(f"{n}") for n in range(20)])
        broker.lose_leader()
        while len(done) < 20:  # noqa: ASYNC110 - the end is a state of the collector
            await anyio.sleep(1)
        tasks.cancel_scope.cancel()
    return happened


def test_a_seed_gives_one_history() -> None:
    histories = []
    for seed in (1, 1, 2):
        history, loop = run(partial(troubled, seed), seeded(seed))
        histories.append((history, loop.time(), loop.steps))
    assert histories[0] == histories[1]
    assert histories[0] != histories[2]
    assert any(line.endswith(" 2") for line in histories[0][0])


def test_a_leader_change_is_waited_out_and_a_long_one_is_not() -> None:
    async def story() -> None:
        broker = SimBroker(seeded(0))
        bus, appliance = await opened(broker)
        broker.lose_leader(9)
        began = anyio.current_time()
        assert None not in await bus.put([job("a")])
        assert anyio.current_time() - began == 9
        broker.lose_leader(20)
        assert await bus.put([job("b")]) == [None]
        assert anyio.current_time() - began == 24
        broker.lose_leader(20)
        with pytest.raises(BusUnavailable):
            await appliance.publish(outcome(job("a")))

    run(story, seeded(0))


def test_requests_survive_a_leader_change_but_not_a_stop() -> None:
    async def request(_: PermitRequest, __: str) -> PermitAnswer:
        return PermitAnswer(verdict=PermitVerdict.GRANTED)

    async def story() -> None:
        broker = SimBroker(seeded(0))
        bus, appliance = await opened(broker)
        async with bus.permits(request, nobody_asks):
            broker.lose_leader(9)
            assert (await appliance.permit(permit_request(job("a")), 5)).verdict is PermitVerdict.GRANTED
            broker.stop(20)
            with pytest.raises(NoPacer):
                await appliance.permit(permit_request(job("b")), 5)
            with pytest.raises(BusUnavailable):
                await appliance.lease("r1", 1, 5)

    run(story, seeded(0))


@pytest.mark.parametrize(("faults", "arrived"), [(Faults(lost_question=1), 0), (Faults(lost_answer=1), 1)])
def test_a_permit_is_lost_on_either_way(faults: Faults, arrived: int) -> None:
    async def story() -> None:
        asked: list[str] = []

        async def request(asking: PermitRequest, _: str) -> PermitAnswer:
            asked.append(asking.job)
            return PermitAnswer(verdict=PermitVerdict.GRANTED)

        bus, appliance = await opened(SimBroker(seeded(0), faults=faults))
        async with bus.permits(request, nobody_asks):
            with pytest.raises(NoPacer):
                await appliance.permit(permit_request(job("a")), 5)
        assert len(asked) == arrived

    run(story, seeded(0))


def test_what_was_acknowledged_can_be_lost() -> None:
    async def story() -> None:
        broker = SimBroker(seeded(0))
        bus, appliance = await opened(broker)
        await bus.put([job("a"), job("b")])
        await appliance.publish(outcome(job("c")))
        assert broker.lose_acknowledged(1.0) == 3
        view = await bus.view("r1", "z")
        assert (view.waiting, view.last_seq, view.reports_waiting) == (0, 2, 0)

    run(story, seeded(0))


def test_ids_are_remembered_for_two_minutes_of_virtual_time() -> None:
    async def story() -> None:
        bus, appliance = await opened(SimBroker(seeded(0)))
        await bus.put([job("a")])
        (lease,) = await appliance.lease("r1", 1, 1)
        await lease.done()
        await anyio.sleep(119)
        await bus.put([job("a")])
        assert (await bus.view("r1", "z")).waiting == 0
        await anyio.sleep(2)
        await bus.put([job("a")])
        assert (await bus.view("r1", "z")).waiting == 1

    run(story, seeded(0))


def test_a_beat_lives_fifteen_seconds() -> None:
    async def story() -> float:
        bus, appliance = await opened(SimBroker(seeded(0)))
        await appliance.heartbeat(beat("alpha"))
        async with bus.appliances() as alive:
            assert await anext(alive) == {"alpha": beat("alpha")}
            assert await anext(alive) == {}
            return anyio.current_time()

    assert run(story, seeded(0))[0] == 15


def test_a_story_that_cannot_go_on_is_stuck() -> None:
    with pytest.raises(Stuck):
        run(lambda: anyio.Event().wait(), seeded(0))


def test_time_passes_only_when_nothing_else_can_happen() -> None:
    async def story() -> list[str]:
        order: list[str] = []

        async def late(seconds: float) -> None:
            await anyio.sleep(seconds)
            order.append(f"{seconds}")

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(late, 3600.0)
            tasks.start_soon(late, 1.0)
        return order

    result, loop = run(story, seeded(0))
    assert isinstance(loop, VirtualLoop)
    assert (result, loop.time()) == (["1.0", "3600.0"], 3600)
