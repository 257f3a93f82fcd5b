"""CPU of our own processes, by kind: measured of this one and of children that are made for it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from orchestrator.cli.cpu_use import CpuMeter
from orchestrator.cli.own_processes import ESTATE, SCAN_PROCESS, own_family
from orchestrator.load import bottleneck

SPIN = "import sys\nprint('up', flush=True)\nwhile True: pass"


@contextmanager
def spinning(*arguments: str) -> Iterator[int]:
    """A process that is busy, with these arguments behind its own."""
    with subprocess.Popen([sys.executable, "-c", SPIN, *arguments], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            yield process.pid
        finally:
            process.kill()


def _until_it_has_used(seconds: float) -> None:
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass


def test_our_own_cpu_counts_as_the_commands() -> None:
    meter = CpuMeter()
    assert not any(meter().by_kind.values()), "the first look has nothing before it"
    _until_it_has_used(0.1)
    use = meter()
    assert use.by_kind[bottleneck.COMMAND] > 0
    assert 0 < use.machine <= 1
    assert use.busiest_scan == 0


def test_scan_processes_and_the_estate_are_told_apart_by_their_modules() -> None:
    with spinning("-m", "appliance.worker") as scan, spinning("-m", "targets") as estate:
        known = {process.pid: process.what for process in own_family()}
        assert (known[scan], known[estate]) == (SCAN_PROCESS, ESTATE)
        meter = CpuMeter()
        meter()
        while not ((use := meter()).busiest_scan and use.by_kind.get(bottleneck.ESTATE)):
            time.sleep(0.05)
        assert use.by_kind[bottleneck.SCAN] == use.busiest_scan
    assert scan not in {process.pid for process in own_family()}
