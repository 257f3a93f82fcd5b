"""SQLite in a file. A transaction runs in a worker thread from its begin to its commit.

* That is one change of threads, where a driver that awaits each statement changes ten times. (A commit of the ledger
  took 0.95 ms of CPU that way and takes 0.3; a settled row 0.044 and 0.03: `python -m tests.bench.scale --planning`.)
* A write begins IMMEDIATE, so that two connections never deadlock over an upgrade from reading to writing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import anyio
from anyio import to_thread
from sqlalchemy import URL, Connection, Engine, create_engine, event

from orchestrator.store.database import CONNECTIONS

T = TypeVar("T")


class SqliteEngine:
    """Implements `StoreEngine`. Made where an event loop runs.

    `synchronous` is SQLite's: FULL where a commit must survive a power cut, NORMAL where an OS crash may undo the last
    commits (never damage the file).
    """

    dialect = "sqlite"

    def __init__(self, url: URL, *, busy_timeout: float, synchronous: str) -> None:
        self._reading = _engine(url, busy_timeout, synchronous)
        self._writing = self._reading.execution_options(immediate=True)
        self._threads = anyio.CapacityLimiter(CONNECTIONS)
        self.name = url.render_as_string().removeprefix("sqlite:///")

    async def run(self, step: Callable[[Connection], T], *, write: bool) -> T:
        engine = self._writing if write else self._reading
        # Only the caller's own time-out abandons it, since all else is shielded off.
        return await to_thread.run_sync(_transaction, engine, step, abandon_on_cancel=True, limiter=self._threads)

    async def dispose(self) -> None:
        await to_thread.run_sync(self._reading.dispose, abandon_on_cancel=True)


def _transaction(engine: Engine, step: Callable[[Connection], T]) -> T:
    with engine.begin() as connection:
        return step(connection)


def _engine(url: URL, busy_timeout: float, synchronous: str) -> Engine:
    settings = {"timeout": busy_timeout, "isolation_level": None}
    # The last one used comes first: what SQLite has cached on a connection is void once another one has written.
    engine = create_engine(url, pool_size=CONNECTIONS, pool_use_lifo=True, connect_args=settings)

    @event.listens_for(engine, "connect")
    def set_up(connection: Any, _: object) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute(f"PRAGMA synchronous={synchronous}")
        cursor.close()

    # The driver's own transaction handling is off (isolation_level None): it begins late, and never IMMEDIATE.
    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        immediate = connection.get_execution_options().get("immediate", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")

    return engine
