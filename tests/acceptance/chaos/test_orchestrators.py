"""Orchestrators and appliances die, or freeze and wake up, in the middle of a run: others go on, and it is exact."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.cli.holder_client import POLL_S
from tests.acceptance.chaos.estates import AMPLE, HOSTS, PACED, Estate, estate
from tests.acceptance.chaos.fleets import Fleet, at, fleet, freeze
from tests.acceptance.chaos.processes import adopting, until
from tests.acceptance.chaos.runs import Report
from tests.peers.postgres import Postgres, running_postgres

pytestmark = [pytest.mark.slow, pytest.mark.peer, pytest.mark.timeout(240)]

ENOUGH = 40
NOTICED_S = 15.0
"""In which the design says that a death is noticed."""
LATE_S = 10.0
"""What a loaded machine may take beside it."""
LOCAL = 'secret = "unix-{address}"\naccounts = "local"'
SECRET = "corp-scan"
CORP = f'secret = "{SECRET}"\naccounts = "corp"'
BUDGET = 2


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with running_postgres() as server:
        yield server


def campaign(hosts: Estate) -> Path:
    """With time for an attempt to hear of no pacer (5 s) before its deadline, so that it is put off and not over."""
    return hosts.campaign(record=LOCAL, deadline="12s")


def under_way(hosts: Estate, logons: int) -> None:
    until(lambda: hosts.logons() >= logons, f"{logons} logons")


def is_exact(fleet: Fleet, run: str) -> None:
    report = Report(fleet.report(run).document)
    report.is_exact()
    assert report.reasons == {"PASSED": HOSTS}
    granted = "SELECT max(n) FROM (SELECT count(*) n FROM permits WHERE kind = 'granted' GROUP BY run, job, attempt) _"
    assert fleet.ask(granted) == [(1,)], "no attempt had two permits"


def test_an_orchestrator_and_an_appliance_are_killed(tmp_path: Path, server: Postgres) -> None:
    with (
        adopting(),
        estate(tmp_path, f'account = "local"\nsecret = "per-host"\nfault = "none"\n{PACED}') as hosts,
        fleet(tmp_path, hosts, server) as running,
    ):
        first, second = running.orchestrators
        command = running.begin(campaign(hosts))
        run = command.run
        under_way(hosts, ENOUGH)
        os.kill(first.process.pid, signal.SIGSTOP)
        time.sleep(3 * POLL_S)  # the command has asked it how far the run is, and hears nothing
        killed = time.time()
        os.kill(first.process.pid, signal.SIGKILL)
        os.killpg(running.appliances[1].pid, signal.SIGKILL)
        assert command.wait() == 0, command.said
        assert f"{second.hears('serving')['name']} goes on with it" in command.said
        command.report().is_exact()
        taken, gone = second.hears("nobody holds a run; goes on with it"), second.hears("appliance gone")
        assert (taken["run"], gone["appliance"]) == (run, "dmz-2")
        assert at(taken) - killed < NOTICED_S + LATE_S
        assert at(gone) - killed < NOTICED_S + LATE_S
        running.ended(run)
        is_exact(running, run)
        assert hosts.most_logons_on_a_host() <= 2


def test_an_orchestrator_and_an_appliance_freeze_and_wake_up(tmp_path: Path, server: Postgres) -> None:
    """And whoever is on another machine tells the run's new holder what to do."""
    with (
        adopting(),
        estate(tmp_path, f'account = "local"\nsecret = "per-host"\nfault = "none"\n{PACED}') as hosts,
        fleet(tmp_path, hosts, server) as running,
    ):
        first, second = running.orchestrators
        command = running.begin(campaign(hosts))
        run = command.run
        under_way(hosts, ENOUGH)
        freeze(first.process)
        freeze(running.appliances[1])
        try:
            second.hears("goes on")
            seen = hosts.logons()
            under_way(hosts, seen + 10)
            paused = running.tell("pause", run, "--why", "maintenance", "--json")
            assert paused.code == 0, paused.stderr
            assert [one["state"] for one in paused.document["runs"]] == ["paused"]
        finally:
            freeze(running.appliances[1], signal.SIGCONT)
            freeze(first.process, signal.SIGCONT)
        lost = first.hears("run is no longer ours")
        assert lost["run"] == run
        assert running.run_state(run) == "paused", "who woke up has written nothing"
        resumed = running.tell("resume", run)
        assert resumed.code == 0, resumed.stderr
        assert f"goes on in orchestrator {second.hears('serving')['name']}" in resumed.stderr
        running.ended(run)
        is_exact(running, run)
        assert hosts.most_logons_on_a_host() <= 3, "of the frozen appliance, of its heir, and after the pause"
        assert first.end() == 0
        command.wait()


def test_two_orchestrators_are_one_pacer(tmp_path: Path, server: Postgres) -> None:
    """Each with a run over hosts of one directory, whose account's secret is wrong."""
    group = f'account = "corp"\nsecret = "shared"\nsecret_name = "{SECRET}"\nfault = "wrong_password"'
    with adopting(), estate(tmp_path, group) as hosts, fleet(tmp_path, hosts, server) as running:
        file = hosts.campaign(record=CORP, deadline=AMPLE)
        commands = [running.begin(file, at) for at in (0, 1)]
        for command in commands:
            assert command.wait() == 0, command.said
        tried = 0
        for command in commands:
            command.report().is_exact()
            tried += command.report().reasons["BAD_CREDENTIALS"]
        failed = sum(account["failed"] for account in hosts.metrics()["accounts"].values())
        assert 1 <= failed <= BUDGET
        assert tried == failed
        pacers = "SELECT count(DISTINCT owner) FROM leases WHERE name LIKE 'pacer %'"
        assert running.ask(pacers) == [(1,)]
