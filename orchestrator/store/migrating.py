"""Bring a store to this release's schema, whatever older release made it.

It has an engine of its own, whose commit reaches the disk, in a thread and an event loop of its own: Alembic reads
files and takes its time. Of several processes that open a store at once one migrates it, and the others wait: SQLite
has one writer, and on a server a lock is taken that the transaction's end gives back.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import anyio
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, delete, insert, text

from orchestrator.store.database import Database, StoreEngine
from orchestrator.store.schema import HEAD, compatibility
from orchestrator.store.upgrade import admitted, revision_of

_MIGRATIONS = Path(__file__).parent / "migrations"
_LOCK = text("SELECT pg_advisory_xact_lock(7809346571)")
"""A number of our own, in the database's one space for them."""


def configuration() -> Config:
    """Alembic's configuration, which lies in code so that it travels with the package."""
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


async def migrate(new_engine: Callable[[], StoreEngine]) -> None:
    """Raises StoreError for a store of a newer release that we may not use."""
    await anyio.to_thread.run_sync(lambda: anyio.run(_migrate, new_engine), abandon_on_cancel=True)


async def _migrate(new_engine: Callable[[], StoreEngine]) -> None:
    database = Database(new_engine(), anyio.Lock())
    try:
        await database.write(partial(_apply, store=database.name, dialect=database.dialect))
    finally:
        await database.close()


def _apply(connection: Connection, store: str, dialect: str) -> None:
    if dialect == "postgresql":
        connection.execute(_LOCK)
    # Asked again under the lock: another process may have upgraded the store in the meantime.
    revision = revision_of(connection, store)
    if revision is not None and revision > HEAD:
        admitted(connection, store)
        return
    config = configuration()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    head = ScriptDirectory.from_config(config).get_revision("head")
    connection.execute(delete(compatibility))
    connection.execute(insert(compatibility), {"compatible_from": head.module.compatible_from})
