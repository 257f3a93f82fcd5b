"""Runs: one row each, and one row for each of their dispatch cursors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Row, Select, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.store.database import Database, Insert
from orchestrator.store.records import RunRecord, RunState
from orchestrator.store.schema import cursors, runs


def move_cursors(database: Database) -> Insert:
    """The statement that moves cursors forward (`cursor_rows` are its rows); a late repeat never moves one back."""
    statement = database.insert(cursors)
    new = statement.excluded.position
    return statement.on_conflict_do_update(
        index_elements=["run", "name"], set_={"position": new}, where=new > cursors.c.position
    )


def cursor_rows(run: str, positions: Mapping[str, int]) -> list[dict[str, Any]]:
    return [{"run": run, "name": name, "position": position} for name, position in positions.items()]


class Runs:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, run: RunRecord) -> None:
        """Raises StoreError; a known id is a bug and raises IntegrityError."""
        values = {column.name: getattr(run, column.name) for column in runs.columns}
        values["snapshot"] = dict(run.snapshot)
        async with self._database.write() as connection:
            await connection.execute(insert(runs), values)
            await self._move(connection, run.id, run.cursors)

    async def get(self, run: str) -> RunRecord | None:
        return await self._first(select(runs).where(runs.c.id == run))

    async def latest(self) -> RunRecord | None:
        return await self._first(select(runs).order_by(runs.c.created_at.desc(), runs.c.id.desc()).limit(1))

    async def all(self) -> list[RunRecord]:
        """Every run, oldest first."""
        async with self._database.read() as connection:
            rows = (await connection.execute(select(runs).order_by(runs.c.created_at, runs.c.id))).all()
            return [_record(row, await self._cursors(connection, row.id)) for row in rows]

    async def update(
        self,
        run: str,
        *,
        state: RunState | None = None,
        finished_at: float | None = None,
        planned: int | None = None,
        cursors: Mapping[str, int] | None = None,
    ) -> None:
        """Change what is given; an unknown run raises LookupError."""
        # The id is set to itself, so that there is always something to set and an unknown run is always noticed.
        given = {"id": run, "state": state, "finished_at": finished_at, "planned": planned}
        values = {name: value for name, value in given.items() if value is not None}
        async with self._database.write() as connection:
            found = await connection.execute(update(runs).where(runs.c.id == run).values(values))
            if not found.rowcount:
                raise LookupError(f"no run {run}")
            await self._move(connection, run, cursors or {})

    async def _move(self, connection: AsyncConnection, run: str, positions: Mapping[str, int]) -> None:
        if positions:
            await connection.execute(move_cursors(self._database), cursor_rows(run, positions))

    async def _first(self, query: Select[Any]) -> RunRecord | None:
        async with self._database.read() as connection:
            row = (await connection.execute(query)).first()
            return _record(row, await self._cursors(connection, row.id)) if row else None

    @staticmethod
    async def _cursors(connection: AsyncConnection, run: str) -> dict[str, int]:
        found = await connection.execute(select(cursors.c.name, cursors.c.position).where(cursors.c.run == run))
        return {row.name: row.position for row in found}


def _record(row: Row[Any], positions: dict[str, int]) -> RunRecord:
    values = {**row._mapping, "state": RunState(row.state), "cursors": positions}  # noqa: SLF001 - SQLAlchemy's public name
    return RunRecord(**values)
