"""Is a store at this release's schema? What an older release made is migrated; what is newer or not ours is refused."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

import anyio.to_thread
from sqlalchemy import URL, Connection, inspect, text

from orchestrator.store.database import Database
from orchestrator.store.errors import StoreError
from orchestrator.store.schema import HEAD

_VERSIONS = "alembic_version"


async def upgrade(database: Database, url: URL, busy_timeout: float) -> None:
    """Raises StoreError for a store of a newer release, and for a database that is no store."""
    revision = await database.read(partial(revision_of, store=database.name))
    if revision != HEAD:
        migrate = await anyio.to_thread.run_sync(_load)
        await migrate(url, busy_timeout)


def _load() -> Callable[[URL, float], Awaitable[None]]:
    """Alembic takes a third of a second to load, which nearly every command can do without, and no event loop can."""
    from orchestrator.store.migrating import migrate  # noqa: PLC0415

    return migrate


def revision_of(connection: Connection, store: str) -> str | None:
    """The migration that the database is at; None for an empty one."""
    tables = inspect(connection).get_table_names()
    if not tables:
        return None
    if _VERSIONS not in tables:
        raise StoreError(f"store {store}: it is some other program's database; name another file")
    return connection.execute(text(f"SELECT version_num FROM {_VERSIONS}")).scalar_one_or_none()  # noqa: S608 - a constant
