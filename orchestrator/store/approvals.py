"""Access that runs have asked for, or were about to ask for, until they end."""

from __future__ import annotations

from sqlalchemy import delete, select

from orchestrator.store.database import Database
from orchestrator.store.records import ApprovalRow
from orchestrator.store.schema import approvals

_COLUMNS = ("url", "user", "secret_id", "run", "vault", "secret", "at", "after", "request", "ours")


class Approvals:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, row: ApprovalRow) -> None:
        """Write a row, or write it anew. Durable when it returns."""
        insert = self._database.insert(approvals)
        own = [column.name for column in approvals.primary_key.columns]
        changed = {name: insert.excluded[name] for name in _COLUMNS if name not in own}
        async with self._database.write() as connection:
            await connection.execute(
                insert.on_conflict_do_update(index_elements=own, set_=changed),
                {name: getattr(row, name) for name in _COLUMNS},
            )

    async def drop(self, row: ApprovalRow) -> None:
        """The run is done with it."""
        of = approvals.c
        query = delete(approvals).where(
            of.url == row.url, of.user == row.user, of.secret_id == row.secret_id, of.run == row.run
        )
        async with self._database.write() as connection:
            await connection.execute(query)

    async def all(self) -> list[ApprovalRow]:
        """In the order of vaults and secrets."""
        query = select(*(approvals.c[name] for name in _COLUMNS)).order_by(*approvals.primary_key.columns)
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).all()
        return [ApprovalRow(*row) for row in rows]
