"""Ctrl-C: once saves what there is, twice aborts; a second command's Ctrl-C is its own run's business."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.chaos.estates import AMPLE, HOSTS, PACED, Estate, estate
from tests.acceptance.chaos.processes import until
from tests.acceptance.chaos.runs import Command

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

INTERRUPTED = 130
AT_ONCE = 8
ENOUGH = 40
"""Logons after which a run of 500 is well under way."""

Start = Callable[..., Command]
Check = Callable[..., None]
RECORD = 'secret = "unix-{address}"\naccounts = "local"'


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Estate]:
    with estate(tmp_path, f'account = "local"\nsecret = "per-host"\nfault = "none"\n{PACED}') as running:
        yield running


def under_way(start: Start, hosts: Estate) -> Command:
    """A run that is throttled to a few at a time, so that there is a middle to interrupt it in."""
    command = start("run", str(hosts.campaign(record=RECORD, pace=f"capacity = {AT_ONCE}", deadline=AMPLE)))
    until(lambda: hosts.logons() >= ENOUGH or command.process.poll() is not None, "the middle of the run")
    assert command.process.poll() is None, command.said
    return command


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
def test_once_saves_and_resume_goes_on(
    start: Start, hosts: Estate, nobody_is_left: Check, number: signal.Signals
) -> None:
    command = under_way(start, hosts)
    command.interrupt(number)
    assert command.wait() == INTERRUPTED, command.said
    nobody_is_left(hosts.pid)
    assert 0 < command.report().document["totals"]["open"] < HOSTS, "what is open is said to be open"

    resumed = start("run", "--resume", command.run)
    assert resumed.wait() == 0, resumed.said
    resumed.report().is_exact()
    assert resumed.report().reasons == {"PASSED": HOSTS}
    assert resumed.report().document["prediction"] is None  # its time tells nothing
    assert hosts.most_logons_on_a_host() == 1, "what was in flight was finished, not thrown away"
    nobody_is_left(hosts.pid)


def test_twice_aborts(start: Start, hosts: Estate, nobody_is_left: Check) -> None:
    command = under_way(start, hosts)
    asked = hosts.vault_requests()
    hosts.vault_faults("slow")  # what is in flight is so for two seconds more
    until(lambda: hosts.vault_requests() > asked + AT_ONCE, "logins that wait for the vault")
    command.interrupt()
    until(lambda: "stopping" in command.said, "the first interrupt to be heard")
    command.interrupt()
    assert command.wait() == INTERRUPTED, command.said
    nobody_is_left(hosts.pid)
    hosts.vault_faults()

    resumed = start("run", "--resume", command.run)
    assert resumed.wait() == 0, resumed.said
    resumed.report().is_exact()
    assert hosts.most_logons_on_a_host() <= 2
    nobody_is_left(hosts.pid)


def test_a_second_command_stops_its_own_run_only(start: Start, hosts: Estate, nobody_is_left: Check) -> None:
    first = under_way(start, hosts)
    second = start("run", str(hosts.directory / "campaign.toml"))
    assert second.run != first.run
    second.interrupt()
    assert second.wait() == INTERRUPTED, second.said
    assert first.wait() == 0, first.said
    first.report().is_exact()
    nobody_is_left(hosts.pid)
