"""A run over two zones: each has its queue and its window, and one that dies holds up nobody."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from random import Random

import anyio

from orchestrator.attempts import Planned
from orchestrator.dispatch import WINDOW, Pace
from orchestrator.reconcile import GRACE_S
from orchestrator.run_plan import ZONE_PATIENCE_S
from orchestrator.zones import StandIn, Zoning
from tests.simulation.virtual_loop import run as run_virtually
from tests.unit.orchestrator.test_controller import DEADLINE, Plan, World, _planned

LAN, DMZ = "lan", "dmz"
AFTER_S = 30.0


class TwoZones(Plan):
    """So many targets in each."""

    def __init__(self, each: int) -> None:
        self._each = each

    def cursors(self) -> Sequence[str]:
        return (f"unix/{LAN}", f"unix/{DMZ}")

    def zone(self, cursor: str) -> str:
        return cursor.partition("/")[2]

    def count(self, cursor: str) -> int:
        return self._each

    def at(self, cursor: str, index: int) -> Planned:
        zone = self.zone(cursor)
        return replace(_planned(index + (100 if zone == DMZ else 0)), zone=zone)


def told(
    each: int, *, fallback: bool, retries: int = 0
) -> Callable[[Callable[[World], Awaitable[None]]], Callable[[], None]]:
    """Runs the test beside a controller over the two zones, each with room for two."""

    def decorate(test: Callable[[World], Awaitable[None]]) -> Callable[[], None]:
        def sync() -> None:
            async def whole() -> None:
                fallbacks = {DMZ: StandIn(LAN, AFTER_S)} if fallback else {}
                world = World(TwoZones(each), Zoning({LAN: each, DMZ: each}, fallbacks), Pace(DEADLINE, 0.0, retries))
                world.capacities = {LAN: 2, DMZ: 2}
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(world.drive, name="drive")
                    tasks.start_soon(world.collect, name="collect")
                    await test(world)
                    tasks.cancel_scope.cancel()

            run_virtually(whole, Random(1))  # noqa: S311 - a schedule, not a secret

        return sync

    return decorate


async def working(world: World, zone: str, seconds: float) -> None:
    with anyio.move_on_after(seconds):
        await world.work(zone=zone)


def out(world: World) -> Counter[tuple[str, str]]:
    """Open attempts by home and zone."""
    return Counter((one.planned.zone, one.zone) for one in world.controller.dispatcher.open_attempts())


@told(20, fallback=False)
async def test_each_zone_has_its_own_window_and_queue(world: World) -> None:
    await anyio.sleep(1.0)
    assert out(world) == {(LAN, LAN): 2 * WINDOW, (DMZ, DMZ): 2 * WINDOW}
    await working(world, LAN, 60.0)
    assert world.passed == 20, "one that nobody works in holds up no other"
    assert out(world) == {(DMZ, DMZ): 2 * WINDOW}
    await working(world, DMZ, 60.0)
    assert (world.ended, world.passed) == (True, 40)
    assert not world.broker.notices, "announced nowhere any more"


@told(20, fallback=True)
async def test_the_fallback_does_what_the_dead_zone_has_left(world: World) -> None:
    """Without a single retry: what no appliance had been given is taken back, and that is none."""
    await world.work(3, zone=DMZ)
    world.capacities[DMZ] = 0
    await working(world, LAN, AFTER_S - 5.0)
    assert out(world)[DMZ, LAN] == 0, "it has its time"
    await working(world, LAN, 60.0)
    assert (world.ended, world.passed) == (True, 40)


@told(6, fallback=True, retries=1)
async def test_what_a_dead_appliance_had_in_hand_is_tried_again_when_its_deadline_is_over(world: World) -> None:
    taken = [one.job.job for one in await world.broker.appliance("dies", DMZ).lease("run", 2, 5.0)]
    world.capacities[DMZ] = 0
    await working(world, LAN, DEADLINE + GRACE_S - 2.0)
    assert world.controller.dispatcher.open(taken[0]) is not None, "it may be at work behind a cut line"
    await working(world, LAN, AFTER_S + 20.0)
    assert (world.ended, world.passed) == (True, 12)
    assert {event for event in world.story if event.startswith("put") and event.endswith(":2")} >= {
        f"put {job}:2" for job in taken
    }


@told(20, fallback=True)
async def test_a_zone_that_is_back_has_its_own_targets_again(world: World) -> None:
    await working(world, LAN, 20.0)
    world.capacities[DMZ] = 0
    await anyio.sleep(AFTER_S + 5.0)
    assert out(world)[DMZ, LAN] > 0
    world.capacities[DMZ] = 2
    world.controller.wake()
    await anyio.sleep(2.0)
    assert out(world)[DMZ, DMZ] == 2 * WINDOW
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(working, world, LAN, 120.0)
        await working(world, DMZ, 120.0)
    assert (world.ended, world.passed) == (True, 40)


@told(20, fallback=False)
async def test_without_a_fallback_the_others_end_and_then_the_run_stops(world: World) -> None:
    world.capacities[DMZ] = 0
    await anyio.sleep(ZONE_PATIENCE_S + 5.0)
    assert (world.ended, world.controller.gave_up) == (None, ""), "there are the others"
    await working(world, LAN, 60.0)
    await anyio.sleep(DEADLINE + 15.0)
    assert (world.ended, world.passed) == (False, 20)
    assert "no appliance of zone 'dmz' has been alive" in world.controller.gave_up
