"""When `verify-clean` has read the secrets of a run once more: views that no attempt has made."""

from __future__ import annotations

from sqlalchemy import insert, select, update

from orchestrator.store.database import Database
from orchestrator.store.records import SearchRow
from orchestrator.store.schema import searches


class Searches:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(self, run: str, now: float) -> int:
        """Written before anything is read, so that a killed search is known too. Gives its number."""
        made = insert(searches).values(run=run, begun_at=now).returning(searches.c.id)
        return int(await self._database.write(lambda connection: connection.execute(made).scalar_one()))

    async def end(self, number: int, now: float) -> None:
        query = update(searches).where(searches.c.id == number).values(ended_at=now)
        await self._database.write(lambda connection: connection.execute(query))

    async def all(self) -> list[SearchRow]:
        """Oldest first."""
        query = select(searches.c.run, searches.c.begun_at, searches.c.ended_at).order_by(searches.c.id)
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return [SearchRow(*row) for row in rows]
