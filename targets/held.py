"""A lab's directory is one lab's while it serves: another one would write its passwords and truth over these."""

from __future__ import annotations

import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from anyio import to_thread

from targets.spec import EstateError


@asynccontextmanager
async def held(directory: Path) -> AsyncIterator[None]:
    """Make the directory (mode 0700) and hold it; the kernel lets go of it with the process, however that ends. Raises
    EstateError.
    """
    descriptor = await to_thread.run_sync(_hold, directory)
    try:
        yield
    finally:
        os.close(descriptor)


def _hold(directory: Path) -> int:
    """The descriptor by which it is held."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise EstateError(f"cannot set up the state directory {directory}: {error.strerror}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            text = f"another lab serves from {directory}: end it, or name another directory (--dir)"
            raise EstateError(text) from None
        raise EstateError(f"the file system of {directory} has no locks: {error.strerror}") from None
    return descriptor
