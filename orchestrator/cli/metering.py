"""What a run costs the processors of this machine, as Linux counts it in /proc; elsewhere nothing is told."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from pathlib import Path

import anyio

from orchestrator.capacity.spent import CpuSpent, Spent

LOOK_S = 0.5
"""Scan processes take about as long to start: one look, at least, is of a run that has hardly begun."""
_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Pids:
    """Our children; None for one that we have not started."""

    bus: int | None
    appliance: int | None


@dataclass(slots=True)
class Meter:
    """Begins to count when it is made."""

    pids: Pids
    processes: int
    order: int
    """The run's place among those of its engine."""
    alone: bool
    """No other run is under way."""
    _began: float = field(default_factory=time.time)
    _first: CpuSpent | None = field(init=False)
    _background: float | None = None

    def __post_init__(self) -> None:
        self._first = _use(self.pids)

    async def watch(self) -> None:
        """Look for the background, until cancelled."""
        cores = os.cpu_count() or 1
        before, at = self._first, time.monotonic()
        while before is not None:
            await anyio.sleep(LOOK_S)
            now, seen = time.monotonic(), _use(self.pids)
            if seen is None:
                return
            share = (seen - before).others / (cores * (now - at))
            self._background = share if self._background is None else min(share, self._background)
            before, at = seen, now

    def read(self, *, alone: bool) -> Spent:
        """What has been spent since. `alone`: no other run has begun meanwhile."""
        ended, last = time.time(), _use(self.pids)
        if self._first is None or last is None or not (alone and self.alone):
            return Spent(self._began, ended)
        spent = last - self._first
        if spent.bus < 0 or spent.appliance < 0:  # one of them was started again
            return Spent(self._began, ended)
        return Spent(self._began, ended, self.processes, os.cpu_count() or 1, spent, self._background or 0.0)


def _use(pids: Pids) -> CpuSpent | None:
    if pids.bus is None or pids.appliance is None:
        return None
    try:
        return CpuSpent(sum(os.times()[:2]), _of(pids.bus), _of(pids.appliance), _of_the_machine())
    except (OSError, ValueError, IndexError):
        return None


def _of(pid: int) -> float:
    """CPU seconds of a process and its children, the ended ones too. Raises OSError when it has gone."""
    fields = (_PROC / str(pid) / "stat").read_text().rsplit(")", 1)[1].split()
    spent = sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    for child in (_PROC / str(pid) / "task" / str(pid) / "children").read_text().split():
        try:
            spent += _of(int(child))
        except OSError:  # it has just ended, and is counted among its parent's when we look next
            continue
    return spent


def _of_the_machine() -> float:
    """CPU seconds that were neither idle nor spent waiting for a disk."""
    user, nice, system, _, _, *interrupts = map(int, (_PROC / "stat").read_text().split("\n", 1)[0].split()[1:9])
    return (user + nice + system + sum(interrupts)) / os.sysconf("SC_CLK_TCK")
