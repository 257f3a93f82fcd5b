"""Secrets that must be checked out: one check-out for the run, and one check-in, whatever is killed in between."""

from __future__ import annotations

import json
import signal
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.chaos.estates import AMPLE, HELD, HOSTS, LOST, Estate, estate
from tests.acceptance.chaos.processes import kill, scan_processes, supervisor, until
from tests.acceptance.chaos.runs import Command

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

MIDDLE = 120
SECRET = "corp-scan"
RECORD = f'secret = "{SECRET}"\naccounts = "local"'
OTHER, OTHERS_PASSWORD = "somebody", "KMS-000000000000000000000000"

Start = Callable[..., Command]
Check = Callable[..., None]


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Estate]:
    """All hosts take one secret, which is exclusive and changes when it is given back."""
    hosts = f'secret = "shared"\nsecret_name = "{SECRET}"\n{HELD}'
    vault = f'[[vault.users]]\nname = "{OTHER}"\npassword = "{OTHERS_PASSWORD}"'
    with estate(tmp_path, hosts, vault) as running:
        running.security(SECRET, checkout=True, change_on_checkin=True)
        yield running


def seen(hosts: Estate) -> dict[str, Any]:
    return dict(hosts.metrics()["vault"])


def begin(start: Start, hosts: Estate, pace: str = "") -> Command:
    command = start("run", str(hosts.campaign(record=RECORD, deadline=LOST, pace=pace)))
    until(lambda: hosts.logons() >= MIDDLE or command.process.poll() is not None, "the middle of the run")
    assert command.process.poll() is None, command.said
    return command


def all_passed(command: Command) -> None:
    assert command.wait() == 0, command.said
    command.report().is_exact()
    assert command.report().reasons == {"PASSED": HOSTS}


def test_one_check_out_serves_a_whole_run_and_is_given_back_once(start: Start, shared: Estate) -> None:
    all_passed(start("run", str(shared.campaign(record=RECORD, deadline=AMPLE))))
    counted = seen(shared)
    assert (counted["checkouts"], counted["checkins"], counted["automatic_checkins"]) == (1, 1, 0)


def test_the_password_that_changed_on_check_in_serves_the_next_run(start: Start, shared: Estate) -> None:
    for runs in (1, 2):
        all_passed(start("run", str(shared.campaign(record=RECORD, deadline=AMPLE))))
        counted = seen(shared)
        assert (counted["checkouts"], counted["checkins"]) == (runs, runs)


@pytest.mark.parametrize("who", [scan_processes, supervisor])
def test_a_killed_appliance_makes_no_second_one(
    start: Start, shared: Estate, nobody_is_left: Check, who: Callable[[int], list[int]]
) -> None:
    command = begin(start, shared)
    kill(who(command.pid)[0])
    all_passed(command)
    counted = seen(shared)
    assert (counted["checkouts"], counted["checkins"]) == (1, 1)
    nobody_is_left(shared.pid)


def test_what_a_killed_orchestrator_left_is_given_back_when_its_run_goes_on(start: Start, shared: Estate) -> None:
    command = begin(start, shared)
    run = command.run
    command.process.kill()
    assert command.wait() == -signal.SIGKILL
    assert (seen(shared)["checkouts"], seen(shared)["checkins"]) == (1, 0)
    start("run", "--resume", run).wait()
    counted = seen(shared)
    assert counted["checkouts"] == counted["checkins"] == 2


def test_an_interrupted_run_gives_back_what_it_has(start: Start, shared: Estate) -> None:
    """It finishes what it has in flight first, which must not be all that is left."""
    command = begin(start, shared, "capacity = 48")
    command.interrupt()
    assert command.wait() == 130
    assert (seen(shared)["checkouts"], seen(shared)["checkins"]) == (1, 1)


def test_secrets_of_single_hosts_are_held_no_longer_than_their_hosts_need(start: Start, tmp_path: Path) -> None:
    with estate(tmp_path, 'account = "local"') as hosts:
        own = [f"unix-127.40.0.{n}" for n in range(1, 41)]
        for secret in own:
            hosts.security(secret, checkout=True)
        command = start(
            "run", str(hosts.campaign(record='secret = "unix-{address}"\naccounts = "local"', deadline=AMPLE))
        )
        assert command.wait() == 0, command.said
        assert [reason for reason in command.report().reasons if reason.startswith("SECRET_")] == []
        counted = seen(hosts)
        assert (counted["checkouts"], counted["checkins"], counted["automatic_checkins"]) == (40, 40, 0)


def test_where_the_campaign_forbids_it_the_targets_fail_and_nothing_is_checked_out(
    start: Start, shared: Estate
) -> None:
    file = shared.campaign(record=RECORD, deadline=AMPLE)
    text = file.read_text(encoding="utf-8").replace('title = "Vault"', 'title = "Vault"\ncheck_out = false')
    file.write_text(text, encoding="utf-8")
    command = start("run", str(file))
    assert command.wait() == 0, command.said
    assert command.report().reasons == {"SECRET_NEEDS_CHECKOUT": HOSTS}
    assert seen(shared)["checkouts"] == 0


def test_somebody_elses_check_out_is_waited_for_without_dialling(start: Start, shared: Estate) -> None:
    other = Somebody(shared)
    other.order("check-out")
    command = start("run", str(shared.campaign(record=RECORD, pace='vault_patience = "60s"', deadline=AMPLE)))
    until(lambda: "planned" in command.said, "the run")
    until(lambda: seen(shared)["searches"] >= 20, "several tries")
    assert (shared.metrics()["ssh"]["connections"], seen(shared)["views"]) == (0, 0)
    other.order("check-in")
    all_passed(command)
    counted = seen(shared)
    assert (counted["checkouts"], counted["checkins"]) == (2, 2), "theirs and ours"


def test_somebody_elses_check_out_that_lasts_is_the_reason(start: Start, shared: Estate) -> None:
    Somebody(shared).order("check-out")
    command = start("run", str(shared.campaign(record=RECORD, pace='vault_patience = "3s"\nretries = 0')))
    assert command.wait() == 0, command.said
    assert command.report().reasons == {"SECRET_CHECKED_OUT_BY": HOSTS}
    assert command.report().texts("SECRET_CHECKED_OUT_BY") == {f"checked out by {OTHER}"}
    assert (shared.logons(), seen(shared)["views"]) == (0, 0)


class Somebody:
    """Another user of the vault, over its REST API."""

    def __init__(self, hosts: Estate) -> None:
        self._url = hosts.ready["vault_url"]
        form = {"grant_type": "password", "username": OTHER, "password": OTHERS_PASSWORD}
        self._token = self._ask("/oauth2/token", urllib.parse.urlencode(form).encode(), token=False)["access_token"]
        found = self._ask(f"/api/v1/secrets?filter.searchText={SECRET}&filter.includeRestricted=true")
        self._secret = found["records"][0]["id"]

    def order(self, what: str) -> None:
        self._ask(f"/api/v1/secrets/{self._secret}/{what}", b"{}")

    def _ask(self, path: str, body: bytes | None = None, *, token: bool = True) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self._token}"} if token else {}
        kind = "application/json" if token else "application/x-www-form-urlencoded"
        request = urllib.request.Request(self._url + path, body, {**headers, "Content-Type": kind})  # noqa: S310 - loopback
        with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310 - as above
            return dict(json.load(answer))
