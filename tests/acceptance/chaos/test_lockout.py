"""Nobody is locked out: 500 hosts ask one directory about one account, and the vault's secret for it is wrong."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.chaos.estates import AMPLE, HOSTS, LOST, Estate, estate
from tests.acceptance.chaos.processes import until
from tests.acceptance.chaos.runs import Command, Report

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

SECRET = "corp-scan"
BUDGET = 2
"""Failed logons that a record allows by default, per account and half an hour."""
RECORD = f'secret = "{SECRET}"\naccounts = "corp"'

Start = Callable[..., Command]
Check = Callable[..., None]


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Estate]:
    group = f'account = "corp"\nsecret = "shared"\nsecret_name = "{SECRET}"\nfault = "wrong_password"'
    with estate(tmp_path, group) as running:
        yield running


def failed(hosts: Estate) -> int:
    """Failed logons that the directory has counted, whatever host they were tried on."""
    return sum(account["failed"] for account in hosts.metrics()["accounts"].values())


def tried(report: Report) -> int:
    """Targets at which a password was refused; every other one has been spared."""
    report.is_exact()
    reasons = report.reasons
    assert set(reasons) <= {"BAD_CREDENTIALS", "SKIPPED_BREAKER"}
    return reasons["BAD_CREDENTIALS"]


def test_one_run_and_those_after_it(start: Start, hosts: Estate, nobody_is_left: Check) -> None:
    file = str(hosts.campaign(record=RECORD, deadline=AMPLE))
    first = start("run", file)
    assert first.wait() == 0, first.said
    assert tried(first.report()) == failed(hosts) == 1
    again = start("run", file)
    assert again.wait() == 0, again.said
    assert tried(again.report()) == 1, "one canary, since the cause may have been settled"
    assert failed(hosts) == BUDGET
    third = start("run", file)
    assert third.wait() == 0, third.said
    assert tried(third.report()) == 0
    assert failed(hosts) == BUDGET
    nobody_is_left(hosts.pid)


def test_two_commands_at_once(start: Start, hosts: Estate, nobody_is_left: Check) -> None:
    file = str(hosts.campaign(record=RECORD, deadline=AMPLE))
    commands = [start("run", file), start("run", file)]
    for command in commands:
        assert command.wait() == 0, command.said
    assert sum("submitted to process" in command.said for command in commands) == 1
    assert sum(tried(command.report()) for command in commands) == failed(hosts)
    assert 1 <= failed(hosts) <= BUDGET
    nobody_is_left(hosts.pid)


def test_the_orchestrator_dies_while_the_canary_is_out(start: Start, hosts: Estate, nobody_is_left: Check) -> None:
    command = start("run", str(hosts.campaign(record=RECORD, deadline=LOST)))
    run = command.run
    until(lambda: hosts.logons() > 0 or command.process.poll() is not None, "the first logon")
    command.process.kill()
    assert command.wait() == -signal.SIGKILL, command.said
    nobody_is_left(hosts.pid)
    resumed = start("run", "--resume", run)
    assert resumed.wait() == 0, resumed.said
    assert tried(resumed.report()) <= failed(hosts) <= BUDGET
    nobody_is_left(hosts.pid)


def test_the_secret_is_put_right_and_the_skipped_are_run_again(
    start: Start, hosts: Estate, nobody_is_left: Check
) -> None:
    stopped = start("run", str(hosts.campaign(record=RECORD, deadline=AMPLE)))
    assert stopped.wait() == 0, stopped.said
    assert stopped.report().reasons["SKIPPED_BREAKER"] == HOSTS - 1
    hosts.rotate(SECRET, "both")
    rerun = start("rerun", stopped.run, "--reason", "SKIPPED_BREAKER")
    assert rerun.wait() == 0, rerun.said
    rerun.report().is_exact(HOSTS - 1)
    assert rerun.report().reasons == {"PASSED": HOSTS - 1}
    assert failed(hosts) == 1
    nobody_is_left(hosts.pid)
