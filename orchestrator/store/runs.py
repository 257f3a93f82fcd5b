"""Runs: one row each, and one row for each of their dispatch cursors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Row, Select, insert, select, update

from orchestrator.run_state import RunState, Standing
from orchestrator.store.database import Database, Insert
from orchestrator.store.leases import Fences
from orchestrator.store.records import RunRecord
from orchestrator.store.schema import cursors, runs

_OLDER = {"planned": RunState.QUEUED, "stopped": RunState.PAUSED, "failed": RunState.ERROR}
"""What older releases wrote, and one that is still at work on the store may write."""


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
    def __init__(self, database: Database, durable: Database, fences: Fences) -> None:
        """`durable`: the same, whose commits reach the disk; for what somebody is told to hold. `fences`: as of
        `Attempts`.
        """
        self._database, self._durable = database, durable
        self._fences = fences

    async def add(self, run: RunRecord) -> None:
        """Raises StoreError; a known id is a bug and raises IntegrityError."""
        values = {column.name: getattr(run, column.name) for column in runs.columns}
        values["snapshot"] = dict(run.snapshot)
        values["held"] = None if run.held is None else dict(run.held)

        def step(connection: Connection) -> None:
            connection.execute(insert(runs), values)
            self._move(connection, run.id, run.cursors)

        await self._database.write(step)

    async def get(self, run: str) -> RunRecord | None:
        return await self._first(select(runs).where(runs.c.id == run))

    async def latest(self) -> RunRecord | None:
        return await self._first(select(runs).order_by(runs.c.created_at.desc(), runs.c.id.desc()).limit(1))

    async def all(self) -> list[RunRecord]:
        """Every run, oldest first."""

        def look(connection: Connection) -> list[RunRecord]:
            rows = connection.execute(select(runs).order_by(runs.c.created_at, runs.c.id)).all()
            return [_record(row, self._cursors(connection, row.id)) for row in rows]

        return await self._database.read(look)

    async def standings(self) -> dict[str, Standing]:
        """By id, how each run stands that has not come to its end; oldest first."""
        over = [state.value for state in RunState if state.over]
        query = select(runs.c.id, runs.c.state, runs.c.held).where(runs.c.state.not_in(over))
        query = query.order_by(runs.c.created_at, runs.c.id)
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return {row.id: Standing.of(_state(row.state), row.held) for row in rows}

    async def update(
        self,
        run: str,
        *,
        state: RunState | None = None,
        finished_at: float | None = None,
        planned: int | None = None,
        spent: Mapping[str, Any] | None = None,
        cursors: Mapping[str, int] | None = None,
        standing: Standing | None = None,
        priority: int | None = None,
    ) -> None:
        """Change what is given; an unknown run raises LookupError. A standing brings its `finished_at`: without one the
        run is no longer at rest.
        """
        # The id is set to itself, so that there is always something to set and an unknown run is always noticed.
        given = {
            "id": run,
            "state": state,
            "finished_at": finished_at,
            "planned": planned,
            "spent": spent,
            "priority": priority,
        }
        values: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        if standing is not None:
            values |= {"state": standing.state, "held": standing.data(), "finished_at": finished_at}

        def step(connection: Connection) -> None:
            self._fences.check(connection, run)
            found = connection.execute(update(runs).where(runs.c.id == run).values(values))
            if not found.rowcount:
                raise LookupError(f"no run {run}")
            self._move(connection, run, cursors or {})

        await (self._database if standing is None else self._durable).write(step)

    def _move(self, connection: Connection, run: str, positions: Mapping[str, int]) -> None:
        if positions:
            connection.execute(move_cursors(self._database), cursor_rows(run, positions))

    async def _first(self, query: Select[Any]) -> RunRecord | None:

        def look(connection: Connection) -> RunRecord | None:
            row = connection.execute(query).first()
            return _record(row, self._cursors(connection, row.id)) if row else None

        return await self._database.read(look)

    @staticmethod
    def _cursors(connection: Connection, run: str) -> dict[str, int]:
        found = connection.execute(select(cursors.c.name, cursors.c.position).where(cursors.c.run == run))
        return {row.name: row.position for row in found}


def _state(written: str) -> RunState:
    return _OLDER.get(written) or RunState(written)


def _record(row: Row[Any], positions: dict[str, int]) -> RunRecord:
    values = {**row._mapping, "state": _state(row.state), "cursors": positions}  # noqa: SLF001 - SQLAlchemy's public name
    return RunRecord(**values)
