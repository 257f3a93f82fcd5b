"""Runs that nobody holds: each is seen to in the end, whatever fails meanwhile, and none holds up another."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import cast

import anyio
import anyio.lowlevel
import pytest
from anyio.abc import TaskGroup

from appliance.bus import BusError
from orchestrator.assembly import Prepared, Selection, prepare
from orchestrator.campaign import parse_campaign
from orchestrator.cli.appliance_child import Login
from orchestrator.cli.control import Desk, ElsewhereError
from orchestrator.cli.engine import Engine
from orchestrator.cli.given import Given
from orchestrator.cli.restarting import FIRST_PAUSE_S, LONGEST_PAUSE_S, ReadOnce, go_on, take_over
from orchestrator.cli.running import OWN_BUS, Order, check_and_store, is_of_others
from orchestrator.lease_keeper import LeaseKeeper, run_lease
from orchestrator.leases import LOST_S
from orchestrator.run_state import RunState, Standing
from orchestrator.store import RunRecord, Store, StoreError, open_store
from orchestrator.store.leases import Fences, LeaseRow, Leases
from tests.simulation.sim_leases import SimLeases
from tests.simulation.virtual_loop import run as run_virtually
from tests.unit.orchestrator.test_campaign import ARTICLE

SOON_S = 3 * LOST_S + 2 * FIRST_PAUSE_S


def record(run: str, state: RunState) -> RunRecord:
    made = prepare(parse_campaign(ARTICLE, "c.toml"), Selection(), run=run, seed=1, now=0.0)
    assert isinstance(made, Prepared)
    return replace(made.record, state=state)


async def _turn() -> None:
    await anyio.sleep(0.001)


class World:
    """A store's runs and leases, and one orchestrator's desk, whose steps may fail: implements what is used of them."""

    def __init__(self, *records: RunRecord) -> None:
        self.records = {one.id: one for one in records}
        self.rows: dict[str, LeaseRow] = {}
        self.leases = SimLeases(self.rows, _turn, lambda: True)
        self.keeper = LeaseKeeper(cast("Leases", self.leases), Fences(), "here")
        self.runs = self
        self.failing: list[Exception] = []
        """What the next steps raise."""
        self.reads = 0
        self.unread = 0
        """How many of the next reads of a run fail."""
        self.resumed: list[str] = []
        self.closed = ""
        zoning = SimpleNamespace(all=("default",))
        self.engine = SimpleNamespace(keeper=self.keeper, bus=self, zoning=lambda _: zoning)

    # -- the store ---------------------------------------------------------------------------------------------------

    async def all(self) -> list[RunRecord]:
        return list(self.records.values())

    async def standings(self) -> dict[str, Standing]:
        return {one.id: one.standing for one in self.records.values() if not one.state.over}

    async def get(self, run: str) -> RunRecord | None:
        await _turn()
        self.reads += 1
        if self.unread:
            self.unread -= 1
            raise StoreError("the server is starting up")
        return self.records.get(run)

    # -- the desk and its bus ----------------------------------------------------------------------------------------

    def is_open(self, run: str) -> bool:
        return run in self.resumed

    async def close_run(self, run: str, zone: str) -> None:
        self._may_fail()

    async def unattended(self, run: str, given: Given) -> Standing:
        self.records[run] = replace(self.records[run], state=RunState.CANCELLED)
        return self.records[run].standing

    async def resume(self, run: str, given: Given, logins: tuple[Login, ...], *, under_way: bool = False) -> None:
        self._may_fail()
        self.resumed.append(run)

    def _may_fail(self) -> None:
        if self.failing:
            raise self.failing.pop(0)

    # -- what a story does -------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[TaskGroup]:
        desk, store = cast("Desk", self), cast("Store", self)
        async with anyio.create_task_group() as tasks:
            await tasks.start(self.keeper.run)
            took = await go_on(desk, store, tasks, ReadOnce(), brings_logins=False)
            tasks.start_soon(take_over, desk, store, tasks, took)
            yield tasks
            tasks.cancel_scope.cancel()

    def held_by(self, owner: str, run: str) -> None:
        self.rows[run_lease(run)] = LeaseRow(run_lease(run), owner, f"token of {owner}", 3)


def at_work(story: Callable[[], Awaitable[None]]) -> None:
    run_virtually(story, Random(1))  # noqa: S311 - a schedule


@pytest.mark.parametrize("held", [False, True], ids=["at the start", "later"])
@pytest.mark.parametrize("error", [BusError("no stream"), StoreError("it is starting up")], ids=["bus", "store"])
def test_a_cancelled_run_is_ended_though_the_bus_or_the_store_is_away(error: Exception, held: bool) -> None:
    world = World(record("r1", RunState.CANCELLING))
    world.failing = [error]
    if held:
        world.held_by("dead", "r1")

    async def story() -> None:
        async with world.serving():
            await anyio.sleep(SOON_S)
        assert world.records["r1"].state is RunState.CANCELLED

    at_work(story)


def test_a_run_whose_owner_is_not_known_to_be_dead_yet_is_gone_on_with_later() -> None:
    world = World(record("r1", RunState.RUNNING), record("r2", RunState.RUNNING))
    world.held_by("dead", "r1")

    async def story() -> None:
        async with world.serving():
            await anyio.sleep(LOST_S / 2)
            assert world.resumed == ["r2"]
            await anyio.sleep(SOON_S)
        assert world.resumed == ["r2", "r1"]

    at_work(story)


def test_a_run_that_was_given_back_as_it_stands_while_serve_was_starting_is_gone_on_with() -> None:
    world = World(record("r1", RunState.QUEUED))
    world.held_by("command-1", "r1")

    async def story() -> None:
        async with world.serving():
            world.rows.clear()
            await anyio.sleep(SOON_S)
        assert world.resumed == ["r1"]

    at_work(story)


def test_a_run_that_somebody_was_faster_with_and_let_go_as_it_stood_is_tried_again() -> None:
    world = World(record("r1", RunState.QUEUED))
    world.failing = [ElsewhereError("in the hands of command-1")]

    async def story() -> None:
        async with world.serving():
            await anyio.sleep(SOON_S)
        assert world.resumed == ["r1"]

    at_work(story)


def test_a_store_that_is_away_for_a_read_ends_nothing() -> None:
    world = World(record("r1", RunState.RUNNING))
    world.unread = 2

    async def story() -> None:
        async with world.serving():
            await anyio.sleep(SOON_S)
        assert world.resumed == ["r1"]

    at_work(story)


def test_one_that_cannot_be_ended_holds_up_no_other() -> None:
    world = World(record("r1", RunState.CANCELLING), record("r2", RunState.RUNNING))

    async def close_run(run: str, zone: str) -> None:
        await anyio.sleep_forever()

    async def story() -> None:
        world.engine.bus = SimpleNamespace(close_run=close_run)
        world.held_by("dead", "r2")
        async with world.serving():
            await anyio.sleep(SOON_S)
        assert world.resumed == ["r2"]

    at_work(story)


@pytest.mark.parametrize("state", [RunState.RUNNING, RunState.CANCELLING])
@pytest.mark.parametrize("held", [False, True], ids=["at the start", "later"])
@pytest.mark.parametrize("begun_on", ["other", "here", ""])
def test_a_run_of_anothers_own_bus_is_for_that_one(begun_on: str, held: bool, state: RunState) -> None:
    plain = record("r1", state)
    world = World(replace(plain, snapshot={**plain.snapshot, OWN_BUS: begun_on}) if begun_on else plain)
    if held:
        world.held_by("dead", "r1")

    async def story() -> None:
        async with world.serving():
            await anyio.sleep(SOON_S)
        seen_to = bool(world.resumed) or world.records["r1"].state is RunState.CANCELLED
        assert seen_to == (begun_on != "other")

    at_work(story)


def test_what_a_human_must_settle_is_tried_once_as_it_stands() -> None:
    world, damaged = World(), record("r1", RunState.CANCELLING)
    world.records["r1"] = replace(damaged, snapshot={**damaged.snapshot, "schema": -1})

    async def story() -> None:
        async with world.serving():
            await anyio.sleep(LONGEST_PAUSE_S)
        assert world.reads == 1

    at_work(story)


@pytest.mark.parametrize("own_bus", ["here", ""])
async def test_a_run_says_on_whose_own_bus_it_begins(tmp_path: Path, own_bus: str) -> None:
    made = prepare(parse_campaign(ARTICLE, "c.toml"), Selection(), run="r1", seed=1, now=0.0)
    assert isinstance(made, Prepared)

    async def admit(*_: object) -> None:
        await anyio.lowlevel.checkpoint()

    store = await open_store(tmp_path / "store.db")
    parts = {"store": store, "admit": admit, "stand_in": "z", "appliance": None, "own_bus": own_bus}
    engine = SimpleNamespace(**parts, zoning=lambda _: SimpleNamespace(all=()))
    try:
        await check_and_store(cast("Engine", engine), Order(made, (), under_way=True))
        stored = await store.runs.get("r1")
    finally:
        await store.close()
    assert stored is not None
    assert stored.snapshot.get(OWN_BUS, "") == own_bus
    assert is_of_others(stored, "there") == bool(own_bus)
    assert not is_of_others(stored, "here")
