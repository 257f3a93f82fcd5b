"""Transactions, whatever the database: a step is a function of a connection, and one path for every table's module.

* A transaction is a step from its begin to its commit. How it is run is the engine's: `sqlite.py` in a thread,
  `postgresql.py` on the loop.
* A write is taken under an in-process lock, first come, first served: SQLite has one writer, and of a server's writers
  those of one kind would only wait for each other, each with a connection in hand.
* A transaction that has begun runs to its end whatever is cancelled around it, within PATIENCE_S: it happened, or it
  was never begun. Waiting for one's turn can be cancelled.
* Reads see a snapshot; they neither wait for writers nor hold them up. They are short: results come in pages.
* A step may be run again, after a lost connection or a deadlock: it changes nothing but the database.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

import anyio
from sqlalchemy import Connection, Table, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError

from orchestrator.store.errors import StoreError, translate

PATIENCE_S = 60.0
"""The bound of one transaction, repetitions included; longer than any busy time-out, so that the database's own word
comes first.
"""
PARAMETERS = 1000
"""Values put into one IN list; both databases take at least 32,766 parameters in a statement."""
CONNECTIONS = 4
"""Transactions at a time: writers, and readers beside them."""

_OTHER_WAYS = ("sort", "material", "bitmapscan", "hashjoin", "mergejoin")
_BY_INDEX = text("SELECT " + ", ".join(f"set_config('enable_{way}', 'off', true)" for way in _OTHER_WAYS))

T = TypeVar("T")

Insert = sqlite.Insert | postgresql.Insert
_INSERTS: dict[str, Callable[[Table], Insert]] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


class StoreEngine(Protocol):
    """Connections to one database, set up for us. Raises DBAPIError in the database's words, or StoreError."""

    @property
    def name(self) -> str:
        """The database, as messages name it: never with a password."""

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""

    async def run(self, step: Callable[[Connection], T], *, write: bool) -> T:
        """One transaction; to its end, or cancelled with nothing written."""

    async def dispose(self) -> None: ...


class Database:
    """One engine, and the lock that writers of one kind share."""

    def __init__(self, engine: StoreEngine, writers: anyio.Lock) -> None:
        self._engine = engine
        self._writers = writers
        self.name = engine.name
        self.dialect = engine.dialect

    async def read(self, step: Callable[[Connection], T]) -> T:
        """A short read transaction: what `step` returns, which must not need the connection. Raises StoreError."""
        return await self._run(step, write=False)

    async def write(self, step: Callable[[Connection], T]) -> T:
        """One write transaction: committed when `step` returns, undone when it raises. Raises StoreError."""
        async with self._writers:
            return await self._run(step, write=True)

    async def _run(self, step: Callable[[Connection], T], *, write: bool) -> T:
        try:
            with anyio.fail_after(PATIENCE_S, shield=True):
                return await self._engine.run(step, write=write)
        except DBAPIError as error:
            raise translate(error, self.name) from error
        except TimeoutError:
            raise StoreError(f"store {self.name}: no answer in {PATIENCE_S:g} s; look at its disk or server") from None

    def insert(self, table: Table) -> Insert:
        """An INSERT that can say ON CONFLICT, which SQLAlchemy has per dialect only."""
        return _INSERTS[self.dialect](table)

    async def close(self) -> None:
        with anyio.move_on_after(PATIENCE_S, shield=True):
            await self._engine.dispose()


def in_index_order(connection: Connection) -> None:
    """For a page of a table, in this transaction: a server that has no statistics yet (it gathers them once a minute)
    would read all that is left of a run for each page (0.6 s in place of 5 ms, at 20,000), where it can follow indexes.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(_BY_INDEX)


def portions(values: Sequence[T], size: int = PARAMETERS) -> Iterator[Sequence[T]]:
    """The values in order, in slices that fit into one statement."""
    return (values[i : i + size] for i in range(0, len(values), size))
