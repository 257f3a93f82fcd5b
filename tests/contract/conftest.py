"""The two implementations of the bus, behind one way to make its parties; and the databases under a store."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Protocol
from urllib.parse import urlsplit

import anyio
import pytest
from anyio import to_thread

from appliance.bus import ApplianceBus, ControlBus, OrchestratorBus, Timing
from appliance.bus.appliance_side import connect_appliance
from appliance.bus.control import connect_control
from appliance.bus.orchestrator_side import connect_orchestrator
from orchestrator.nats_server import ApplianceUser, EmbeddedServer
from orchestrator.state_dir import Held, StateDir
from orchestrator.store import Store, open_store
from tests.peers.postgres import PASSWORD, TEMPLATE, Postgres, running_postgres
from tests.simulation.sim_bus import SimBroker

TIMING = Timing(ack_wait=0.6, report_wait=1.0, beat_ttl=1.0, retry=20.0, sweep=0.3)
USERS = (ApplianceUser("alpha", "z"), ApplianceUser("beta", "z"), ApplianceUser("gamma", "other"))


class Parties(Protocol):
    """One bus, and whoever speaks on it."""

    timing: Timing

    async def orchestrator(self) -> OrchestratorBus: ...

    async def appliance(self, name: str = "alpha", zone: str = "z") -> ApplianceBus: ...

    async def control(self) -> ControlBus: ...

    async def wipe(self) -> None:
        """The server dies and comes back with an empty store."""
        ...


class SimParties:
    timing = TIMING

    def __init__(self) -> None:
        self.broker = SimBroker(Random(7), timing=TIMING)  # noqa: S311 - a seeded source is the point

    async def orchestrator(self) -> OrchestratorBus:
        return self.broker.orchestrator()

    async def appliance(self, name: str = "alpha", zone: str = "z") -> ApplianceBus:
        return self.broker.appliance(name, zone)

    async def control(self) -> ControlBus:
        return self.broker.control()

    async def wipe(self) -> None:
        self.broker.wipe()


class NatsParties:
    timing = TIMING

    def __init__(self, server: EmbeddedServer, state: Path, stack: AsyncExitStack) -> None:
        self.server = server
        self.state = state
        self._stack = stack

    async def orchestrator(self) -> OrchestratorBus:
        seed = self.server.orchestrator_seed
        return await self._stack.enter_async_context(
            await connect_orchestrator(self.server.url, seed=seed, timing=TIMING)
        )

    async def appliance(self, name: str = "alpha", zone: str = "z") -> ApplianceBus:
        seed = self.server.appliance_seeds[ApplianceUser(name, zone)]
        return await self._stack.enter_async_context(
            await connect_appliance(self.server.url, name=name, zone=zone, seed=seed, timing=TIMING)
        )

    async def control(self) -> ControlBus:
        return await self._stack.enter_async_context(
            await connect_control(self.server.url, seed=self.server.control_seed, timing=TIMING)
        )

    async def restart(self, *, wiped: bool = False) -> None:
        """kill -9; then its watcher starts it again."""
        # The watcher is entered here, not in the fixture: a fixture's two halves run in different tasks.
        before = self.server.pid
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.server.watch, name="watch the server")
            await anyio.wait_all_tasks_blocked()
            os.kill(before, signal.SIGKILL)
            if wiped:
                await to_thread.run_sync(shutil.rmtree, self.state / "nats" / "store")
            with anyio.fail_after(20):
                while self.server.pid == before or not await self._listens():  # noqa: ASYNC110 - no event tells it
                    await anyio.sleep(0.02)
            tasks.cancel_scope.cancel()

    async def _listens(self) -> bool:
        try:
            await (await anyio.connect_tcp("127.0.0.1", urlsplit(self.server.url).port or 0)).aclose()
        except OSError:
            return False
        return True

    async def wipe(self) -> None:
        await self.restart(wiped=True)


@asynccontextmanager
async def nats_parties(state: Path) -> AsyncIterator[NatsParties]:
    held = await to_thread.run_sync(StateDir(state).acquire)
    assert isinstance(held, Held)
    async with EmbeddedServer(held, USERS) as server, AsyncExitStack() as stack:
        yield NatsParties(server, state, stack)
    await to_thread.run_sync(held.release)


@pytest.fixture
async def nats(tmp_path: Path) -> AsyncIterator[NatsParties]:
    async with nats_parties(tmp_path / "state") as parties:
        yield parties


@pytest.fixture(params=["sim", "nats"])
async def parties(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Parties]:
    if request.param == "sim":
        yield SimParties()
        return
    async with nats_parties(tmp_path / "state") as real:
        yield real


@dataclass(frozen=True, slots=True)
class Place:
    """Where a test's store is."""

    url: str
    password: str | None = None
    server: Postgres | None = None

    async def open(self) -> Store:
        return await open_store(self.url, password=self.password)


@pytest.fixture(scope="session", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.peer)])
def server(request: pytest.FixtureRequest) -> Iterator[Postgres | None]:
    """None for SQLite, which has none."""
    if request.param == "sqlite":
        yield None
        return
    with running_postgres() as server:
        yield server


@pytest.fixture
async def place(server: Postgres | None, tmp_path: Path) -> AsyncIterator[Place]:
    if server is None:
        yield Place(f"sqlite:///{tmp_path / 'store.db'}")
        return
    if (TEMPLATE,) not in await server.execute("SELECT datname FROM pg_database"):
        await server.execute(f"CREATE DATABASE {TEMPLATE} TEMPLATE template0")
        await (await open_store(server.url(TEMPLATE), password=PASSWORD)).close()
    name = await server.new_database(TEMPLATE)
    yield Place(server.url(name), PASSWORD, server)
    await server.execute(f"DROP DATABASE {name} WITH (FORCE)")
