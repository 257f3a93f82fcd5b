"""Which fire of each campaign's schedule was last attended to, and whether a run of it is due."""

from __future__ import annotations

from sqlalchemy import select, update

from orchestrator.store.database import Database
from orchestrator.store.schema import schedules


class Schedules:
    """Durable when a call returns."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def last(self, campaign: str) -> float | None:
        """Unix seconds. Raises StoreError."""
        query = select(schedules.c.fired_at).where(schedules.c.campaign == campaign)
        return await self._database.read(lambda connection: connection.execute(query).scalar_one_or_none())

    async def claim(self, campaign: str, at: float, *, queue: bool) -> bool:
        """Whether this fire is ours to attend to: nobody has attended to it, or to a later one. With `queue` a run is
        due then.
        """
        mine = schedules.c.campaign == campaign, schedules.c.fired_at < at
        claimed = update(schedules).where(*mine).values(fired_at=at, **({"queued": True} if queue else {}))
        return await self._database.write(lambda connection: connection.execute(claimed).rowcount) == 1

    async def queued(self, campaign: str) -> bool:
        query = select(schedules.c.queued).where(schedules.c.campaign == campaign)
        return bool(await self._database.read(lambda connection: connection.execute(query).scalar_one_or_none()))

    async def unqueue(self, campaign: str) -> None:
        """No run is due any more."""
        done = update(schedules).where(schedules.c.campaign == campaign).values(queued=False)
        await self._database.write(lambda connection: connection.execute(done))

    async def note(self, campaign: str, at: float) -> None:
        statement = self._database.insert(schedules).values(campaign=campaign, fired_at=at)
        newer = statement.on_conflict_do_update(index_elements=["campaign"], set_={"fired_at": at})
        await self._database.write(lambda connection: connection.execute(newer))
