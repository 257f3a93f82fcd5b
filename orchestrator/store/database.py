"""Connections and transactions: the one place that knows which database this is.

* A transaction is a function of a connection, run in a worker thread from its begin to its commit: one change of
  threads, where a driver that awaits each statement changes ten times. (A commit of the ledger took 0.95 ms of CPU that
  way and takes 0.3; a settled row 0.044 and 0.03: `python -m tests.bench.scale --planning`.)
* A write is one transaction, taken under an in-process lock (first come, first served, instead of SQLite's polling) and
  begun IMMEDIATE, so that two connections never deadlock over an upgrade from reading to writing.
* A transaction that has begun runs to its end whatever is cancelled around it, within PATIENCE_S: it happened, or it
  was never begun. Waiting for one's turn can be cancelled.
* Reads see a snapshot (WAL); they neither wait for writers nor hold them up. They are short: results come in pages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import anyio
from anyio import to_thread
from sqlalchemy import URL, Connection, Engine, Table, create_engine, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError

from orchestrator.store.errors import StoreError, translate

PATIENCE_S = 60.0
"""The bound of one transaction; longer than any busy time-out, so that the database's own word comes first."""
PARAMETERS = 1000
"""Values put into one IN list; both databases take at least 32,766 parameters in a statement."""
CONNECTIONS = 4
"""Transactions at a time: a writer, and readers beside it."""

T = TypeVar("T")

Insert = sqlite.Insert | postgresql.Insert
_INSERTS: dict[str, Callable[[Table], Insert]] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


class Database:
    """One engine, and the lock that its process's writers share. Made where an event loop runs."""

    def __init__(self, engine: Engine, writers: anyio.Lock) -> None:
        self._engine = engine
        self._writing = engine.execution_options(immediate=True)
        self._writers = writers
        self._threads = anyio.CapacityLimiter(CONNECTIONS)
        self.name = engine.url.render_as_string(hide_password=True).removeprefix("sqlite:///")

    async def read(self, step: Callable[[Connection], T]) -> T:
        """A short read transaction: what `step` returns, which must not need the connection. Raises StoreError."""
        return await self._run(self._engine, step)

    async def write(self, step: Callable[[Connection], T]) -> T:
        """One write transaction: committed when `step` returns, undone when it raises. Raises StoreError."""
        async with self._writers:
            return await self._run(self._writing, step)

    async def _run(self, engine: Engine, step: Callable[[Connection], T]) -> T:
        try:
            with anyio.fail_after(PATIENCE_S, shield=True):
                # Only its own time-out abandons it, since all else is shielded off.
                return await to_thread.run_sync(
                    _transaction, engine, step, abandon_on_cancel=True, limiter=self._threads
                )
        except DBAPIError as error:
            raise translate(error, self.name) from error
        except TimeoutError:
            raise StoreError(f"store {self.name}: no answer in {PATIENCE_S:g} s; look at its disk or server") from None

    def insert(self, table: Table) -> Insert:
        """An INSERT that can say ON CONFLICT, which SQLAlchemy has per dialect only."""
        return _INSERTS[self._engine.dialect.name](table)

    async def close(self) -> None:
        with anyio.move_on_after(PATIENCE_S, shield=True):
            await to_thread.run_sync(self._engine.dispose, abandon_on_cancel=True)


def _transaction(engine: Engine, step: Callable[[Connection], T]) -> T:
    with engine.begin() as connection:
        return step(connection)


def make_engine(url: URL, *, busy_timeout: float, synchronous: str) -> Engine:
    """An engine whose connections are set up for us. `synchronous` is SQLite's: FULL where a commit must survive a
    power cut, NORMAL where an OS crash may undo the last commits (never damage the file).
    """
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


def portions(values: Sequence[T], size: int = PARAMETERS) -> Iterator[Sequence[T]]:
    """The values in order, in slices that fit into one statement."""
    return (values[i : i + size] for i in range(0, len(values), size))
