"""How a store is: at which migration, with how many rows, and whether the database finds itself whole."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, insert, select, text

from orchestrator.store.database import Database
from orchestrator.store.schema import cursors, metadata
from orchestrator.store.upgrade import revision_of


@dataclass(frozen=True, slots=True)
class Condition:
    revision: str
    rows: dict[str, int]
    """By table."""
    check: str
    """The database's own word: `ok`, or what is wrong."""


async def condition_of(database: Database) -> Condition:
    """Reads everything once. Raises StoreError."""

    def look(connection: Connection) -> Condition:
        rows = {}
        for table in metadata.sorted_tables:
            rows[table.name] = connection.execute(select(func.count()).select_from(table)).scalar_one()
        return Condition(revision_of(connection, database.name) or "", rows, _check(connection, database.dialect))

    return await database.read(look)


def _check(connection: Connection, dialect: str) -> str:
    if dialect != "sqlite":
        return "ok"  # a server looks after its own files, and has counted every row
    return "; ".join(map(str, connection.execute(text("PRAGMA quick_check(20)")).scalars()))


_NOBODYS = ""
"""The id of no run."""


def leave_no_trace(connection: Connection) -> None:
    """Change something and take it back in one transaction: it reaches the disk all the same when it is committed."""
    connection.execute(insert(cursors), {"run": _NOBODYS, "name": _NOBODYS, "position": 0})
    connection.execute(delete(cursors).where(cursors.c.run == _NOBODYS))
