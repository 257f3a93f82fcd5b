"""Connections and transactions: the one place that knows which database this is.

* A write is one transaction, taken under an in-process lock (first come, first served, instead of SQLite's polling) and
  begun IMMEDIATE, so that two connections never deadlock over an upgrade from reading to writing.
* A transaction that has begun runs to its end whatever is cancelled around it, within PATIENCE_S: it happened, or it
  was never begun. Waiting for one's turn can be cancelled.
* Reads see a snapshot (WAL); they neither wait for writers nor hold them up. They are short: results come in pages.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import anyio
from sqlalchemy import URL, Connection, Table, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from orchestrator.store.errors import StoreError, translate

PATIENCE_S = 60.0
"""The bound of one transaction; longer than any busy time-out, so that the database's own word comes first."""
PARAMETERS = 1000
"""Values put into one IN list; both databases take at least 32,766 parameters in a statement."""

T = TypeVar("T")

Insert = sqlite.Insert | postgresql.Insert
_INSERTS: dict[str, Callable[[Table], Insert]] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


class Database:
    """One engine, and the lock that its process's writers share."""

    def __init__(self, engine: AsyncEngine, writers: anyio.Lock) -> None:
        self._engine = engine
        self._writers = writers
        self.name = engine.url.render_as_string(hide_password=True).removeprefix("sqlite+aiosqlite:///")

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A short read transaction. Raises StoreError."""
        async with self._transaction({}) as connection:
            yield connection

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """One write transaction: committed at the end of the block, undone when it raises. Raises StoreError."""
        async with self._writers, self._transaction({"immediate": True}) as connection:
            yield connection

    @asynccontextmanager
    async def _transaction(self, options: dict[str, Any]) -> AsyncIterator[AsyncConnection]:
        try:
            with anyio.fail_after(PATIENCE_S, shield=True):
                async with self._engine.connect() as plain:
                    connection = await plain.execution_options(**options)
                    async with connection.begin():
                        yield connection
        except DBAPIError as error:
            raise translate(error, self.name) from error
        except TimeoutError:
            raise StoreError(f"store {self.name}: no answer in {PATIENCE_S:g} s; look at its disk or server") from None

    def insert(self, table: Table) -> Insert:
        """An INSERT that can say ON CONFLICT, which SQLAlchemy has per dialect only."""
        return _INSERTS[self._engine.dialect.name](table)

    async def close(self) -> None:
        with anyio.move_on_after(PATIENCE_S, shield=True):
            await self._engine.dispose()


def make_engine(url: URL, *, busy_timeout: float, synchronous: str) -> AsyncEngine:
    """An engine whose connections are set up for us. `synchronous` is SQLite's: FULL where a commit must survive a
    power cut, NORMAL where an OS crash may undo the last commits (never damage the file).
    """
    engine = create_async_engine(url, pool_size=4, connect_args={"timeout": busy_timeout, "isolation_level": None})

    @event.listens_for(engine.sync_engine, "connect")
    def set_up(connection: Any, _: object) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute(f"PRAGMA synchronous={synchronous}")
        cursor.close()

    # The driver's own transaction handling is off (isolation_level None): it begins late, and never IMMEDIATE.
    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Connection) -> None:
        immediate = connection.get_execution_options().get("immediate", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")

    return engine


def portions(values: Sequence[T], size: int = PARAMETERS) -> Iterator[Sequence[T]]:
    """The values in order, in slices that fit into one statement."""
    return (values[i : i + size] for i in range(0, len(values), size))
