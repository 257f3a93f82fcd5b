"""Whoever is to be told something, as a command that has an order finds it and speaks to it.

On a bus of our own that is the process that holds the state directory. On the user's there may be several
orchestrators: the store says which of them has a run in hand, whatever machine it is on.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

import anyio
import anyio.to_thread

from orchestrator.cli.acquiring import acquire
from orchestrator.cli.arguments import Where
from orchestrator.cli.errors import CommandError, Unreachable
from orchestrator.cli.holder_client import Client
from orchestrator.cli.reaching import reach
from orchestrator.lease_keeper import LeaseKeeper, command_name, orchestrator_lease, run_lease
from orchestrator.leases import LOOK_S, LOST_S
from orchestrator.run_state import Standing
from orchestrator.state_dir import Held, HolderInfo
from orchestrator.store import Store
from orchestrator.store.leases import LeaseRow

AGAIN_S = 0.3
FOUND_S = LOST_S + 6.0
"""A holder that does not answer is dead by then, or starts or ends no more."""
TAKEN_S = 4 * FOUND_S
"""Whoever takes a dead one's run over has it by then, and answers."""


@asynccontextmanager
async def holder_of(where: Where, store: Store, run: str) -> AsyncIterator[HolderInfo | None]:
    """Who has the run in hand; None where nobody has, and nobody can begin with it while the context is open. Raises
    BadInput, Unreachable.
    """
    if where.nats is None:
        found = await acquire(where)
        try:
            yield found if isinstance(found, HolderInfo) else None
        finally:
            if isinstance(found, Held):
                await let_go(found)
        return
    async with _keeping(store) as keeper:
        holder = await _found(keeper, where, run)
        try:
            yield holder
        finally:
            await keeper.put_down(run)


@asynccontextmanager
async def _keeping(store: Store) -> AsyncIterator[LeaseKeeper]:
    keeper = LeaseKeeper(store.leases, store.fences, command_name(), is_orchestrator=False)
    async with anyio.create_task_group() as tasks:
        await tasks.start(keeper.run, name="command: leases")
        yield keeper
        tasks.cancel_scope.cancel()


async def _found(keeper: LeaseKeeper, where: Where, run: str) -> HolderInfo | None:
    end = anyio.current_time() + FOUND_S
    while run_lease(run) not in await keeper.take([run_lease(run)]):
        row = keeper.rows.get(run_lease(run))
        if row is not None:
            holder = HolderInfo(None, None, orchestrator=row.owner)
            try:
                async with client_of(holder, where) as client:
                    await client.alive()
            except Unreachable:
                if anyio.current_time() >= end:
                    raise
            else:
                return holder
        await anyio.sleep(AGAIN_S)
    await keeper.take_run(run)
    return None


async def found_alive(where: Where, store: Store, run: str) -> HolderInfo | None:
    """Who has a run in hand, or takes it over within TAKEN_S, on the user's bus; it has answered. None where nobody
    does, or the run is not under way.
    """
    if not await _is_under_way(store, run):
        return None
    async with _keeping(store) as keeper:
        with anyio.move_on_after(TAKEN_S):
            while await _is_under_way(store, run):
                owner = keeper.elsewhere(run_lease(run))
                if owner is not None and await _is_alive(HolderInfo(None, None, orchestrator=owner), where):
                    return HolderInfo(None, None, orchestrator=owner)
                await anyio.sleep(AGAIN_S)
    return None


async def has_begun(store: Store, run: str, before: Standing | None) -> bool:
    """Whether a run that was handed over has begun, though the answer was lost. Whoever has it in hand asks its vaults
    first, and is waited for. `before`: how the run stood before; None for a new one.
    """
    async with _keeping(store) as keeper:
        end = anyio.current_time() + FOUND_S
        while anyio.current_time() < end:
            record = await store.runs.get(run)
            if record is not None and (record.standing != before or record.state.under_way):
                return True
            if keeper.elsewhere(run_lease(run)) is not None:
                end = anyio.current_time() + FOUND_S
            await anyio.sleep(AGAIN_S)
    return False


async def _is_under_way(store: Store, run: str) -> bool:
    record = await store.runs.get(run)
    return record is not None and record.state.under_way


async def _is_alive(holder: HolderInfo, where: Where) -> bool:
    try:
        async with client_of(holder, where) as client:
            await client.alive()
    except Unreachable:
        return False
    return True


async def tell_all(store: Store, tell: Callable[[HolderInfo], Awaitable[None]]) -> None:
    """Every orchestrator on the user's bus, though one of them does not answer. Raises Unreachable with those that
    were not told and live: a dead one's lease is in the store until somebody has forgotten it.
    """
    async with _keeping(store) as keeper:
        untold: dict[str, CommandError] = {}
        seen = {name: keeper.rows[orchestrator_lease(name)] for name in keeper.orchestrators()}
        for name in seen:
            try:
                await tell(HolderInfo(None, None, orchestrator=name))
            except CommandError as error:
                untold[name] = error
        alive = await _living(keeper, {name: seen[name] for name in untold})
    if alive:
        raise Unreachable("; ".join(f"orchestrator {name}: {untold[name]}" for name in alive))


async def _living(keeper: LeaseKeeper, seen: Mapping[str, LeaseRow]) -> list[str]:
    """Whose leases have moved since they were seen so, when nobody can be taken for alive any more that is not."""
    with anyio.move_on_after(LOST_S + LOOK_S):
        while any(keeper.rows.get(row.name) == row for row in seen.values()):
            await keeper.looked()
    return [name for name, row in seen.items() if keeper.rows.get(row.name) not in (None, row)]


@asynccontextmanager
async def client_of(holder: HolderInfo, where: Where) -> AsyncIterator[Client]:
    """Raises Unreachable."""
    async with await reach(holder, where) as control:
        yield Client(control, holder)


async def let_go(held: Held) -> None:
    with anyio.CancelScope(shield=True):
        await anyio.to_thread.run_sync(held.release)


def who() -> str:
    """Who gives the order: the user of this process and, where it is root for somebody, who that is."""
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        user = f"uid {os.getuid()}"
    real = os.environ.get("SUDO_USER", "")
    return f"{real[:64]} as {user}" if real.isprintable() and real else user
