"""What our processes have cost, by the operating system's own count."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from orchestrator.capacity.spent import CpuSpent
from orchestrator.cli import metering
from orchestrator.cli.metering import Meter, Pids

BURN = "import subprocess, sys\nn = sum(range(3_000_000))\n"
BURNING_CHILD = f"{BURN}subprocess.run([sys.executable, '-c', {BURN!r}])\nprint('done', flush=True)\nsys.stdin.read()"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def test_a_process_and_its_ended_children_are_counted() -> None:
    command = [sys.executable, "-c", BURNING_CHILD]
    idle = [sys.executable, "-c", "import sys; print('done', flush=True); sys.stdin.read()"]
    with (
        subprocess.Popen(idle, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as bus,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as busy,
    ):
        meter = Meter(Pids(bus.pid, busy.pid), processes=2, order=1, alone=True)
        assert bus.stdout is not None
        assert busy.stdout is not None
        assert (bus.stdout.readline(), busy.stdout.readline()) == (b"done\n", b"done\n")
        spent = meter.read(alone=True)
        bus.communicate()
        busy.communicate()
    assert spent.cpu is not None
    assert spent.cpu.appliance > spent.cpu.bus >= 0
    assert spent.cpu.machine > 0
    assert (spent.processes, spent.cores) == (2, os.cpu_count())
    assert spent.ended >= spent.began


async def test_the_background_is_the_least_that_others_had(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looked at every tenth of a second; their share is first half of the machine, then an eighth, then all of it."""
    cores = os.cpu_count() or 1
    machine = [share * 0.1 * cores for share in (0.0, 0.5, 0.625, 1.625)]
    looks = iter([*(CpuSpent(0.0, 0.0, 0.0, seconds) for seconds in machine), None, CpuSpent(0.0, 0.0, 0.0, 9.0)])

    def use(_: Pids) -> CpuSpent | None:
        return next(looks)

    monkeypatch.setattr(metering, "LOOK_S", 0.1)
    monkeypatch.setattr(metering, "_use", use)
    meter = Meter(Pids(1, 2), processes=2, order=1, alone=True)
    await meter.watch()
    # A busy machine looks later than it meant to, and so takes the share for less.
    assert 0.0 < meter.read(alone=True).background <= 0.125


@pytest.mark.parametrize(("before", "after"), [(False, True), (True, False)])
def test_beside_another_run_nobody_knows_whose_it_was(before: bool, after: bool) -> None:
    meter = Meter(Pids(os.getpid(), os.getpid()), processes=2, order=1, alone=before)
    spent = meter.read(alone=after)
    assert (spent.cpu, spent.processes) == (None, 0)


@pytest.mark.parametrize("gone", [None, 2**22 + 1])
def test_processes_that_are_not_ours_or_have_gone_tell_nothing(gone: int | None) -> None:
    meter = Meter(Pids(os.getpid(), gone), processes=2, order=1, alone=True)
    assert meter.read(alone=True).cpu is None
