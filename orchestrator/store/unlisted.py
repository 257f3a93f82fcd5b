"""Rows of runs that are brought in or taken away: more than one transaction may hold, and never to be seen by halves.

A run is there when it has a row in `runs`. An import writes that row last, in the transaction that has found all others
whole; a prune takes it away first. In between the run is in `unlisted`, with the token of whoever is at work and the
time of its last batch: of two at work the second is refused, and what a killed one has left is taken away by the next.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Any

from sqlalchemy import (
    JSON,
    Connection,
    Double,
    Integer,
    Select,
    Table,
    and_,
    delete,
    func,
    insert,
    select,
    tuple_,
    update,
)
from sqlalchemy.exc import IntegrityError

from orchestrator.store.database import Database, in_index_order
from orchestrator.store.errors import StoreError
from orchestrator.store.schema import attempts, cursors, jobs, outcomes, permits, remainders, runs, searches, unlisted

PAGE = 1000
BATCH = 2000
"""Jobs whose rows are deleted in one transaction: some tens of milliseconds."""
ABANDONED_S = 120.0
"""Nobody needs that long for a batch: who has been silent for it is dead."""

TABLES: dict[str, Table] = {
    "cursor": cursors, "job": jobs, "attempt": attempts, "outcome": outcomes, "permit": permits, "search": searches,
    "remainder": remainders,
}  # fmt: skip
"""A run's rows by kind, in the order in which they are exported and imported; a job comes before what it has."""
_NUMBERED = {"permit", "search"}
"""Their ids are the store's own, and give their order only."""
_IMPORT = "import-"
"""Begins the token of an import."""

Row = dict[str, Any]


_AT_REST = ("paused", "finished", "cancelled", "error", "stopped", "failed")
"""States in which a run may be taken away, under their old names too."""
_NO_PERMITS, _ALL_PERMITS = -math.inf, math.inf


class TakenError(StoreError):
    """Somebody else is at work on the run, or it is there already."""


class TwiceError(StoreError):
    """A row of a batch is there already."""


def shape_of(kind: str) -> dict[str, tuple[type, bool]]:
    """The columns of a kind of row (or of `run`): what JSON has for each, and whether it may be null."""
    table = runs if kind == "run" else TABLES[kind]
    hidden = {"id"} if kind in _NUMBERED else set()
    return {c.name: (_json_type(c.type), bool(c.nullable)) for c in table.columns if c.name not in hidden}


def _json_type(column: object) -> type:
    if isinstance(column, Double):
        return float
    if isinstance(column, Integer):
        return int
    return object if isinstance(column, JSON) else str


