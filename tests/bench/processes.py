"""What processes of this machine use, from /proc (Linux). One that is gone uses nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE_KIB = os.sysconf("SC_PAGE_SIZE") // 1024


def below(pid: int) -> list[int]:
    """Its children."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def family(pid: int) -> Iterator[int]:
    """A process and its descendants."""
    yield pid
    for child in below(pid):
        yield from family(child)


def cpu_of(pid: int, *, children: bool = False) -> float:
    """CPU seconds of a process; `children`: and of its children, the living and those that have ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return 0.0
    spent = sum(map(int, fields[11:15] if children else fields[11:13])) / _TICKS
    return spent + (sum(cpu_of(child, children=True) for child in below(pid)) if children else 0.0)


def rss_of(pid: int) -> int:
    """Resident memory, in KiB."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_KIB
    except OSError:
        return 0


def smaps_of(pid: int, what: str) -> int:
    """A row of `smaps_rollup`, in KiB: `Pss` counts each shared page once among all, `Anonymous` is its own memory."""
    try:
        rows = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(row.split()[1]) for row in rows if row.startswith(f"{what}:")), 0)
