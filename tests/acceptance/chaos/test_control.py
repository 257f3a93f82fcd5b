"""`pause`, `resume` and `cancel` on real runs: beside their holder, without one, and over its death."""

from __future__ import annotations

import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.acceptance.chaos.estates import HOSTS, Estate, estate
from tests.acceptance.chaos.processes import kill, scan_processes, until
from tests.acceptance.chaos.runs import Command
from tests.acceptance.product import Product

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

ENOUGH = 40
DEADLINE_S = 5
SHARED_S = 5
DRAIN_S = DEADLINE_S + 10 + 5
"""What the design allows, and what a loaded machine takes beside it."""

Start = Callable[..., Command]
Check = Callable[..., None]
RECORD = 'secret = "unix-{address}"\naccounts = "local"'
PACE = "capacity = 8"
LOGIN = "200ms"
"""What a login takes: with eight at once a run lasts 12 s, and is under way still when a second command has started."""


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Estate]:
    with estate(tmp_path, f'account = "local"\nsecret = "per-host"\nfault = "none"\nlatency = "{LOGIN}"') as running:
        yield running


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """What `start` uses too."""
    return tmp_path / "state"


@pytest.fixture
def product(state: Path) -> Product:
    return Product(state)


def under_way(start: Start, hosts: Estate) -> Command:
    before = hosts.logons()
    command = start("run", str(hosts.campaign(record=RECORD, pace=PACE)))
    until(lambda: hosts.logons() >= before + ENOUGH or command.process.poll() is not None, "the middle of the run")
    assert command.process.poll() is None, command.said
    return command


def standing(product: Product, run: str) -> tuple[str, str | None]:
    (one,) = [one for one in product.planned_runs() if one["id"] == run]
    return one["state"], one["held"] and one["held"]["hold"]


def unanswered(state: Path, run: str) -> int:
    """Permits that were granted and never came back."""
    query = "SELECT kind, count(*) FROM permits WHERE run = ? GROUP BY kind"
    with closing(sqlite3.connect(state / "keymuster.db")) as store:
        by = dict(store.execute(query, (run,)).fetchall())
    return int(by.get("granted", 0) - by.get("success", 0) - by.get("failure", 0) - by.get("neutral", 0))


def test_a_run_is_paused_keeps_nothing_and_goes_on(
    start: Start, hosts: Estate, product: Product, state: Path, nobody_is_left: Check
) -> None:
    command = under_way(start, hosts)
    began = time.monotonic()
    paused = product("pause", command.run, "--why", "maintenance", "--json")
    assert paused.code == 0, paused.stderr
    assert time.monotonic() - began < DRAIN_S
    (shown,) = paused.document["runs"]
    assert (shown["state"], shown["held"]["hold"], shown["held"]["why"]) == ("paused", "hand", "maintenance")
    until(lambda: not scan_processes(command.pid), "the end of the scan processes")
    assert unanswered(state, command.run) == 0
    logons = hosts.logons()
    assert logons < HOSTS
    time.sleep(2)
    assert hosts.logons() == logons
    assert command.process.poll() is None, "the holder stays, and waits"
    assert "paused (by hand)" in command.said

    refused = product("run", "--resume", command.run)
    assert refused.code == 2
    assert "paused (by hand)" in refused.stderr

    resumed = product("resume", command.run)
    assert resumed.code == 0, resumed.stderr
    assert command.wait() == 0, command.said
    command.report().is_exact()
    assert command.report().reasons == {"PASSED": HOSTS}
    assert hosts.most_logons_on_a_host() == 1
    assert standing(product, command.run) == ("finished", None)
    nobody_is_left(hosts.pid)


def test_paused_by_hand_outlives_its_holder(
    start: Start, hosts: Estate, product: Product, nobody_is_left: Check
) -> None:
    command = under_way(start, hosts)
    assert product("pause", command.run).code == 0
    command.interrupt()
    assert command.wait() == 130, command.said
    assert f"`keymuster resume {command.run}` goes on with it" in command.said
    nothing = product("rerun", command.run, "--reason", "INTERNAL")
    assert (nothing.code, "it has not ended: `keymuster resume" in nothing.stderr) == (5, True), nothing.stderr
    assert standing(product, command.run) == ("paused", "hand")
    assert start("run", "--resume", command.run).wait() == 2
    assert standing(product, command.run) == ("paused", "hand")
    resumed = start("resume", command.run)
    assert resumed.wait() == 0, resumed.said
    resumed.report().is_exact()
    assert resumed.report().reasons == {"PASSED": HOSTS}
    nobody_is_left(hosts.pid)


