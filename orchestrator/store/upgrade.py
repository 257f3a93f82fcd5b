"""Is a store at this release's schema? What an older release made is migrated; what is newer is used where it says that
it may be; what is not ours is refused.

Migrations expand first and contract later. A release adds what it needs (a table, an index, a column that may be empty
or has a default), which an older release that is still running does not notice; a later one takes away what nobody
reads any more. The store says itself from which migration on a release may use it: `compatible_from`, in a table of its
own, which each migration states anew.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

import anyio.to_thread
from sqlalchemy import Connection, inspect, select, text

from orchestrator.store.database import Database, StoreEngine
from orchestrator.store.errors import StoreError
from orchestrator.store.schema import HEAD, compatibility

_VERSIONS = "alembic_version"
_Migrate = Callable[[Callable[[], StoreEngine]], Awaitable[None]]


async def upgrade(database: Database, new_engine: Callable[[], StoreEngine]) -> None:
    """Raises StoreError for a store of a newer release that we may not use, and for a database that is no store."""
    revision = await database.read(partial(revision_of, store=database.name))
    if revision is not None and revision > HEAD:
        await database.read(partial(admitted, store=database.name))
    elif revision != HEAD:
        migrate = await anyio.to_thread.run_sync(_load)
        await migrate(new_engine)


def _load() -> _Migrate:
    """Alembic takes a third of a second to load, which nearly every command can do without, and no event loop can."""
    from orchestrator.store.migrating import migrate  # noqa: PLC0415

    return migrate


def revision_of(connection: Connection, store: str) -> str | None:
    """The migration that the database is at; None for an empty one. They are numbered, and compare as texts."""
    tables = inspect(connection).get_table_names()
    if not tables:
        return None
    if _VERSIONS not in tables:
        raise StoreError(f"store {store}: it is some other program's database; name another one")
    return connection.execute(text(f"SELECT version_num FROM {_VERSIONS}")).scalar_one_or_none()  # noqa: S608 - a constant


def admitted(connection: Connection, store: str) -> None:
    """May this release use a store that a newer one has migrated? Raises StoreError."""
    revision = revision_of(connection, store)
    since: str | None = connection.execute(select(compatibility.c.compatible_from)).scalar_one_or_none()
    if since is None or since > HEAD:
        raise StoreError(f"store {store}: a newer Keymuster made it (schema {revision}); use that release, or newer")
