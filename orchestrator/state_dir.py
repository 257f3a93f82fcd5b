"""The state directory: one process holds it. Two servers on one store would both start, and diverge.

The lock is a `flock` on the file `lock`, which the kernel drops with the process, however it ends. `holder.json` (mode
0600) tells a second command line where the holder listens, and the seed of the bus user that may speak to it; it exists
only while the holder can be spoken to. All of this touches the disk: before the loop starts, or from a worker thread.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import secrets
import socket
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Self


class StateDirError(Exception):
    """The directory cannot be used; the text says what to do."""


@dataclass(frozen=True, slots=True)
class HolderInfo:
    """Another process holds the directory. Without `url` it is just starting or ending: ask again."""

    pid: int | None
    url: str | None
    control_seed: str | None = field(default=None, repr=False)
    store: str = ""
    """Where it keeps its runs; empty for the file in the directory."""
    orchestrator: str = ""
    """Its name among the orchestrators on a bus of the user's own; such a one is not found in this directory."""

    @property
    def who(self) -> str:
        return f"orchestrator {self.orchestrator}" if self.orchestrator else f"process {self.pid}"


class Held:
    """The directory is ours until `release`, or the end of the process."""

    def __init__(self, path: Path, descriptor: int, name: str) -> None:
        self.path = path
        self.name = name
        """What the holder is called among orchestrators: the same for each of them, and for no other directory's."""
        self._descriptor: int | None = descriptor

    def announce(self, url: str, control_seed: str, store: str = "") -> None:
        """Let other command lines submit to this process. `store`: where it is, without a password, if not in the
        directory. Raises StateDirError.
        """
        record = {"pid": os.getpid(), "url": url, "control_seed": control_seed, "store": store}
        target, new = _record(self.path), _record(self.path).with_suffix(".new")
        try:
            new.unlink(missing_ok=True)
            with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                json.dump(record, file)
            new.replace(target)
        except OSError as error:
            raise StateDirError(f"cannot write {target}: {error.strerror}") from error

    def release(self) -> None:
        """Idempotent."""
        if self._descriptor is not None:
            _record(self.path).unlink(missing_ok=True)
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


class StateDir:
    """A directory that may not exist yet."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def acquire(self) -> Held | HolderInfo:
        """Hold the directory, making it (mode 0700), or learn who does. Raises StateDirError."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.path.chmod(0o700)
            descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StateDirError(
                f"the state directory {self.path} cannot be used ({error.strerror}): "
                "make it writable for you, or name another one"
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.pread(descriptor, 20, 0).decode(errors="replace").strip()
            os.close(descriptor)
            return self._holder(int(pid) if pid.isascii() and pid.isdecimal() else None)
        except OSError as error:
            os.close(descriptor)
            raise StateDirError(f"the file system of {self.path} has no locks ({error.strerror})") from error
        try:
            _record(self.path).unlink(missing_ok=True)  # of a holder that was killed
            name = _name(self.path)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        except OSError as error:  # a full disk; or one of them is something else than a file
            os.close(descriptor)
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            raise StateDirError(
                f"the state directory {self.path} cannot be used (its lock or holder.json: {error.strerror}): "
                f"{'make room there' if full else 'look what is there'}, or name another one"
            ) from error
        return Held(self.path, descriptor, name)

    def name(self) -> str:
        """What its holder is called among orchestrators. Raises OSError."""
        return _name(self.path)

    def _holder(self, pid: int | None) -> HolderInfo:
        try:
            record = json.loads(_record(self.path).read_text())
            url, seed, store = record["url"], record["control_seed"], record.get("store", "")
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return HolderInfo(pid, None)
        if not (isinstance(url, str) and isinstance(seed, str)):
            return HolderInfo(pid, None)
        return HolderInfo(pid, url, seed, str(store))


def holder_of(path: Path) -> int | None:
    """Who holds the state directory; it is not held here, since a run may begin meanwhile. Raises StateDirError."""
    held = StateDir(path).acquire()
    if isinstance(held, HolderInfo):
        return held.pid
    held.release()
    return None


def _name(path: Path) -> str:
    """The machine's name, and what tells the directory from its copies elsewhere. Raises OSError."""
    file = path / "orchestrator"
    try:
        drawn = file.read_text()
    except FileNotFoundError:
        drawn = secrets.token_hex(16)
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as new:
            new.write(drawn)
    host = socket.gethostname()
    told = sha256(f"{drawn}\n{path.resolve()}\n{host}".encode()).hexdigest()[:12]
    return f"{re.sub(r'[^A-Za-z0-9_-]', '-', host)[:40]}-{told}"


def _record(path: Path) -> Path:
    return path / "holder.json"
