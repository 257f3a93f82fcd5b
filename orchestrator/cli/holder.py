"""Whoever holds the state directory, as a command that has an order for it finds it and speaks to it."""

from __future__ import annotations

import os
import pwd
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.to_thread

from appliance.bus import BusError
from appliance.bus.control import connect_control
from orchestrator.cli.arguments import Where
from orchestrator.cli.control import Client, connect
from orchestrator.cli.errors import BadInput, Unreachable
from orchestrator.cli.own_bus import bus_login
from orchestrator.state_dir import Held, HolderInfo, StateDir

ANNOUNCE_S = 20.0
"""How long a holder that is just starting or ending is waited for."""


async def acquire(state: Path) -> Held | HolderInfo:
    """Hold the state directory, or learn who does and where it listens. Raises StateDirError, BadInput."""
    directory = StateDir(state)
    found = await anyio.to_thread.run_sync(directory.acquire)
    with anyio.move_on_after(ANNOUNCE_S):
        while isinstance(found, HolderInfo) and found.url is None:
            await anyio.sleep(0.1)
            found = await anyio.to_thread.run_sync(directory.acquire)
    if isinstance(found, HolderInfo) and found.url is None:
        who = f"process {found.pid}" if found.pid else "another process"
        raise BadInput(
            f"{who} holds the state directory {state} and cannot be spoken to: "
            "wait until it has ended, or name another directory with --state"
        )
    return found


async def found(where: Where) -> Held | HolderInfo:
    """A holder on a bus of the user's own says nowhere how to speak to it: the same --nats does. Raises BadInput."""
    if where.nats is None:
        return await acquire(where.state)
    return await anyio.to_thread.run_sync(StateDir(where.state).acquire)


@asynccontextmanager
async def client_of(holder: HolderInfo, where: Where) -> AsyncIterator[Client]:
    """Raises Unreachable."""
    if where.nats is None or holder.url is not None:
        control = await connect(holder)
    else:
        login = bus_login(where)
        seed = login.seed.get_secret_value()
        try:
            control = await connect_control(login.url, seed=seed, token=login.token, tls=login.tls())
        except (BusError, ValueError) as error:
            raise Unreachable(f"the bus at {login.url} cannot be used: {error}") from None
    async with control:
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
