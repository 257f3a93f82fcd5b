"""What an admin has stopped, until it is lifted."""

from __future__ import annotations

from sqlalchemy import delete, select

from orchestrator.stops import Selector, Stop, StopKind
from orchestrator.store.database import Database
from orchestrator.store.schema import stops


class StopTable:
    """Implements `StopRows`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, stop: Stop) -> None:
        """Durable when it returns. One that is there stays as it is."""
        insert = self._database.insert(stops).on_conflict_do_nothing()
        await self._database.write(lambda connection: connection.execute(insert, stop.data()))

    async def drop(self, stop: Stop) -> None:
        of, at = stops.c, stop.selector
        query = delete(stops).where(of.kind == at.kind.value, of.name == at.name, of.vault == at.vault)
        await self._database.write(lambda connection: connection.execute(query))

    async def all(self) -> list[Stop]:
        """The oldest first."""
        query = select(stops).order_by(stops.c.since, *stops.primary_key.columns)
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return [Stop(Selector(StopKind(r.kind), r.name, r.vault), r.since, r.by, r.why) for r in rows]
