"""Processes of a run under test: who descends from whom, and whether anybody is left.

While `adopting`, this process is the reaper of its descendants (PR_SET_CHILD_SUBREAPER): what loses its parent becomes
our child instead of init's. So an orphan of a run is found by its place in the tree, whatever it calls itself, and
nothing that was not started here can be taken for one.
"""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
LOOK_S = 0.02
CEILING_S = 60.0
"""How long anything may take on a loaded machine before a test says that it will not come."""


def until(condition: Callable[[], bool], what: str, *, within: float = CEILING_S) -> None:
    """Ask until it is so: the other side is another process, and has no event to wait for here. Asking costs whoever
    answers too: it takes at most half of the time.
    """
    asked = time.monotonic()
    end = asked + within
    while not condition():
        now = time.monotonic()
        assert now < end, f"{what}: not within {within:g} s"
        time.sleep(max(LOOK_S, now - asked))
        asked = time.monotonic()


@contextmanager
def adopting() -> Iterator[None]:
    """Orphans come to us; on leaving, whoever came is ended (a test has failed then) and reaped."""
    libc = ctypes.CDLL(None, use_errno=True)
    before = set(children(os.getpid()))
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        yield
    finally:
        while left := [pid for pid in children(os.getpid()) if pid not in before]:
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                with suppress(ChildProcessError):
                    os.waitpid(pid, 0)
        libc.prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def children(pid: int) -> list[int]:
    found: list[int] = []
    with suppress(FileNotFoundError, ProcessLookupError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with suppress(FileNotFoundError, ProcessLookupError):
                found += map(int, (task / "children").read_text(encoding="ascii").split())
    return found


def descendants(pid: int) -> list[int]:
    """Children before their own children."""
    found: list[int] = []
    for child in children(pid):
        found += [child, *descendants(child)]
    return found


def command(pid: int) -> str:
    """Empty for a process that is gone, or that nobody has waited for yet."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def scan_processes(orchestrator: int) -> list[int]:
    return [pid for pid in descendants(orchestrator) if command(pid).split()[1:3] == ["-m", "appliance.worker"]]


def supervisor(orchestrator: int) -> list[int]:
    return [pid for pid in children(orchestrator) if command(pid).endswith("-m appliance --embedded")]


def nats_server(orchestrator: int) -> list[int]:
    return [pid for pid in children(orchestrator) if command(pid).endswith("server.conf") and "-m" not in command(pid)]


def kill(pid: int, number: signal.Signals = signal.SIGKILL) -> None:
    os.kill(pid, number)


def strangers(known: set[int]) -> list[str]:
    """Living processes that have become ours, or descend from such; the dead among them are reaped."""
    left = []
    for pid in children(os.getpid()):
        if pid in known:
            continue
        with suppress(ChildProcessError):
            if os.waitpid(pid, os.WNOHANG)[0] == pid:
                continue
        left += [f"{p}: {command(p)}" for p in (pid, *descendants(pid))]
    return left