class Unlisted:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def run_row(self, run: str) -> Row | None:
        """A run's own row."""
        found = await self._database.read(lambda c: c.execute(select(runs).where(runs.c.id == run)).mappings().first())
        return dict(found) if found else None

    async def pages(self, kind: str, run: str) -> AsyncIterator[list[Row]]:
        """A run's rows of a kind, in the order of their keys."""
        table = TABLES[kind]
        key = [c for c in table.primary_key.columns if c.name != "run"]
        wanted = [table.c[name] for name in shape_of(kind)]
        base = select(*wanted, *(c for c in key if c.name not in shape_of(kind))).where(table.c.run == run)
        query = base.order_by(*key).limit(PAGE)
        while True:
            page = await self._database.read(partial(_mappings, query))
            yield [{name: row[name] for name in shape_of(kind)} for row in page]
            if len(page) < PAGE:
                return
            last = tuple(page[-1][c.name] for c in key)
            query = base.where(tuple_(*key) > tuple_(*last)).order_by(*key).limit(PAGE)

    # -- bringing in ---------------------------------------------------------------------------------------------------

    async def begin(self, run: str, token: str, now: float) -> None:
        """Raises TakenError where the run is there, or somebody is at work on it."""
        mine = f"{_IMPORT}{token}"

        def step(connection: Connection) -> str:
            if connection.execute(select(runs.c.id).where(runs.c.id == run)).first():
                raise TakenError(f"run {run} is in the store already")
            return _claim(connection, run, mine, now)

        def have_permits(connection: Connection) -> bool:
            return connection.execute(select(permits.c.id).where(permits.c.run == run).limit(1)).first() is not None

        before = await self._database.write(step)
        if before:
            await self._empty(run, mine, now, _ALL_PERMITS if before.startswith(_IMPORT) else _NO_PERMITS)
        if await self._database.read(have_permits):
            await self._database.write(partial(_forget, run, mine))
            raise TakenError(f"the ledger still has permits of run {run}, which was pruned; it forgets them in a day")

    async def put(self, run: str, token: str, now: float, kind: str, rows: Sequence[Row]) -> None:
        """A batch. Raises StoreError, TwiceError."""

        def step(connection: Connection) -> None:
            _still_ours(connection, run, f"{_IMPORT}{token}", now)
            connection.execute(insert(TABLES[kind]), list(rows))

        try:
            await self._database.write(step)
        except IntegrityError:
            raise TwiceError(f"a {kind} of run {run} is there twice") from None

    async def finish(self, run: str, token: str, now: float, row: Row) -> None:
        """The run is there from now on. Raises StoreError where its rows do not fit together."""

        def step(connection: Connection) -> None:
            _still_ours(connection, run, f"{_IMPORT}{token}", now)
            for table in (attempts, outcomes):
                lost = table.outerjoin(jobs, and_(jobs.c.run == table.c.run, jobs.c.job == table.c.job))
                query = select(table.c.job).select_from(lost).where(table.c.run == run, jobs.c.job.is_(None)).limit(1)
                if (found := connection.execute(query).scalar_one_or_none()) is not None:
                    raise StoreError(f"run {run}: one of its {table.name} is of job {found}, which is not there")
            ended = select(func.count()).where(outcomes.c.run == run)
            if (number := connection.execute(ended).scalar_one()) > row["planned"]:
                raise StoreError(f"run {run}: it has {number} outcomes, and planned {row['planned']}")
            connection.execute(insert(runs), row)
            connection.execute(delete(unlisted).where(unlisted.c.run == run))

        await self._database.write(step)

    async def drop(self, run: str, token: str, now: float) -> None:
        """Take away what was brought in. Raises StoreError."""
        await self._empty(run, f"{_IMPORT}{token}", now, _ALL_PERMITS)
        await self._database.write(partial(_forget, run, f"{_IMPORT}{token}"))

    # -- taking away ---------------------------------------------------------------------------------------------------

    async def remove(self, run: str, token: str, now: float, *, permits_before: float) -> None:
        """Take a run away, its permits up to a time; the caller knows that nobody needs it. Raises StoreError."""

        def step(connection: Connection) -> None:
            _claim(connection, run, token, now)
            connection.execute(delete(runs).where(runs.c.id == run, runs.c.state.in_(_AT_REST)))
            if connection.execute(select(runs.c.id).where(runs.c.id == run)).first():
                raise TakenError(f"run {run} has been gone on with meanwhile; it stays")

        await self._database.write(step)
        await self._empty(run, token, now, permits_before)
        await self._database.write(partial(_forget, run, token))

    async def abandoned(self, now: float) -> list[str]:
        """Runs of which a killed import or prune has left rows."""
        query = select(unlisted.c.run).where(unlisted.c.at < now - ABANDONED_S).order_by(unlisted.c.run)
        return [row.run for row in await self._database.read(partial(_rows, query))]

    async def _empty(self, run: str, token: str, now: float, permits_before: float) -> None:
        """Batch after batch, so that no writer waits for long."""
        for table in (outcomes, attempts, jobs):
            some = select(table.c.job).where(table.c.run == run).order_by(table.c.job).limit(BATCH).subquery()
            query = delete(table).where(table.c.run == run, table.c.job.in_(select(some.c.job)))
            while await self._delete(query, run, token, now):
                pass
        # A permit of the live window stays: its account may still be near its lock-out.
        old = and_(permits.c.run == run, permits.c.at < permits_before)
        numbers = select(permits.c.id).where(old).order_by(permits.c.id).limit(BATCH).subquery()
        while await self._delete(delete(permits).where(permits.c.id.in_(select(numbers.c.id))), run, token, now):
            pass
        for table in (cursors, searches, remainders):
            await self._delete(delete(table).where(table.c.run == run), run, token, now)

    async def _delete(self, query: Any, run: str, token: str, now: float) -> int:
        def step(connection: Connection) -> int:
            _still_ours(connection, run, token, now)
            return connection.execute(query).rowcount

        return await self._database.write(step)


def _mappings(query: Select[Any], connection: Connection) -> list[Row]:
    in_index_order(connection)
    return [dict(row) for row in connection.execute(query).mappings()]


def _rows(query: Select[Any], connection: Connection) -> Sequence[Any]:
    return connection.execute(query).all()


def _claim(connection: Connection, run: str, token: str, now: float) -> str:
    """The token of a dead one whose rows may be there, or nothing. Raises TakenError where he is at work."""
    found = connection.execute(select(unlisted).where(unlisted.c.run == run).with_for_update()).first()
    if found is None:
        connection.execute(insert(unlisted), {"run": run, "token": token, "at": now})
        return ""
    if found.at >= now - ABANDONED_S:
        raise TakenError(f"run {run} is being imported or pruned by another process; wait until it has ended")
    connection.execute(update(unlisted).where(unlisted.c.run == run).values(token=token, at=now))
    return str(found.token)


def _still_ours(connection: Connection, run: str, token: str, now: float) -> None:
    mine = update(unlisted).where(unlisted.c.run == run, unlisted.c.token == token).values(at=now)
    if not connection.execute(mine).rowcount:
        raise TakenError(f"run {run} has been taken over by another process")


def _forget(run: str, token: str, connection: Connection) -> None:
    connection.execute(delete(unlisted).where(unlisted.c.run == run, unlisted.c.token == token))
