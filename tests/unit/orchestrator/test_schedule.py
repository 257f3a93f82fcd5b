"""Schedules: their times over the nights of the year that have 23 and 25 hours, what was missed, and who overlaps."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import islice, pairwise
from pathlib import Path
from random import Random
from zoneinfo import ZoneInfo

import anyio
import anyio.lowlevel
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.campaign_model import Campaign
from orchestrator.campaign_times import Schedule
from orchestrator.schedule import Due, Verdict, due, fires, next_fire, verdict
from orchestrator.scheduler import Scheduler, SubmitError, TurnLostError
from orchestrator.store import StoreError, open_store
from tests.simulation.virtual_loop import run as run_virtually

READ = [ZoneInfo(name) for name in ("UTC", "Europe/Berlin")]
"""Files, which stay read for as long as these are there: the loop of a test must not read them."""

HOUR = 3600.0


def schedule(cron: str, zone: str = "Europe/Berlin", **more: object) -> Schedule:
    return Schedule.model_validate({"cron": cron, "time_zone": zone, **more})


def utc(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def times(which: Schedule, after: str, number: int) -> list[str]:
    found = islice(fires(which, utc(after)), number)
    return [f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M}" for at in found]


# -- when -----------------------------------------------------------------------------------------------------------


def test_weekdays_at_ten() -> None:
    assert times(schedule("0 22 * * mon-fri"), "2027-01-14T21:00", 3) == [
        "2027-01-15T21:00",  # Friday; Thursday's is not behind 21:00 UTC, but at it
        "2027-01-18T21:00",
        "2027-01-19T21:00",
    ]


def test_the_missing_hour_fires_right_behind_it() -> None:
    assert times(schedule("30 2 * * *"), "2027-03-27T00:00", 3) == [
        "2027-03-27T01:30",
        "2027-03-28T01:00",
        "2027-03-29T00:30",
    ]


def test_the_hour_that_comes_twice_fires_once() -> None:
    assert times(schedule("30 2 * * *"), "2027-10-30T12:00", 2) == ["2027-10-31T00:30", "2027-11-01T01:30"]


def test_every_hour_goes_on_through_both_nights() -> None:
    for day in ("2027-03-28", "2027-10-31"):
        found = list(islice(fires(schedule("0 * * * *"), utc(f"{day}T00:00") - 1), 5))
        assert [b - a for a, b in pairwise(found)] == [HOUR] * 4


@pytest.mark.parametrize(
    "cron", ["", "* * * *", "* * * * * *", "61 * * * *", "0 22 * * fry", "@daily", "0 22 31 2 *", "nonsense"]
)
def test_what_is_no_schedule(cron: str) -> None:
    with pytest.raises(ValueError, match="no cron expression"):
        schedule(cron)


def test_what_else_a_schedule_must_be() -> None:
    for change in ({"overlap": "kill"}, {"time_zone": "Mars/Olympus"}, {"catch_up": "yes"}, {"cron": None}):
        with pytest.raises(ValueError, match="schedule"):
            Campaign.model_validate({"name": "c", "schedule": {"cron": "0 1 * * *", "time_zone": "UTC", **change}})


# -- what was missed, and what overlaps -----------------------------------------------------------------------------


def test_what_was_missed_is_made_up_for_once() -> None:
    daily = schedule("0 12 * * *", "UTC")
    last = utc("2027-01-10T12:00")
    assert due(daily, last, utc("2027-01-11T11:59")) is None
    assert due(daily, last, utc("2027-01-11T12:00")) == Due(utc("2027-01-11T12:00"), 0)
    assert due(daily, last, utc("2027-01-14T15:00")) == Due(utc("2027-01-14T12:00"), 3)


def test_or_not_at_all() -> None:
    daily = schedule("0 12 * * *", "UTC", catch_up=False)
    last = utc("2027-01-10T12:00")
    assert due(daily, last, utc("2027-01-14T15:00")) is None
    assert due(daily, last, utc("2027-01-14T12:00:30")) == Due(utc("2027-01-14T12:00"), 3)


@given(st.sampled_from(("*/5 * * * *", "0 22 * * mon-fri", "30 2 * * *")), st.floats(0, 5e8), st.floats(0, 30 * 86400))
def test_after_a_standstill_one_run_and_then_the_next_in_its_time(cron: str, begun: float, standstill: float) -> None:
    which = schedule(cron)
    last, now = utc("2026-01-01") + begun % 6e7, utc("2026-01-01") + begun % 6e7 + standstill
    fire = due(which, last, now)
    if fire is None:
        following = next_fire(which, last)
        assert following is not None
        assert following > now
        return
    assert last < fire.at <= now
    assert due(which, fire.at, now) is None


@pytest.mark.parametrize(
    ("overlap", "under_way", "queued", "wanted"),
    [
        ("skip", False, False, Verdict.BEGIN),
        ("skip", True, False, Verdict.SKIP),
        ("queue", False, False, Verdict.BEGIN),
        ("queue", True, False, Verdict.QUEUE),
        ("queue", True, True, Verdict.SKIP),
        ("queue", False, True, Verdict.SKIP),
    ],
)
def test_overlap(overlap: str, under_way: bool, queued: bool, wanted: Verdict) -> None:
    assert verdict(schedule("0 1 * * *", overlap=overlap), under_way=under_way, queued=queued) is wanted


# -- at work, on a virtual clock ------------------------------------------------------------------------------------

START = utc("2027-01-10T00:00")


class World:
    """Runs last as long as the test says; the process may stand still."""

    def __init__(self, lasts: float) -> None:
        self.lasts = lasts
        self.begun: list[float] = []
        self.notes: dict[str, float] = {}
        self.open = 0
        self.story: list[str] = []
        self.refuses = 0
        self.waiting = self.away = False
        self._chance = Random(3)  # noqa: S311 - how long a store takes
        self.tasks: anyio.abc.TaskGroup

    def clock(self) -> float:
        return START + anyio.current_time()

    async def last(self, campaign: str) -> float | None:
        await self._answer()
        return self.notes.get(campaign)

    async def note(self, campaign: str, at: float) -> None:
        await anyio.lowlevel.checkpoint()
        self.story.append("noted")
        self.notes[campaign] = at

    async def claim(self, campaign: str, at: float, *, queue: bool) -> bool:
        known = self.notes.get(campaign)
        if known is not None and known >= at:
            return False
        await self.note(campaign, at)
        self.waiting |= queue
        return True

    async def queued(self, campaign: str) -> bool:
        await self._answer()
        assert campaign == "c"
        return self.waiting

    async def unqueue(self, campaign: str) -> None:
        await self._answer()
        assert campaign == "c"
        self.waiting = False

    @asynccontextmanager
    async def turn(self, campaign: str) -> AsyncIterator[bool]:
        await self._answer()
        assert campaign == "c"
        yield True

    async def _answer(self) -> None:
        """A store takes its time."""
        await anyio.sleep(self._chance.uniform(0.0, 0.01))
        if self.away:
            raise StoreError("no store")

    async def under_way(self, campaign: str) -> bool:
        await self._answer()
        assert campaign == "c"
        return self.open > 0

    async def submit(self, campaign: str) -> str:
        self.story.append("begun")
        if self.refuses:
            self.refuses -= 1
            raise SubmitError("the vault does not answer")
        assert self.open == 0, "two runs of a campaign at once"
        self.begun.append((self.clock() - START) / HOUR)
        self.open += 1
        self.tasks.start_soon(self._end)
        return f"run of {campaign}"

    async def _end(self) -> None:
        await anyio.sleep(self.lasts)
        self.open -= 1


def at_work(lasts: float, which: Schedule, story: Callable[[World], Awaitable[None]]) -> World:
    """Schedule `which` while the story goes on."""
    kept: list[World] = []

    async def whole() -> None:
        world = World(lasts)
        kept.append(world)
        async with anyio.create_task_group() as tasks:
            world.tasks = tasks
            tasks.start_soon(Scheduler(world, world, world, world.clock).run, {"c": which}, world.submit)
            await story(world)
            tasks.cancel_scope.cancel()

    run_virtually(whole, Random(1))  # noqa: S311 - a schedule
    return kept[0]


async def _a_day(_world: World) -> None:
    await anyio.sleep(24 * HOUR + 1)


def test_runs_are_begun_in_their_time() -> None:
    world = at_work(HOUR, schedule("0 */6 * * *", "UTC"), _a_day)
    assert world.begun == pytest.approx([6, 12, 18, 24], abs=0.01)
    assert world.story[1:3] == ["noted", "begun"]


def test_skipped_while_the_last_one_goes_on() -> None:
    world = at_work(8 * HOUR, schedule("0 */6 * * *", "UTC"), _a_day)
    assert world.begun == pytest.approx([6, 18], abs=0.01)


def test_queued_while_the_last_one_goes_on() -> None:
    with structlog.testing.capture_logs() as entries:
        world = at_work(8 * HOUR, schedule("0 */6 * * *", "UTC", overlap="queue"), _a_day)
    assert world.begun == pytest.approx([6, 14, 22], abs=0.01)
    told = [(entry["event"].partition(":")[0], entry["campaign"]) for entry in entries if "queue" in entry["event"]]
    assert told == [("schedule queues a run", "c")] * 3
    assert world.waiting, "that of 24:00"


def test_what_is_due_outlives_the_process_that_found_it_so() -> None:
    """While it is queued, and while its vaults are asked, which may take an hour."""

    async def whole() -> None:
        world = World(8 * HOUR)

        async def slowly(campaign: str) -> str:
            await anyio.sleep(HOUR)
            return await world.submit(campaign)

        async with anyio.create_task_group() as machine:
            world.tasks = machine
            for ends in (6.5, 12.5, 15.5, 30.5):
                with anyio.move_on_after(ends * HOUR - anyio.current_time()):
                    scheduler = Scheduler(world, world, world, world.clock)
                    await scheduler.run({"c": schedule("0 */6 * * *", "UTC", overlap="queue")}, slowly)
            machine.cancel_scope.cancel()
        assert world.begun == pytest.approx([7.5, 16.5, 25.5], abs=0.01)

    run_virtually(whole, Random(1))  # noqa: S311 - a schedule


def test_a_run_that_takes_its_time_to_begin_is_one() -> None:
    """Its vaults are asked first: fires meanwhile find one that is about to be."""

    async def whole() -> None:
        world = World(2 * HOUR)

        async def slowly(campaign: str) -> str:
            await anyio.sleep(HOUR)
            return await world.submit(campaign)

        async with anyio.create_task_group() as tasks:
            world.tasks = tasks
            which = schedule("*/20 * * * *", "UTC", overlap="queue")
            tasks.start_soon(Scheduler(world, world, world, world.clock).run, {"c": which}, slowly)
            await _a_day(world)
            tasks.cancel_scope.cancel()
        assert all(after - before >= 3 for before, after in pairwise(world.begun))
        assert len(world.begun) == 8

    run_virtually(whole, Random(1))  # noqa: S311 - a schedule


class Turn:
    """Of two orchestrators one has it until it has begun what is due, or has died."""

    def __init__(self) -> None:
        self._holder: object = None

    @asynccontextmanager
    async def turn(self, campaign: str) -> AsyncIterator[bool]:
        me = object()
        await anyio.lowlevel.checkpoint()
        self._holder = self._holder or me
        try:
            yield self._holder is me
        finally:
            if self._holder is me:
                self._holder = None


@pytest.mark.parametrize("seed", range(10))
def test_of_two_orchestrators_one_begins_what_is_due_and_the_other_what_that_one_left(seed: int) -> None:
    async def whole() -> None:
        world, turn, chance = World(10 * HOUR), Turn(), Random(seed)  # noqa: S311 - when they look
        which = {"c": schedule("0 */4 * * *", "UTC", overlap="queue")}

        async def slowly(campaign: str) -> str:
            await anyio.sleep(HOUR)  # the vaults are asked first, and nobody knows of the run as yet
            return await world.submit(campaign)

        async def lives(lasts: float) -> None:
            await anyio.sleep(chance.uniform(0.0, 10.0))
            with anyio.move_on_after(lasts):
                await Scheduler(world, world, turn, world.clock).run(which, slowly)

        async with anyio.create_task_group() as tasks:
            world.tasks = tasks
            tasks.start_soon(lives, 15.5 * HOUR)
            tasks.start_soon(lives, 40 * HOUR)
            await anyio.sleep(15 * HOUR)
            assert world.waiting, "what was due at 8:00"
            await anyio.sleep(3 * HOUR)
            tasks.cancel_scope.cancel()
        first, second = world.begun
        assert first == pytest.approx(5, abs=0.01)
        assert 16 <= second < 16.6, "at 16:00, or, where the first one had the turn, once more after its death"

    run_virtually(whole, Random(seed))  # noqa: S311 - a schedule


def test_who_has_lost_the_turn_leaves_what_is_due_to_the_other() -> None:
    async def whole() -> None:
        world = World(HOUR)

        async def too_late(_: str) -> str:
            raise TurnLostError

        async with anyio.create_task_group() as tasks:
            world.tasks = tasks
            which = {"c": schedule("0 4 * * *", "UTC")}
            with anyio.move_on_after(4 * HOUR + 30):
                await Scheduler(world, world, world, world.clock).run(which, too_late)
            assert world.waiting
            with anyio.move_on_after(HOUR):
                await Scheduler(world, world, world, world.clock).run(which, world.submit)
            tasks.cancel_scope.cancel()
        assert world.begun == pytest.approx([4], abs=0.02)

    run_virtually(whole, Random(1))  # noqa: S311 - a schedule


def test_a_store_that_is_away_for_a_while_is_looked_at_again() -> None:
    async def story(world: World) -> None:
        await anyio.sleep(13 * HOUR)
        world.away = True
        await anyio.sleep(2 * HOUR)
        world.away = False
        await anyio.sleep(2 * HOUR)

    assert at_work(8 * HOUR, schedule("0 */6 * * *", "UTC", overlap="queue"), story).begun == pytest.approx(
        [6, 15], abs=0.01
    )


def test_what_cannot_begin_is_tried_the_next_time() -> None:
    async def story(world: World) -> None:
        world.refuses = 1
        await _a_day(world)

    assert at_work(HOUR, schedule("0 */6 * * *", "UTC"), story).begun == pytest.approx([12, 18, 24], abs=0.01)


def test_after_a_standstill_one_run_is_begun() -> None:
    async def whole() -> None:
        world = World(HOUR)
        world.notes["c"] = START - 5 * 24 * HOUR
        async with anyio.create_task_group() as tasks:
            world.tasks = tasks
            tasks.start_soon(
                Scheduler(world, world, world, world.clock).run, {"c": schedule("0 12 * * *", "UTC")}, world.submit
            )
            await anyio.sleep(13 * HOUR)
            tasks.cancel_scope.cancel()
        assert world.begun == pytest.approx([0, 12], abs=0.01)

    run_virtually(whole, Random(1))  # noqa: S311 - a schedule


@pytest.mark.parametrize("seed", range(20))
def test_a_fire_is_not_lost_whenever_a_process_dies_and_begins_no_two_runs_at_once(seed: int) -> None:
    async def whole() -> None:
        world, chance = World(HOUR), Random(seed)  # noqa: S311 - when it dies
        world.notes["c"] = START - 60
        which = {"c": schedule("0 0 10 * *", "UTC")}
        async with anyio.create_task_group() as tasks:
            world.tasks = tasks
            for lives in (*(chance.uniform(0.0, 0.05) for _ in range(5)), 3 * HOUR):
                with anyio.move_on_after(lives):
                    await Scheduler(world, world, world, world.clock).run(which, world.submit)
            tasks.cancel_scope.cancel()
        assert len(world.begun) in (1, 2), "a second one where it died between the beginning and the note of it"
        assert not world.waiting

    run_virtually(whole, Random(seed))  # noqa: S311 - a schedule


async def test_the_store_remembers_what_was_attended_to(tmp_path: Path) -> None:
    store = await open_store(tmp_path / "store.db")
    assert await store.schedules.last("c") is None
    await store.schedules.note("c", 5.0)
    await store.schedules.note("c", 7.5)
    await store.schedules.note("d", 1.0)
    assert (await store.schedules.last("c"), await store.schedules.last("d")) == (7.5, 1.0)
    await store.close()
