"""What every orchestrator is told: the dead that the store still knows keep nobody, and those that live are named."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from random import Random
from types import SimpleNamespace
from typing import cast

import anyio
import pytest
from anyio.abc import TaskGroup

from orchestrator.cli.errors import Unreachable
from orchestrator.cli.holder import tell_all
from orchestrator.lease_keeper import LeaseKeeper, orchestrator_lease, run_lease
from orchestrator.leases import LOST_S
from orchestrator.state_dir import HolderInfo
from orchestrator.store import Store
from orchestrator.store.leases import Fences, LeaseRow, Leases
from tests.simulation.sim_leases import SimLeases
from tests.simulation.virtual_loop import run as run_virtually

Rows = dict[str, LeaseRow]


def left_by(owner: str, name: str = "") -> Rows:
    name = name or orchestrator_lease(owner)
    return {name: LeaseRow(name, owner, f"token of {owner}", 7)}


async def _turn() -> None:
    await anyio.sleep(0.001)


def store_of(rows: Rows) -> Store:
    return cast("Store", SimpleNamespace(leases=SimLeases(rows, _turn, lambda: True), fences=Fences()))


async def living(rows: Rows, name: str, tasks: TaskGroup) -> LeaseKeeper:
    keeper = LeaseKeeper(cast("Leases", SimLeases(rows, _turn, lambda: True)), Fences(), name)
    await tasks.start(keeper.run)
    return keeper


def with_one_alive(rows: Rows, story: Callable[[LeaseKeeper], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with anyio.create_task_group() as tasks:
            await story(await living(rows, "here", tasks))
            tasks.cancel_scope.cancel()

    run_virtually(whole, Random(1))  # noqa: S311 - a schedule


def test_the_dead_do_not_answer_and_keep_nobody() -> None:
    rows, told = left_by("dead") | left_by("ended"), list[str]()

    async def tell(one: HolderInfo) -> None:
        if one.orchestrator == "ended":
            rows.pop(orchestrator_lease("ended"))  # it gave its lease back meanwhile
        if one.orchestrator != "here":
            raise Unreachable("no answer")
        told.append(one.orchestrator)

    async def story(_: LeaseKeeper) -> None:
        await tell_all(store_of(rows), tell)
        assert told == ["here"]

    with_one_alive(rows, story)


def test_one_that_lives_and_does_not_answer_is_named_when_all_have_been_told() -> None:
    rows, told = left_by("dead"), list[str]()

    async def tell(one: HolderInfo) -> None:
        if one.orchestrator != "there":
            raise Unreachable("no answer")
        told.append(one.orchestrator)

    async def story(_: LeaseKeeper) -> None:
        async with anyio.create_task_group() as tasks:
            await living(rows, "there", tasks)
            with pytest.raises(Unreachable, match=r"^orchestrator here: no answer$"):
                await tell_all(store_of(rows), tell)
            tasks.cancel_scope.cancel()
        assert told == ["there"]

    with_one_alive(rows, story)


def test_nobody_is_waited_for_where_all_have_answered() -> None:
    rows = left_by("slow")

    async def tell(_: HolderInfo) -> None:
        await _turn()

    async def story(_: LeaseKeeper) -> None:
        began = anyio.current_time()
        await tell_all(store_of(rows), tell)
        assert anyio.current_time() - began < LOST_S / 2

    with_one_alive(rows, story)


def test_what_the_dead_have_left_is_forgotten_but_runs_and_accounts_are_for_heirs() -> None:
    for_heirs = left_by("dead", run_lease("r1")) | left_by("dead", "pacer 7")
    over = left_by("dead", run_lease("load-1"))
    rows = left_by("dead") | left_by("command-1", run_lease("r2")) | over | for_heirs

    async def story(keeper: LeaseKeeper) -> None:
        await keeper.forget_dead(["r1", "r2"])
        assert len(rows) == 6, "it has not looked for long enough"
        await anyio.sleep(2 * LOST_S)
        await keeper.forget_dead(["r1", "r2"])
        assert rows.keys() == {orchestrator_lease("here"), *for_heirs}

    with_one_alive(rows, story)


def test_one_that_was_frozen_and_forgotten_shows_itself_again() -> None:
    rows: Rows = {}

    async def story(keeper: LeaseKeeper) -> None:
        rows.clear()
        await anyio.sleep(LOST_S)
        assert rows.keys() == {orchestrator_lease("here")}
        assert keeper.orchestrators() == ["here"]

    with_one_alive(rows, story)
