"""A copy of a SQLite store by SQLite's own online backup: one moment of it, whoever writes meanwhile."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from anyio import to_thread

from orchestrator.store.errors import StoreError, sqlite_advice

PAGES = 1024
"""Copied at a time; between two portions writers have their turn."""


async def copy_store(source: Path, target: Path) -> int:
    """The copy's size in bytes, once it is on the disk and has been checked. It is its owner's alone.

    Raises StoreError: no store, a full disk, a directory that cannot be written. What was not finished is taken away.
    """
    return await to_thread.run_sync(_copy, source, target)


def _copy(source: Path, target: Path) -> int:
    if not source.exists():
        raise StoreError(f"there is no store at {source}")
    part = target.with_suffix(".part")
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        with (
            closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as store,
            closing(sqlite3.connect(part)) as copy,
        ):
            store.backup(copy, pages=PAGES)
            copy.execute("PRAGMA journal_mode=DELETE")
            (said,) = copy.execute("PRAGMA quick_check(1)").fetchone()
        if said != "ok":
            raise StoreError(f"the copy of {source} is not whole: {said}")  # noqa: TRY301 - what there is of it is removed below
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(target)
    except (OSError, sqlite3.Error) as error:
        _drop(part)
        said = sqlite_advice(error) or (error.strerror if isinstance(error, OSError) else error)
        raise StoreError(f"cannot copy {source} to {target}: {said}") from None
    except StoreError:
        _drop(part)
        raise
    return target.stat().st_size


def _drop(part: Path) -> None:
    with suppress(OSError):
        part.unlink()
