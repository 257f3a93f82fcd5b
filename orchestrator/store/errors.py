"""What the store says when it cannot work: one error, whose text says what to do. Foreign errors are translated here.

An integrity or programming error is a bug of ours and passes untouched.
"""

from __future__ import annotations

import sqlite3
import ssl
from enum import Enum, auto

from sqlalchemy.exc import DBAPIError, DontWrapMixin, IntegrityError, ProgrammingError


class StoreError(Exception, DontWrapMixin):
    """The store cannot be opened, read or written. The text says what to do about it."""


class StoreBusyError(StoreError):
    """Another process holds a lock on the store; it may be free in a moment."""


_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_SQLITE: dict[int, str] = {
    sqlite3.SQLITE_FULL: "its disk is full; free some space, then do this again, or resume the run",
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
_FULL = frozenset({sqlite3.SQLITE_IOERR_SHMSIZE})
"""Those of an I/O error that mean a full disk: reading, too, needs a few kilobytes for the index of the WAL."""


_POSTGRESQL: dict[str, str] = {
    "28P01": "it does not take the password; look at whichever it comes from: KEYMUSTER_STORE, PGPASSWORD, "
    "KEYMUSTER_STORE_PASSWORD_FILE, PGPASSFILE, ~/.pgpass or the keyring",
    "28000": "it does not let us in: {said}; look at the user, at sslmode, and at the server's pg_hba.conf",
    "3D000": "there is no such database; make it (createdb), or name another",
    "42501": "its user may not do that: {said}; let it own the database, or grant it CREATE and USAGE on the schema",
    "25006": "it takes no writes now (a standby?); name the primary",
    "53100": "the server's disk is full; free some space, then resume the run",
    "53300": "the server has no connection free; raise its max_connections, or end another program's",
    "55P03": "its tables are locked by another program; end that program, or wait until it is done",
    "57014": "the server ended our statement: {said}",
}
"""By SQLSTATE; {said} are the server's own words."""
_AWAY = frozenset({"57P01", "57P02", "57P03", "53300"})
_CONFLICT = frozenset({"40001", "40P01"})


class Passing(Enum):
    """What is wrong with a server may pass by itself; the transaction was not committed, unless it was committing."""

    AWAY = auto()
    """It cannot be reached, restarts, or has no connection free."""
    CONFLICT = auto()
    """Another transaction was in the way, or a newer release has changed a table."""


def passing(error: BaseException) -> Passing | None:
    """Whether a PostgreSQL server's error, or the way to it, may be well in a moment."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    state = _state_of(error)
    if state in _CONFLICT or type(cause).__name__ == "InvalidCachedStatementError":
        return Passing.CONFLICT
    if state in _AWAY or state.startswith("08") or (isinstance(error, DBAPIError) and error.connection_invalidated):
        return Passing.AWAY
    gone = isinstance(cause, OSError) and not isinstance(cause, ssl.SSLError | FileNotFoundError | PermissionError)
    return Passing.AWAY if gone or "connection is closed" in str(cause) else None


def advice_of(error: BaseException) -> str:
    """What a server's error means, and what to do; without a statement or its parameters."""
    said = str(error.orig if isinstance(error, DBAPIError) else error).partition(": ")
    # SQLAlchemy puts the class of the driver's error before its words.
    words = (said[2] if said[0].startswith("<class") else "".join(said)) or type(error).__name__
    if isinstance(error, ssl.SSLError):
        return f"TLS fails: {words}; look at sslmode and sslrootcert"
    if known := _POSTGRESQL.get(_state_of(error)):
        return known.format(said=words)
    if isinstance(error, OSError):
        return f"it cannot be reached ({words}); is the server up, and the address right?"
    return f"the database says: {words}"


def _state_of(error: BaseException) -> str:
    """The SQLSTATE, or nothing."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    return str(getattr(cause, "sqlstate", None) or "")


def sqlite_advice(error: BaseException | None) -> str | None:
    """What a SQLite error means, and what to do; None for one that is not of the store's making."""
    code = getattr(error, "sqlite_errorcode", None)
    if not isinstance(code, int):
        return None
    return _SQLITE.get(sqlite3.SQLITE_FULL if code in _FULL else code & 0xFF)


def translate(error: DBAPIError, store: str) -> Exception:
    """The error to raise in place of a database's own. Its text never holds a statement or its parameters."""
    advice = sqlite_advice(error.orig)
    if advice is not None and not isinstance(error, IntegrityError):
        busy = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF in _BUSY
        return (StoreBusyError if busy else StoreError)(f"store {store}: {advice}")
    if _state_of(error) in _POSTGRESQL:
        return StoreError(f"store {store}: {advice_of(error)}")
    if isinstance(error, IntegrityError | ProgrammingError):
        return error
    return StoreError(f"store {store}: {advice_of(error)}")