def test_a_holder_is_killed_and_the_run_is_paused_in_the_store(
    start: Start, hosts: Estate, product: Product, nobody_is_left: Check
) -> None:
    command = under_way(start, hosts)
    kill(command.pid, signal.SIGKILL)
    command.wait()
    nobody_is_left(hosts.pid)
    assert standing(product, command.run)[0] == "running"
    assert product("pause", command.run).code == 0
    assert standing(product, command.run) == ("paused", "hand")
    refused = start("run", "--resume", command.run)
    assert refused.wait() == 2
    resumed = start("resume", command.run)
    assert resumed.wait() == 0, resumed.said
    resumed.report().is_exact()
    nobody_is_left(hosts.pid)


def test_a_run_under_way_is_cancelled(
    start: Start, hosts: Estate, product: Product, state: Path, nobody_is_left: Check
) -> None:
    command = under_way(start, hosts)
    began = time.monotonic()
    ended = product("cancel", command.run, "--why", "wrong list")
    assert ended.code == 0, ended.stderr
    assert time.monotonic() - began < DRAIN_S
    assert "cancelled by" in ended.stdout
    assert "wrong list" in ended.stdout
    assert command.wait() == 4, command.said
    report = command.report()
    report.is_exact()
    assert set(report.reasons) == {"PASSED", "CANCELLED"}
    assert report.reasons["PASSED"] == hosts.logons()
    assert all("wrong list" in text for text in report.texts("CANCELLED"))
    assert unanswered(state, command.run) == 0
    for order in ("pause", "resume", "cancel"):
        refused = product(order, command.run)
        assert refused.code == 2
        assert "was cancelled" in refused.stderr
    again = start("rerun", command.run, "--unreached")
    assert again.wait() == 0, again.said
    assert again.report().reasons == {"PASSED": report.reasons["CANCELLED"]}
    assert hosts.most_logons_on_a_host() == 1
    nobody_is_left(hosts.pid)


def test_a_killed_run_is_cancelled_without_a_holder(
    start: Start, hosts: Estate, product: Product, nobody_is_left: Check
) -> None:
    command = under_way(start, hosts)
    kill(command.pid, signal.SIGKILL)
    command.wait()
    nobody_is_left(hosts.pid)
    assert product("cancel", command.run).code == 0
    report = product("report", command.run, "--format", "json")
    assert len(report.targets) == HOSTS
    assert set(report.reasons.values()) == {"PASSED", "CANCELLED"}
    assert start("run", "--resume", command.run).wait() == 2


def test_one_of_two_runs_of_a_holder_is_paused(
    start: Start, hosts: Estate, product: Product, nobody_is_left: Check
) -> None:
    first = under_way(start, hosts)
    second = start("run", str(hosts.directory / "campaign.toml"))
    assert product("pause", second.run).code == 0
    assert first.process.poll() is None
    assert standing(product, second.run) == ("paused", "hand")
    second.interrupt()
    assert second.wait() == 130, second.said
    assert first.wait() == 0, first.said
    first.report().is_exact()
    assert standing(product, second.run) == ("paused", "hand")
    assert product("cancel", second.run).code == 0
    nobody_is_left(hosts.pid)


def outcomes(state: Path, run: str) -> int:
    with closing(sqlite3.connect(state / "keymuster.db")) as store:
        (number,) = store.execute("SELECT count(*) FROM outcomes WHERE run = ?", (run,)).fetchone()
    return int(number)


def test_two_runs_of_a_holder_share_by_priority(
    start: Start, tmp_path: Path, product: Product, state: Path, nobody_is_left: Check
) -> None:
    """The hosts are far away, so that the appliance's eight places are what there is too little of."""
    with estate(tmp_path, 'account = "local"\nsecret = "per-host"\nfault = "none"\nlatency = "1500ms"') as hosts:
        campaign = str(hosts.campaign(record=RECORD, pace=PACE))
        first = start("run", campaign)
        until(lambda: hosts.logons() > 0 or first.process.poll() is not None, "the first run")
        second = start("run", campaign, "--priority", "30")
        until(lambda: bool(outcomes(state, second.run)), "the second run")
        time.sleep(SHARED_S)  # till what the first one had begun alone has ended
        before = [outcomes(state, run) for run in (first.run, second.run)]
        until(lambda: outcomes(state, second.run) >= before[1] + 45, "a stretch of both")
        alone, preferred = (outcomes(state, c.run) - was for c, was in zip((first, second), before, strict=True))
        assert 1.5 < preferred / max(alone, 1) < 6, "three to one, within what so few places make of it"
        assert product("priority", first.run, "90").code == 0
        time.sleep(SHARED_S)
        before = [outcomes(state, run) for run in (first.run, second.run)]
        until(lambda: outcomes(state, first.run) >= before[0] + 45, "another one")
        assert outcomes(state, first.run) - before[0] > outcomes(state, second.run) - before[1]
        for command in (first, second):
            assert product("cancel", command.run).code == 0
        assert (first.wait(), second.wait()) == (4, 4)
        for command in (first, second):
            command.report().is_exact()
        nobody_is_left(hosts.pid)
