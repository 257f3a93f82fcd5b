"""Secrets that runs have checked out, or were about to check out, until they are given back."""

from __future__ import annotations

from sqlalchemy import delete, select

from orchestrator.store.database import Database
from orchestrator.store.records import CheckOutRow
from orchestrator.store.schema import check_outs

_COLUMNS = ("url", "user", "secret_id", "run", "vault", "zone", "secret", "ours")


class CheckOuts:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, row: CheckOutRow) -> None:
        """Write a row, or write it anew. Durable when it returns."""
        insert = self._database.insert(check_outs)
        own = [column.name for column in check_outs.primary_key.columns]
        changed = {name: insert.excluded[name] for name in _COLUMNS if name not in own}
        async with self._database.write() as connection:
            await connection.execute(
                insert.on_conflict_do_update(index_elements=own, set_=changed),
                {name: getattr(row, name) for name in _COLUMNS},
            )

    async def drop(self, row: CheckOutRow) -> None:
        """The run has it no more."""
        of = check_outs.c
        query = delete(check_outs).where(
            of.url == row.url, of.user == row.user, of.secret_id == row.secret_id, of.run == row.run
        )
        async with self._database.write() as connection:
            await connection.execute(query)

    async def all(self) -> list[CheckOutRow]:
        """In the order of vaults and secrets."""
        query = select(*(check_outs.c[name] for name in _COLUMNS)).order_by(*check_outs.primary_key.columns)
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).all()
        return [CheckOutRow(*row) for row in rows]
