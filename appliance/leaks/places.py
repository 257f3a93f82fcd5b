"""Where a secret may have been left: files, databases and processes, as streams of bytes. Blocking.

Symbolic links are not followed, since what they lead to is not ours. A file that is a SQLite database is also read
value by value: SQLite cuts a long value into pages, which need not lie side by side.
"""

from __future__ import annotations

import errno
import os
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import quote

CHUNK = 1 << 22
SQLITE = b"SQLite format 3\0"
BUSY_S = 5.0
_WRITABLE = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) rw")
"""Mappings that may hold more than the file that they show."""


def files(root: Path, unreadable: Callable[[OSError], None]) -> Iterator[Path]:
    """The file itself, or every regular file below the directory, in order; what cannot be listed is told of.

    Pipes, sockets and devices hold nothing that was left behind, and reading one may never end.
    """
    if not root.is_dir():
        if root.is_file() or not root.exists():  # what is not there is for the reader to tell
            yield root
        else:
            unreadable(OSError(errno.EINVAL, "it is neither a file nor a directory", str(root)))
        return
    for directory, subdirectories, names in os.walk(root, onerror=unreadable):
        subdirectories.sort()
        for name in sorted(names):
            path = Path(directory, name)
            if path.is_file() and not path.is_symlink():
                yield path


def content(path: Path) -> Iterator[bytes]:
    """Raises OSError."""
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(CHUNK):
            yield chunk


def is_database(path: Path) -> bool:
    """Raises OSError."""
    with path.open("rb") as file:
        return file.read(len(SQLITE)) == SQLITE


class BrokenDatabaseError(Exception):
    """A file that begins like a database, and is none that can be read."""


def values(path: Path) -> Iterator[bytes]:
    """Every text and blob of a SQLite database, whole. Raises BrokenDatabaseError."""
    try:
        yield from _rows(path)
    except (sqlite3.Error, ValueError) as error:  # a table's name that is no UTF-8, or holds a NUL
        raise BrokenDatabaseError(str(error)) from None


def _rows(path: Path) -> Iterator[bytes]:
    with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=BUSY_S)) as database:
        database.text_factory = bytes
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            quoted = table.replace(b'"', b'""').decode()
            for row in database.execute(f'SELECT * FROM "{quoted}"'):  # noqa: S608 - a name that the database itself gave
                # A byte that is no part of a text keeps neighbours apart.
                yield b"".join(value + b"\0" for value in row if isinstance(value, bytes))


def arguments(pid: int) -> Iterator[bytes]:
    """What anybody may see of a process: its arguments; and its first environment. Raises OSError."""
    for name in ("cmdline", "environ"):
        yield Path(f"/proc/{pid}/{name}").read_bytes() + b"\0"


def memory(pid: int) -> Iterator[bytes]:
    """The memory of a process, mapping by mapping. Raises OSError for a process that may not be looked at.

    A mapping that goes away meanwhile, or that is a device, is passed over.
    """
    ranges = [(int(m[1], 16), int(m[2], 16)) for line in _maps(pid) if (m := _WRITABLE.match(line))]
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as space:
        for start, end in ranges:
            for position in range(start, end, CHUNK):
                with suppress(OSError, OverflowError, ValueError):
                    space.seek(position)
                    yield space.read(min(CHUNK, end - position))
            yield b"\0"


def _maps(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/maps").read_text(encoding="utf-8", errors="replace").splitlines()
