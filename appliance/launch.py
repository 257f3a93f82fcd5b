"""Start a program that cannot outlive its parent: `python launch.py [--term] PARENT_PID -- ARGV...`.

On Linux the kernel is asked to kill this process when its parent dies (SIGKILL, or SIGTERM with `--term`); a parent
that had died before that is noticed by its changed pid. Core dumps are switched off, since they would hold credentials.
Then the program takes this process over, with the file descriptors it was given.

Spawn it from the main thread only: the kernel's promise is tied to the *thread* that forked, and the child of a worker
thread dies with that thread. It imports nothing of ours, and is run as a file, by an interpreter that looks for no
installed packages (-I, -S): so it costs a bare interpreter's start and no more, a third less than a module's.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Sequence

_PR_SET_PDEATHSIG = 1


def launch_argv(argv: Sequence[str], *, term: bool = False) -> list[str]:
    """What to execute so that `argv` runs as a child that dies with us. Raises RuntimeError off the main thread."""
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("a child that must die with its parent is spawned from the main thread")
    flags = ["--term"] if term else []
    return [sys.executable, "-I", "-S", __file__, *flags, str(os.getpid()), "--", *argv]


def main(arguments: Sequence[str]) -> None:
    """Never returns: the program takes over, or the process exits (1: parent gone; 2: usage; 127: no program)."""
    rest = list(arguments)
    death = signal.SIGKILL
    if rest[:1] == ["--term"]:
        death = signal.SIGTERM
        rest.pop(0)
    if len(rest) < 3 or not rest[0].isdigit() or rest[1] != "--":
        sys.exit(2)
    parent, argv = int(rest[0]), rest[2:]
    _bind_life(parent, death)
    try:
        os.execvp(argv[0], argv)  # noqa: S606 - replacing this process without a shell is the purpose
    except OSError as error:
        sys.stderr.write(f"cannot start {argv[0]}: {error.strerror}\n")
        sys.exit(127)


def _bind_life(parent: int, death: signal.Signals) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(death), 0, 0, 0)
    if sys.platform != "win32":
        import resource  # noqa: PLC0415 - does not exist on Windows

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if os.getppid() != parent:
        sys.exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
