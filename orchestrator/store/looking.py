"""A look at a SQLite store that changes nothing: no migration, no file made."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from anyio import to_thread

from orchestrator.store.errors import StoreError, sqlite_advice
from orchestrator.store.schema import HEAD

BUSY_S = 2.0


async def is_at_head(file: Path) -> bool:
    """Is the store in this file at this release's schema? False for an older one. Raises StoreError."""
    return await to_thread.run_sync(_revision, file) == HEAD


def _revision(file: Path) -> str | None:
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=BUSY_S)) as database:
            names = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if not names:
                return None
            if "alembic_version" not in names:
                raise StoreError(f"store {file}: it is some other program's database; name another file")
            (revision,) = database.execute("SELECT version_num FROM alembic_version").fetchone() or (None,)
            return revision
    except sqlite3.Error as error:
        raise StoreError(f"store {file}: {sqlite_advice(error) or error}") from None
