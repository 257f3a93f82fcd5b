"""How much CPU our processes use, by kind, and this machine as a whole. Read from /proc, so on Linux alone."""

from __future__ import annotations

import os
import time
from collections import Counter
from pathlib import Path

from orchestrator.cli.own_processes import APPLIANCE, BUS, COMMAND, ESTATE, SCAN_PROCESS, own_family
from orchestrator.load import bottleneck
from orchestrator.load.driving import CpuUse

_PROC = Path("/proc")
_KINDS = {
    SCAN_PROCESS: bottleneck.SCAN,
    APPLIANCE: bottleneck.SUPERVISOR,
    BUS: bottleneck.BUS_SERVER,
    ESTATE: bottleneck.ESTATE,
    COMMAND: bottleneck.COMMAND,
}


class CpuMeter:
    """Call it again and again: each answer is of the time since the call before. Blocking, some milliseconds."""

    def __init__(self) -> None:
        self._ticks = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
        self._at = time.monotonic()
        self._spent: dict[int, float] = {}
        self._machine = (0.0, 0.0)

    def __call__(self) -> CpuUse:
        now = time.monotonic()
        elapsed, self._at = max(now - self._at, 1e-3), now
        by_kind: Counter[str] = Counter()
        scans = [0.0]
        spent: dict[int, float] = {}
        for process in own_family():
            seconds = self._seconds(process.pid)
            if seconds is None:
                continue  # it has ended meanwhile
            spent[process.pid] = seconds
            cores = (seconds - self._spent.get(process.pid, seconds)) / elapsed
            by_kind[_KINDS[process.what]] += cores  # type: ignore[assignment]
            if process.what == SCAN_PROCESS:
                scans.append(cores)
        self._spent = spent
        return CpuUse(dict(by_kind), max(scans), self._share_in_use())

    def _seconds(self, pid: int) -> float | None:
        """User and system time of a process."""
        try:
            text = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return None
        fields = text.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / self._ticks

    def _share_in_use(self) -> float:
        """Of all cores together, since the call before; 0 at the first one."""
        try:
            words = (_PROC / "stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:9]
        except OSError:
            return 0.0
        ticks = [float(word) for word in words]
        total, idle = sum(ticks), ticks[3] + ticks[4]
        before_total, before_idle = self._machine
        self._machine = (total, idle)
        if not before_total or total <= before_total:
            return 0.0
        return 1 - (idle - before_idle) / (total - before_total)
