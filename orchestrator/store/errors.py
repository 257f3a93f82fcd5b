"""What the store says when it cannot work: one error, whose text says what to do. Foreign errors are translated here.

An integrity or programming error is a bug of ours and passes untouched.
"""

from __future__ import annotations

import sqlite3

from sqlalchemy.exc import DBAPIError, DontWrapMixin, IntegrityError, ProgrammingError


class StoreError(Exception, DontWrapMixin):
    """The store cannot be opened, read or written. The text says what to do about it."""


class StoreBusyError(StoreError):
    """Another process holds a lock on the store; it may be free in a moment."""


_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_SQLITE: dict[int, str] = {
    sqlite3.SQLITE_FULL: "its disk is full; free some space, then resume the run",
    sqlite3.SQLITE_READONLY: "it is not writable; check the owner and mode of the file and its directory",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened; check that its directory exists and is writable",
    sqlite3.SQLITE_PERM: "it is not accessible; check the owner and mode of the file and its directory",
    sqlite3.SQLITE_NOTADB: "it is no Keymuster store; move the file away, or name another",
    sqlite3.SQLITE_CORRUPT: "it is damaged; restore it from a backup, or move it away and run again",
    sqlite3.SQLITE_BUSY: "it is locked by another process; end that process, or wait until it is done",
    sqlite3.SQLITE_LOCKED: "it is locked by another process; end that process, or wait until it is done",
    sqlite3.SQLITE_IOERR: "its disk failed; look at the system's log",
}
"""By primary result code: the low byte of SQLite's extended codes."""


def translate(error: DBAPIError, store: str) -> Exception:
    """The error to raise in place of a database's own. Its text never holds a statement or its parameters."""
    if isinstance(error, IntegrityError | ProgrammingError):
        return error
    code = getattr(error.orig, "sqlite_errorcode", None)
    advice = _SQLITE.get(code & 0xFF) if isinstance(code, int) else None
    kind = StoreBusyError if isinstance(code, int) and code & 0xFF in _BUSY else StoreError
    return kind(f"store {store}: {advice or f'the database says: {error.orig}'}")
