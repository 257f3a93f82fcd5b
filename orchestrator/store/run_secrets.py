"""What a run has from a vault for one secret (a check-out, an approval), or was about to get, until it ends."""

from __future__ import annotations

from dataclasses import fields
from typing import Generic, TypeVar

from sqlalchemy import Table, delete, select

from orchestrator.store.database import Database
from orchestrator.store.records import ApprovalRow, CheckOutRow

R = TypeVar("R", bound=ApprovalRow | CheckOutRow)


class RunSecrets(Generic[R]):
    """Rows of one kind in a table whose columns are the row's fields; each has its primary key once."""

    def __init__(self, database: Database, table: Table, row: type[R]) -> None:
        self._database = database
        self._table = table
        self._row = row
        self._columns = [column.name for column in fields(row)]
        self._own = [column.name for column in table.primary_key.columns]

    async def put(self, row: R) -> None:
        """Write a row, or write it anew. Durable when it returns."""
        insert = self._database.insert(self._table)
        changed = {name: insert.excluded[name] for name in self._columns if name not in self._own}
        query = insert.on_conflict_do_update(index_elements=self._own, set_=changed)
        values = {name: getattr(row, name) for name in self._columns}
        await self._database.write(lambda connection: connection.execute(query, values))

    async def drop(self, row: R) -> None:
        """The run is done with it."""
        query = delete(self._table).where(*(self._table.c[name] == getattr(row, name) for name in self._own))
        await self._database.write(lambda connection: connection.execute(query))

    async def all(self) -> list[R]:
        """In the order of vaults and secrets."""
        query = select(*(self._table.c[name] for name in self._columns)).order_by(*self._table.primary_key.columns)
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return [self._row(*row) for row in rows]
