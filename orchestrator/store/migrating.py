"""Bring a store to this release's schema, whatever older release made it.

It has an engine of its own, whose commit reaches the disk.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import anyio
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection

from orchestrator.store.database import Database, make_engine
from orchestrator.store.errors import StoreError
from orchestrator.store.upgrade import revision_of

_MIGRATIONS = Path(__file__).parent / "migrations"


def configuration() -> Config:
    """Alembic's configuration, which lies in code so that it travels with the package."""
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


async def migrate(url: URL, busy_timeout: float) -> None:
    """Raises StoreError for a store of a newer release."""
    database = Database(make_engine(url, busy_timeout=busy_timeout, synchronous="FULL"), anyio.Lock())
    try:
        await database.write(partial(_apply, store=database.name))
    finally:
        await database.close()


def _apply(connection: Connection, store: str) -> None:
    # Asked again under the write lock: another process may have upgraded the store in the meantime.
    revision = revision_of(connection, store)
    config = configuration()
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if revision is not None and revision not in known:
        raise StoreError(f"store {store}: a newer Keymuster made it (schema {revision}); use that release, or newer")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
