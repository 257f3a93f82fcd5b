"""What a run's cursors have not come to, ended as a whole: one row for each cursor, however many targets it has left.

A cancelled run of a whole /8 would else write sixteen million rows. The targets themselves are the plan's: whoever
reports them asks it for the indices from `first` up to (without) `behind`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, select

from appliance.contract import Evidence, Technology
from appliance.reasons import Status
from orchestrator.store.database import Database
from orchestrator.store.leases import Fences
from orchestrator.store.records import Remainder
from orchestrator.store.schema import cursors, remainders


class Remainders:
    def __init__(self, database: Database, fences: Fences) -> None:
        """`fences`: as of `Attempts`."""
        self._database = database
        self._fences = fences
        self._first_ones = database.insert(remainders).on_conflict_do_nothing()

    async def close(
        self,
        run: str,
        counts: Mapping[str, tuple[Technology, int]],
        *,
        reason: str,
        status: Status,
        evidence: Evidence,
        finished_at: float,
    ) -> None:
        """End all that lies behind the cursors' positions; `counts`: how many units each cursor has. To be called when
        nothing moves them any more. Repeating changes nothing. Raises StoreError.
        """

        def step(connection: Connection) -> None:
            self._fences.check(connection, run)
            query = select(cursors.c.name, cursors.c.position).where(cursors.c.run == run)
            reached = {row.name: row.position for row in connection.execute(query)}
            rows: list[dict[str, Any]] = [
                {
                    "run": run,
                    "cursor": cursor,
                    "first": reached.get(cursor, 0),
                    "behind": count,
                    "technology": technology.value,
                    "status": status.value,
                    "reason": reason,
                    "finished_at": finished_at,
                    "evidence": evidence.model_dump_json(),
                }
                for cursor, (technology, count) in counts.items()
                if reached.get(cursor, 0) < count
            ]
            if rows:
                connection.execute(self._first_ones, rows)

        await self._database.write(step)

    async def of(self, run: str) -> Sequence[Remainder]:
        query = select(remainders).where(remainders.c.run == run).order_by(remainders.c.cursor)
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return [
            Remainder(
                cursor=row.cursor,
                first=row.first,
                behind=row.behind,
                technology=Technology(row.technology),
                status=Status(row.status),
                reason=row.reason,
                finished_at=row.finished_at,
                evidence=Evidence.model_validate_json(row.evidence),
            )
            for row in rows
        ]
