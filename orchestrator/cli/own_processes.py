"""Which processes of this machine are ours: this command, the holder of a state directory and its children, appliances.

Read from /proc, so on Linux alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
SCAN_PROCESS = "scan process"
APPLIANCE, BUS, COMMAND, ESTATE = "appliance", "bus", "command", "simulated estate"


@dataclass(frozen=True, slots=True)
class OwnProcess:
    pid: int
    what: str


def own_processes(holder: int | None) -> list[OwnProcess]:
    """Ours, by process id. Blocking; empty where there is no /proc."""
    argv = dict(_arguments())
    family = {os.getpid()} if holder is None else {os.getpid(), holder, *_below(holder, _parents(argv))}
    found = {pid: what for pid, words in argv.items() if (what := _what(words, ours=pid in family))}
    return [OwnProcess(pid, what) for pid, what in sorted(found.items())]


def own_family() -> list[OwnProcess]:
    """This process and those below it alone: not the appliances of others. Blocking; empty where there is no /proc."""
    argv = dict(_arguments())
    family = {os.getpid(), *_below(os.getpid(), _parents(argv))}
    return [OwnProcess(pid, _what(argv[pid], ours=True)) for pid in sorted(family) if pid in argv]


def _what(words: list[str], *, ours: bool) -> str:
    """What a process is, by its arguments; empty for a stranger. An appliance is ours whoever has started it."""
    module = next((words[n + 1] for n, word in enumerate(words[:-1]) if word == "-m"), "")
    if module == "appliance.worker":
        return SCAN_PROCESS
    if module == "appliance":
        return APPLIANCE
    if not ours:
        return ""
    if module == "targets":
        return ESTATE
    program = Path(words[0]).name if words else ""
    return BUS if program.startswith("nats-server") else COMMAND


def _arguments() -> Iterator[tuple[int, list[str]]]:
    for directory in _PROC.glob("[0-9]*"):
        try:
            text = (directory / "cmdline").read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue  # it has ended meanwhile
        yield int(directory.name), text.split("\0")[:-1]


def _parents(pids: Mapping[int, object]) -> dict[int, int]:
    found = {}
    for pid in pids:
        try:
            status = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        # The name stands in brackets, and may hold anything.
        found[pid] = int(status.rpartition(")")[2].split()[1])
    return found


def _below(root: int, parents: Mapping[int, int]) -> set[int]:
    """Children, their children, and so on."""
    found: set[int] = set()
    new = {root}
    while new := {pid for pid, parent in parents.items() if parent in new} - found:
        found |= new
    return found
