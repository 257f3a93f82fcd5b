"""A process that freezes in the middle of a write to PostgreSQL: what it has locked does not stay so."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import anyio
import pytest

from orchestrator.store import Store, open_store
from orchestrator.store.frozen import SILENT_S
from tests.peers.postgres import PASSWORD, Postgres, running_postgres

pytestmark = pytest.mark.peer

LEASE = "run r"
FREEZES = """
import asyncio, os, signal, sys
import asyncpg

def rows():
    for number in range(20_000):
        yield f"r{number}", 1
        if number == 10_000 and sys.argv[2] == "statement":
            os.kill(os.getpid(), signal.SIGSTOP)

async def main():
    ours = {"application_name": sys.argv[3], "idle_in_transaction_session_timeout": "5s"}
    connection = await asyncpg.connect(sys.argv[1], server_settings=ours)
    async with connection.transaction():
        await connection.execute("SELECT token FROM leases WHERE name = 'run r' FOR SHARE")
        await connection.executemany("INSERT INTO searches (run, begun_at) VALUES ($1, $2)", rows())
        os.kill(os.getpid(), signal.SIGSTOP)

asyncio.run(main())
"""
"""It locks a lease as a fenced write does, sends rows, and stops itself: among them, or when all are there."""


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with running_postgres() as server:
        yield server


@pytest.fixture
async def database(postgres: Postgres) -> str:
    return await postgres.new_database()


@pytest.fixture
async def store(postgres: Postgres, database: str) -> AsyncIterator[Store]:
    store = await open_store(postgres.url(database), password=PASSWORD)
    assert await store.leases.take({LEASE: None}, "frozen", "token") == [LEASE]
    yield store
    await store.close()


@asynccontextmanager
async def frozen(url: str, where: str, name: str = "keymuster") -> AsyncIterator[None]:
    """A process that has stopped itself."""
    whole = url.replace("@", f":{PASSWORD}@")
    async with await anyio.open_process([sys.executable, "-c", FREEZES, whole, where, name], stderr=None) as process:
        try:
            how = os.WSTOPPED | os.WEXITED | os.WNOWAIT
            told = await anyio.to_thread.run_sync(os.waitid, os.P_PID, process.pid, how)
            assert told is not None
            assert told.si_code == os.CLD_STOPPED
            yield
        finally:
            process.send_signal(signal.SIGKILL)


@pytest.mark.parametrize("where", ["statement", "transaction"])
async def test_it_is_ended_and_its_lease_can_be_taken(
    postgres: Postgres, database: str, store: Store, where: str
) -> None:
    async with frozen(postgres.url(database), where):
        began = anyio.current_time()
        (row,) = (await store.leases.all()).values()
        assert await store.leases.end_frozen() == 0, "it may only be slow"
        ended = 0
        async with anyio.create_task_group() as tasks:

            async def take() -> None:
                assert await store.leases.take({LEASE: row}, "heir", "another") == [LEASE]
                tasks.cancel_scope.cancel()

            tasks.start_soon(take)
            while True:
                await anyio.sleep(0.5)
                ended += await store.leases.end_frozen()
        assert ended == (1 if where == "statement" else 0)
        assert anyio.current_time() - began >= SILENT_S - 1
    assert [row.owner for row in (await store.leases.all()).values()] == ["heir"]


async def test_another_program_is_not_ended(postgres: Postgres, database: str, store: Store) -> None:
    async with frozen(postgres.url(database), "statement", "reporting"):
        await anyio.sleep(SILENT_S + 1)
        assert await store.leases.end_frozen() == 0
