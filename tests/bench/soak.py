"""`python -m tests.bench.soak [--cpu 1800] [--rate 100/s] [--hosts 2000]`: does anything grow?

A simulated estate under a steady rate of logins (`keymuster load`) until our processes have used so many seconds of
CPU. Every few seconds each process is looked at: memory of its own (anonymous pages), open files, threads. A process
that lives as long as the load is held to its first quarter; scan processes, which are replaced, to the scan processes
of the first quarter. A leaked asyncio task is some 5 KiB, and so one per login would show as 5 MiB in 1,000 logins.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.cli.estate_files import read_truth
from orchestrator.cli.lab import campaign_text
from orchestrator.cli.own_processes import ESTATE, SCAN_PROCESS, own_family
from tests.acceptance.lab import running_lab
from tests.acceptance.product import KEYMUSTER
from tests.bench.processes import cpu_of, smaps_of

LAB = """
seed = 23
[[hosts]]
count = {hosts}
network = "127.44.0.0/16"
faults = {{ none = 18, wrong_password = 1, silent = 1 }}
[[hosts]]
count = {hosts}
technology = "windows"
network = "127.45.0.0/16"
faults = {{ none = 19, reset = 1 }}
"""
LOOK_S = 5.0
LONGEST_S = 7200
GROWTH, ROOM_KIB = 0.05, 2048
"""What a process may have more in the last quarter than in the first: a share, and something for the allocator."""


@dataclass(frozen=True, slots=True)
class Look:
    at: float
    kib: int
    files: int
    threads: int
    cpu_s: float


@dataclass(slots=True)
class Watched:
    """All looks at one process."""

    what: str
    looks: list[Look] = field(default_factory=list)


def look(pid: int, at: float) -> Look | None:
    try:
        files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
        threads = len(list(Path(f"/proc/{pid}/task").iterdir()))
    except OSError:
        return None  # it has ended meanwhile
    return Look(at, smaps_of(pid, "Anonymous"), files, threads, cpu_of(pid))


def soak(campaign: Path, home: Path, rate: str, cpu_s: float) -> tuple[dict[int, Watched], dict[str, object]]:
    line = [str(KEYMUSTER), "load", str(campaign), "--rate", rate, "--duration", f"{LONGEST_S}s", "--no-progress"]
    line += ["--state", str(home / "state"), "--json"]
    seen: dict[int, Watched] = {}
    with tempfile.TemporaryFile("w+") as out, subprocess.Popen(line, stdout=out) as process:
        began, told = time.monotonic(), False
        while process.poll() is None:
            now = time.monotonic() - began
            for one in own_family():
                if one.what != ESTATE and one.pid != os.getpid() and (found := look(one.pid, now)):
                    seen.setdefault(one.pid, Watched(one.what)).looks.append(found)
            if not told and sum(one.looks[-1].cpu_s for one in seen.values()) >= cpu_s:
                process.send_signal(signal.SIGINT)
                told = True
            time.sleep(LOOK_S)
        out.seek(0)
        return seen, dict(json.load(out))


def rows(seen: dict[int, Watched], until: float) -> list[tuple[str, bool]]:
    """A line for each kind of process, and whether it has not grown."""
    kinds: dict[str, list[Watched]] = defaultdict(list)
    for one in seen.values():
        kinds[one.what].append(one)
    return [_row(what, processes, until) for what, processes in sorted(kinds.items())]


def _row(what: str, processes: Sequence[Watched], until: float) -> tuple[str, bool]:
    looks = [one for process in processes for one in process.looks]
    quarters = [one for one in looks if one.at <= until / 4], [one for one in looks if one.at >= until * 3 / 4]
    early, late = quarters if all(quarters) else (looks, looks)

    def typical(some: Sequence[Look], name: str) -> float:
        # Of a scan process the most that any had: the younger ones have less.
        of = max if what == SCAN_PROCESS else statistics.median
        return float(of(getattr(one, name) for one in some))

    before, after = ({name: typical(some, name) for name in ("kib", "files", "threads")} for some in (early, late))
    kept = (
        after["kib"] <= before["kib"] * (1 + GROWTH) + ROOM_KIB
        and after["files"] <= before["files"] * 1.1 + 4
        and after["threads"] <= before["threads"] + 2
    )
    text = (
        f"{what} ({len(processes)}): {before['kib'] / 1024:.1f} -> {after['kib'] / 1024:.1f} MiB, "
        f"{before['files']:.0f} -> {after['files']:.0f} open files, {before['threads']:.0f} -> {after['threads']:.0f} "
        f"threads: {'no growth' if kept else 'GROWS'}"
    )
    return text, kept


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cpu", type=float, default=1800.0, help="seconds, of all our processes")
    parser.add_argument("--rate", default="100/s")
    parser.add_argument("--hosts", type=int, default=2000, help="of each technology")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="keymuster-soak-") as place:
        home = Path(place)
        with running_lab(home, LAB.format(hosts=given.hosts)) as lab:
            campaign = home / "campaign.toml"
            text = campaign_text(lab.ready, read_truth(Path(lab.ready["truth"])), name="soak")
            campaign.write_text(text, encoding="utf-8")
            seen, document = soak(campaign, home, given.rate, given.cpu)
    until = max(one.looks[-1].at for one in seen.values())
    cpu = sum(one.looks[-1].cpu_s for one in seen.values())
    print(f"{until:.0f} s, {cpu:.0f} s of CPU; {json.dumps(document.get('arrivals', document.get('totals')))}")
    told = rows(seen, until)
    for text, _ in told:
        print(text)
    return 0 if all(kept for _, kept in told) else 1


if __name__ == "__main__":
    sys.exit(main())
