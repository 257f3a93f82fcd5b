"""`serve` dies, or is told to end, in the middle of a run: the next one goes on with it, and it ends exact."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.chaos.estates import HOSTS, LOST, PACED, Estate, estate
from tests.acceptance.chaos.processes import until
from tests.acceptance.chaos.runs import Command, Report
from tests.acceptance.product import Product
from tests.acceptance.served import Served, serving

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

ENOUGH = 40
"""Logons after which a run of 500 is well under way."""
RECORD = 'secret = "unix-{address}"\naccounts = "local"'

Start = Callable[..., Command]
Check = Callable[..., None]


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Estate]:
    with estate(tmp_path, f'account = "local"\nsecret = "per-host"\nfault = "none"\n{PACED}') as running:
        yield running


def submitted(start: Start, hosts: Estate) -> Command:
    """A run in the hands of the service that is up, in its middle."""
    command = start("run", str(hosts.campaign(record=RECORD, deadline=LOST)))
    until(lambda: hosts.logons() >= ENOUGH or command.process.poll() is not None, "the middle of the run")
    assert command.process.poll() is None, command.said
    return command


def goes_on(service: Served, state: Path, run: str) -> None:
    """To its end, by itself."""
    product = Product(state)
    assert service.hears("goes on")["run"] == run
    until(lambda: product.planned_runs()[0]["state"] == "finished", "the end of the run")
    report = Report(product("report", run, "--format", "json").document)
    report.is_exact()
    assert report.reasons == {"PASSED": HOSTS}


def test_killed(start: Start, hosts: Estate, tmp_path: Path, nobody_is_left: Check) -> None:
    state = tmp_path / "state"
    with serving(state, "--capacity", "8") as first:
        first.hears("serving")
        command = submitted(start, hosts)
        run = command.run
        os.kill(first.process.pid, signal.SIGKILL)
        assert command.wait() == 4, command.said
        assert f"keymuster run --resume {run}" in command.said
    nobody_is_left(hosts.pid)
    with serving(state, "--capacity", "64") as second:
        goes_on(second, state, run)
        assert second.end() == 0
    assert hosts.most_logons_on_a_host() <= 2
    nobody_is_left(hosts.pid)


def test_told_to_end(start: Start, hosts: Estate, tmp_path: Path, nobody_is_left: Check) -> None:
    state = tmp_path / "state"
    with serving(state, "--capacity", "8") as first:
        first.hears("serving")
        command = submitted(start, hosts)
        run = command.run
        assert first.end() == 0
        assert command.wait() == 4, command.said
    nobody_is_left(hosts.pid)
    with serving(state, "--capacity", "64") as second:
        goes_on(second, state, run)
        assert second.end() == 0
    assert hosts.most_logons_on_a_host() == 1, "what was in flight was finished, not thrown away"
    nobody_is_left(hosts.pid)


def test_what_somebody_has_stopped_stays_so(start: Start, hosts: Estate, tmp_path: Path) -> None:
    state = tmp_path / "state"
    with serving(state, "--capacity", "8") as first:
        first.hears("serving")
        command = submitted(start, hosts)
        command.interrupt()
        assert command.wait() == 130, command.said
        assert first.end() == 0
    with serving(state) as second:
        second.hears("serving")
        assert second.end() == 0
        assert not second.said("goes on")
    assert Product(state).planned_runs()[0]["state"] == "paused"


def test_a_copy_of_the_store_is_restored(start: Start, hosts: Estate, tmp_path: Path, nobody_is_left: Check) -> None:
    """As docs/runbook.md says it, but for the wait: these accounts are their hosts' own, and nothing fails."""
    state = tmp_path / "state"
    with serving(state, "--capacity", "8") as first:
        first.hears("serving")
        command = submitted(start, hosts)
        run, copied = command.run, hosts.logons()
        assert Product(state)("backup", tmp_path / "copies").code == 0
        until(lambda: hosts.logons() >= copied + ENOUGH, "what the copy does not know")
        os.kill(first.process.pid, signal.SIGKILL)
        assert command.wait() == 4, command.said
    nobody_is_left(hosts.pid)
    for file in state.glob("keymuster.db*"):
        file.unlink()
    shutil.rmtree(state / "nats")
    [copy] = (tmp_path / "copies").iterdir()
    shutil.copy(copy, state / "keymuster.db")
    with serving(state, "--capacity", "64") as second:
        goes_on(second, state, run)
        assert second.end() == 0
    assert hosts.most_logons_on_a_host() <= 2
    nobody_is_left(hosts.pid)
