"""PostgreSQL by asyncpg. A transaction runs on the event loop; what it awaits, others use.

* Reads are REPEATABLE READ, so that all statements of a step see one snapshot; writes READ COMMITTED.
* A commit is on the server's disk when it returns: `synchronous_commit` is raised to `on` where it is off, and left
  alone where it is stronger.
* A lost connection (a restart, a fail-over), a deadlock and a full house are waited for, with back-off, as long as the
  caller has patience: a transaction that ended without its commit is run again. Was the connection lost in the commit,
  the server is asked whether that transaction was committed (`pg_xact_status`), so that nothing is written twice, and
  what the step has returned is true.
* A server that has not answered once yet is not waited for: its name or password may be wrong.
"""

from __future__ import annotations

import os
import socket
import ssl
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, TypeVar

import anyio
import asyncpg
from sqlalchemy import URL, Connection, event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from orchestrator.store.database import CONNECTIONS
from orchestrator.store.errors import Passing, StoreError, advice_of, passing
from orchestrator.store.frozen import APPLICATION
from orchestrator.store.server_address import ServerAddress

FIRST_CONNECT_S, CONNECT_S = 10.0, 3.0
"""For one try to connect: the first, and later ones, which are repeated. Of processes that were cut off from the server
each is back soon after it is; with longer tries one would be seconds behind another, which took it for dead.
"""
SLOW_LINK = 3
"""A later try may take so many times what the slowest connection took, where that is longer."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 2.0
IDLE_S, LOCK_S = 5, 30
"""After which the server ends a transaction of ours that does nothing, or waits for a lock: a frozen process of ours
holds up nobody, and has let go of its leases before they are taken over (`leases.LOST_S`). One that is frozen in the
middle of a statement is ended by others (`frozen.py`).
"""
KEEP_ALIVE_S, SILENT_S = 3, 10
"""A server that takes nothing from us for SILENT_S is dialled anew. The system repeats what nobody acknowledges after
pauses that double: of processes that were cut off for half a minute one would be back that much before another, which
it took for dead. A server may also be there and read nothing, with a lock to wait for and a large batch under way: the
sessions that hold our locks for long are ended before (`frozen.py`), and the transaction is run again.
"""
_XID = text("SELECT CAST(pg_current_xact_id() AS text)")
_STATUS = text("SELECT pg_xact_status(CAST(CAST(:xid AS text) AS xid8))")
_DURABLE = "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"

T = TypeVar("T")


class PostgresEngine:
    """Implements `StoreEngine`. Made where the event loop runs that it is used in."""

    dialect = "postgresql"

    def __init__(self, address: ServerAddress, tls: ssl.SSLContext | None) -> None:
        self.name = address.name
        self._engine = _engine(address, tls)
        self._reading = self._engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        self._room = anyio.CapacityLimiter(CONNECTIONS)
        self._known = False
        """It has answered once: what fails from now on may pass."""

    async def run(self, step: Callable[[Connection], T], *, write: bool) -> T:
        async with self._room:
            return await (self._write(step) if write else self._read(step))

    async def dispose(self) -> None:
        await self._engine.dispose()

    async def _read(self, step: Callable[[Connection], T]) -> T:
        for pause in _pauses():
            try:
                async with self._reading.connect() as connection:
                    found = await connection.run_sync(step)
            except _FAILURES as error:
                await self._wait(error, pause)
            else:
                self._known = True
                return found
        raise AssertionError("pauses never end")

    async def _write(self, step: Callable[[Connection], T]) -> T:
        for pause in _pauses():
            xid, returned = "", list[T]()
            try:
                async with self._engine.connect() as connection:
                    xid = await self._begin(connection)
                    found = await connection.run_sync(step)
                    returned.append(found)
                    await connection.commit()
            except _FAILURES as error:
                await self._wait(error, pause)
                if returned and await self._is_committed(xid):
                    return returned[0]
            else:
                return found
        raise AssertionError("pauses never end")

    async def _begin(self, connection: AsyncConnection) -> str:
        xid = (await connection.execute(_XID)).scalar_one()
        self._known = True
        return str(xid)

    async def _is_committed(self, xid: str) -> bool:
        """Whether a transaction has been committed whose connection is gone; waits for one that is being ended."""

        def ask(connection: Connection) -> str | None:
            found: str | None = connection.execute(_STATUS, {"xid": xid}).scalar_one()
            return found

        for pause in _pauses():
            status = await self._read(ask)
            if status != "in progress":
                return status == "committed"
            await anyio.sleep(pause)
        raise AssertionError("pauses never end")

    async def _wait(self, error: BaseException, pause: float) -> None:
        """Returns when it may be tried again. Raises what it cannot be tried again after."""
        kind = passing(error)
        if kind is None or (kind is Passing.AWAY and not self._known):
            if isinstance(error, DBAPIError):
                raise error
            raise StoreError(f"store {self.name}: {advice_of(error)}") from error
        await anyio.sleep(pause)


class ConnectPatience:
    """How long one try to connect to a server may take, in seconds."""

    def __init__(self) -> None:
        self.seconds = FIRST_CONNECT_S
        self._slowest = 0.0

    def took(self, seconds: float) -> None:
        """A connection was made, in so long."""
        self._slowest = max(self._slowest, seconds)
        self.seconds = min(FIRST_CONNECT_S, max(CONNECT_S, SLOW_LINK * self._slowest))


def _pauses() -> Iterator[float]:
    pause = FIRST_PAUSE_S
    while True:
        yield pause
        pause = min(2 * pause, LONGEST_PAUSE_S)


# Before there is a connection, SQLAlchemy passes on what the driver says.
_FAILURES = (DBAPIError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError)


def _engine(address: ServerAddress, tls: ssl.SSLContext | None) -> AsyncEngine:
    url = URL.create(
        "postgresql+asyncpg", username=address.user, host=address.host, port=address.port, database=address.database
    )
    settings: dict[str, Any] = {
        "ssl": tls or False,
        "server_settings": {
            "application_name": APPLICATION,
            # A plan made while a run's tables were empty reads them whole, and a prepared statement would keep it: 800
            # settled rows a second in place of 13,000 (`python -m tests.bench.store`).
            "plan_cache_mode": "force_custom_plan",
            "idle_in_transaction_session_timeout": f"{IDLE_S}s",
            "lock_timeout": f"{LOCK_S}s",
        },
    }
    if address.password is not None:
        settings["password"] = address.password
    engine = create_async_engine(url, pool_size=CONNECTIONS, max_overflow=0, connect_args=settings)

    patience = ConnectPatience()

    @event.listens_for(engine.sync_engine, "do_connect")
    def connect(dialect: Any, _: object, arguments: Any, named: Any) -> Any:
        began = time.monotonic()
        made = dialect.connect(*arguments, **named, timeout=patience.seconds)
        patience.took(time.monotonic() - began)
        return made

    @event.listens_for(engine.sync_engine, "connect")
    def set_up(connection: Any, _: object) -> None:
        cursor = connection.cursor()
        cursor.execute(_DURABLE)
        cursor.close()
        connection.commit()
        _notice_silence(connection.driver_connection)

    return engine


def _notice_silence(connection: asyncpg.Connection) -> None:
    """Have the system end the connection when its server's machine is gone without a word."""
    # asyncpg has no name for its socket; without one the system's own patience applies.
    transport = getattr(connection, "_transport", None)
    known = transport.get_extra_info("socket") if transport is not None else None
    if known is None or known.family == socket.AF_UNIX:
        return
    with socket.socket(fileno=os.dup(known.fileno())) as sock, suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEP_ALIVE_S)
        if sys.platform == "linux":
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEP_ALIVE_S)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENT_S * 1000)
