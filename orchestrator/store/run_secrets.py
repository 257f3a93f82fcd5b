"""What a run has from a vault for one secret (a check-out, an approval), or was about to get, until it ends."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import fields, replace
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, Connection, Select, Table, delete, select, update

from orchestrator.store.database import Database
from orchestrator.store.records import ApprovalRow, CheckOutRow

R = TypeVar("R", bound=ApprovalRow | CheckOutRow)


class RunSecrets(Generic[R]):
    """Rows of one kind in a table whose columns are the row's fields; each has its primary key once."""

    def __init__(self, database: Database, table: Table, row: type[R], same: Sequence[str] = ()) -> None:
        """`same`: columns in which two runs' rows of a secret must agree, too, to be about one thing in the vault."""
        self._database = database
        self._table = table
        self._row = row
        self._columns = [column.name for column in fields(row)]
        self._own = [column.name for column in table.primary_key.columns]
        self._secret = [name for name in self._own if name != "run"]
        self._same = same

    async def put(self, row: R) -> None:
        """Write a row, or write it anew. Durable when it returns."""
        insert = self._database.insert(self._table)
        changed = {name: insert.excluded[name] for name in self._columns if name not in self._own}
        query = insert.on_conflict_do_update(index_elements=self._own, set_=changed)
        values = {name: getattr(row, name) for name in self._columns}
        await self._database.write(lambda connection: connection.execute(query, values))

    async def drop(self, row: R) -> None:
        """The run is done with it."""
        query = delete(self._table).where(*self._equal(row, self._own))
        await self._database.write(lambda connection: connection.execute(query))

    async def hand_over(self, row: R, dead: Collection[str]) -> R:
        """A run is done with a secret. Where another one has a row of it (`dead`: runs that do not count), this row is
        dropped, and that one inherits whether it is ours; that row. Else this row, as it stands now, and stays: of
        several that leave at once the last is told so, and ends it in the vault.
        """

        def step(connection: Connection) -> R:
            found = [self._row(*one) for one in connection.execute(rows)]
            mine = next((one for one in found if one.run == row.run), row)
            heirs = [one for one in found if one.run not in (row.run, *dead) and agrees(one, mine)]
            if not heirs:
                return mine
            heir = next((one for one in heirs if one.ours), heirs[0])
            if mine.ours and not heir.ours:
                heir = replace(heir, ours=True)
                connection.execute(update(self._table).where(*self._equal(heir, self._own)).values(ours=True))
            connection.execute(delete(self._table).where(*self._equal(mine, self._own)))
            return heir

        def agrees(one: R, other: R) -> bool:
            return all(getattr(one, name) == getattr(other, name) for name in self._same)

        rows = self._of_secret(row).with_for_update()
        return await self._database.write(step)

    async def of_secret(self, row: R) -> list[R]:
        """All runs' rows of a row's secret."""
        query = self._of_secret(row)
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return [self._row(*one) for one in rows]

    def _of_secret(self, row: R) -> Select[Any]:
        query = select(*(self._table.c[name] for name in self._columns)).where(*self._equal(row, self._secret))
        return query.order_by(*self._table.primary_key.columns)

    def _equal(self, row: R, columns: Sequence[str]) -> Iterator[ColumnElement[bool]]:
        return (self._table.c[name] == getattr(row, name) for name in columns)

    async def all(self) -> list[R]:
        """In the order of vaults and secrets."""
        query = select(*(self._table.c[name] for name in self._columns)).order_by(*self._table.primary_key.columns)
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return [self._row(*row) for row in rows]
