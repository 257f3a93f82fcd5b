"""The admin's stop button: from the moment the command returns, nobody logs in with what it names, in any run.

500 hosts ask one directory about one account, 40 more another one. What was granted when is read in the ledger, and
what the hosts really saw is their own count.
"""

from __future__ import annotations

import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.acceptance.chaos.estates import HOSTS, LOST, PACED, RANGE, Estate, estate
from tests.acceptance.chaos.processes import kill, scan_processes, until
from tests.acceptance.chaos.runs import Command, Report
from tests.acceptance.product import Product
from tests.schemas import conforms

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

MIDDLE = 40
OTHERS, OTHER_RANGE = 40, "127.41.0.1-127.41.0.40"
ACCOUNT, OTHER_ACCOUNT, SECRET = "scan@corp", "scan@ops", "corp-scan"
WHY = "the password has leaked"

Start = Callable[..., Command]
Check = Callable[..., None]

HOST_TABLES = f"""account = "corp"
secret = "shared"
secret_name = "{SECRET}"
{PACED}
[[hosts]]
count = {OTHERS}
network = "127.41.0.0/16"
user = "scan"
account = "ops"
secret = "shared"
secret_name = "ops-scan"
"""
RECORDS = f"""secret = "{SECRET}"
accounts = "corp"
failure_budget = 4

[[records]]
title = "Others"
technology = "unix"
login_type = "vault"
user = "scan"
vault = "Vault"
port = PORT
ips = ["{OTHER_RANGE}"]
secret = "ops-scan"
accounts = "ops"
"""


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Estate]:
    with estate(tmp_path, HOST_TABLES) as running:
        yield running


@pytest.fixture
def keymuster(tmp_path: Path) -> Product:
    """On the state directory of `start`."""
    return Product(tmp_path / "state")


def campaign(hosts: Estate) -> str:
    file = hosts.campaign(record=RECORDS.replace("PORT", str(hosts.ready["ssh_port"])), deadline=LOST)
    both = f'include = ["{RANGE}", "{OTHER_RANGE}"]'
    text = file.read_text(encoding="utf-8").replace(f'include = ["{RANGE}"]', both)
    file.write_text(text, encoding="utf-8")
    return str(file)


def logons(hosts: Estate, account: str) -> int:
    """As the account's directory has counted them, right or wrong."""
    seen = hosts.metrics()["accounts"].get(account, {"ok": 0, "failed": 0})
    return int(seen["ok"] + seen["failed"])


@dataclass(frozen=True, slots=True)
class Permits:
    """What the ledger knows of an account of a directory."""

    latest: float
    """When the last one was granted."""
    used: int
    """Granted, and not withdrawn."""


def permits(state: Path, authority: str = "dir:corp") -> Permits:
    query = "SELECT kind, at, cause FROM permits WHERE authority = ?"
    with closing(sqlite3.connect(state / "keymuster.db")) as store:
        rows = store.execute(query, (authority,)).fetchall()
    granted = [at for kind, at, _ in rows if kind == "granted"]
    withdrawn = sum(kind == "neutral" and cause == "STOPPED" for kind, _, cause in rows)
    return Permits(max(granted, default=0.0), len(granted) - withdrawn)


def in_its_middle(start: Start, hosts: Estate) -> Command:
    command = start("run", campaign(hosts))
    until(lambda: logons(hosts, ACCOUNT) >= MIDDLE or command.process.poll() is not None, "the middle of the run")
    assert command.process.poll() is None, command.said
    return command


def stop(keymuster: Product, *selector: str) -> float:
    """When the command has returned."""
    ended = keymuster("stop", *selector, "--why", WHY)
    returned = time.time()
    assert ended.code == 0, ended.stderr
    return returned


def by_account(report: Report) -> dict[str, set[str]]:
    """The reasons of each one's hosts."""
    found: dict[str, set[str]] = {ACCOUNT: set(), OTHER_ACCOUNT: set()}
    for target in report.document["targets"]:
        found[OTHER_ACCOUNT if target["target"].startswith("127.41.") else ACCOUNT].add(target["reason"])
    return found


def ended(command: Command, planned: int = HOSTS + OTHERS) -> Report:
    assert command.wait() == 0, command.said
    report = command.report()
    report.is_exact(planned)
    return report


@pytest.mark.parametrize(
    ("selector", "named"),
    [
        (("--account", "CORP\\Scan"), f"account {ACCOUNT}"),
        (("--secret", SECRET.upper(), "--vault", "Vault"), f"secret {SECRET.upper()} in Vault"),
    ],
)
def test_a_run_is_stopped_in_its_middle_and_so_are_those_after_it(
    start: Start, keymuster: Product, hosts: Estate, nobody_is_left: Check, selector: tuple[str, ...], named: str
) -> None:
    first = in_its_middle(start, hosts)
    returned = stop(keymuster, *selector)
    report = ended(first)
    assert by_account(report) == {ACCOUNT: {"PASSED", "STOPPED"}, OTHER_ACCOUNT: {"PASSED"}}
    (text,) = report.texts("STOPPED")
    assert text.startswith(f"{named}: stopped since ")
    assert text.endswith(f": {WHY}")
    granted = permits(keymuster.state)
    assert granted.latest <= returned
    assert logons(hosts, ACCOUNT) == granted.used == report.reasons["PASSED"] - OTHERS

    shown = keymuster("stops", "--json").document
    conforms(shown, "stops")
    assert [one["why"] for one in shown["stops"]] == [WHY]

    second = ended(start("run", campaign(hosts)))
    assert by_account(second) == {ACCOUNT: {"STOPPED"}, OTHER_ACCOUNT: {"PASSED"}}
    assert {t["attempts"] for t in second.document["targets"] if t["reason"] == "STOPPED"} == {0}
    assert permits(keymuster.state) == granted
    assert logons(hosts, ACCOUNT) == granted.used

    lifted = keymuster("allow", *selector, "--json")
    conforms(lifted.document, "stops")
    again = ended(start("rerun", first.run, "--reason", "STOPPED"), report.reasons["STOPPED"])
    assert again.reasons == {"PASSED": report.reasons["STOPPED"]}
    assert logons(hosts, ACCOUNT) == HOSTS
    nobody_is_left(hosts.pid)


def test_a_whole_vault(start: Start, keymuster: Product, hosts: Estate, nobody_is_left: Check) -> None:
    """No secret of it is read any more, and a run that begins later does not even log in to it."""
    first = in_its_middle(start, hosts)
    returned = stop(keymuster, "--vault", "Vault")
    report = ended(first)
    assert set(report.reasons) == {"PASSED", "STOPPED"}
    assert permits(keymuster.state).latest <= returned
    before = hosts.metrics()["vault"]
    second = ended(start("run", campaign(hosts)))
    assert second.reasons == {"STOPPED": HOSTS + OTHERS}
    tested = keymuster("vault", "test", "Vault", "--campaign", campaign(hosts), "--json")
    assert (tested.code, tested.document["reason"]) == (3, "STOPPED")
    proof = keymuster("verify-clean", first.run, "--yes")
    assert (proof.code, WHY in proof.stderr) == (2, True)
    seen = hosts.metrics()["vault"]
    assert [seen[what] for what in ("grants", "views", "searches", "requests")] == [
        before[what] for what in ("grants", "views", "searches", "requests")
    ]
    assert keymuster("allow", "--all").code == 0
    again = ended(start("rerun", first.run, "--reason", "STOPPED"), report.reasons["STOPPED"])
    assert again.reasons == {"PASSED": report.reasons["STOPPED"]}
    nobody_is_left(hosts.pid)


def test_a_stop_outlives_the_orchestrator(
    start: Start, keymuster: Product, hosts: Estate, nobody_is_left: Check
) -> None:
    """Also what was out when it was killed, and was never reported, is not sent out again."""
    command = in_its_middle(start, hosts)
    for pid in scan_processes(command.pid):
        kill(pid, signal.SIGSTOP)
    returned = stop(keymuster, "--account", ACCOUNT)
    command.process.kill()
    assert command.wait() == -signal.SIGKILL
    nobody_is_left(hosts.pid)
    resumed = start("run", "--resume", command.run)
    report = ended(resumed)
    assert by_account(report)[ACCOUNT] <= {"PASSED", "STOPPED"}
    assert report.reasons["STOPPED"] > 0
    granted = permits(keymuster.state)
    assert granted.latest <= returned
    assert logons(hosts, ACCOUNT) <= granted.used
    nobody_is_left(hosts.pid)


def test_a_stop_of_before_any_run(start: Start, keymuster: Product, hosts: Estate) -> None:
    stop(keymuster, "--account", ACCOUNT)
    report = ended(start("run", campaign(hosts)))
    assert by_account(report) == {ACCOUNT: {"STOPPED"}, OTHER_ACCOUNT: {"PASSED"}}
    assert logons(hosts, ACCOUNT) == 0
    slip = keymuster("stop", "--account", "scan@crop")
    assert (slip.code, "no run so far names account scan@crop" in slip.stderr) == (0, True)
    again = keymuster("stop", "--account", ACCOUNT, "--why", "another reason")
    assert not again.stderr
    assert (again.code, WHY in again.stdout, "another" in again.stdout) == (0, True, False)


def test_a_holder_that_does_not_answer_is_told_of_and_what_begins_later_is_stopped(
    start: Start, keymuster: Product, hosts: Estate
) -> None:
    command = in_its_middle(start, hosts)
    until(lambda: _halted_between_writes(command, keymuster), "a moment without a transaction")
    refused = keymuster("stop", "--account", ACCOUNT, "--why", WHY)
    assert refused.code == 3
    assert str(command.pid) in refused.stderr
    assert "written down" in refused.stderr
    command.process.kill()
    assert command.wait() == -signal.SIGKILL
    report = ended(start("run", campaign(hosts)))
    assert by_account(report)[ACCOUNT] == {"STOPPED"}


def _halted_between_writes(command: Command, keymuster: Product) -> bool:
    """Stop the process; not while it holds the store's write lock, which nobody could take then."""
    command.process.send_signal(signal.SIGSTOP)
    store = sqlite3.connect(keymuster.state / "keymuster.db", timeout=0.5)
    try:
        store.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError:
        command.process.send_signal(signal.SIGCONT)
        return False
    finally:
        store.close()
    return True
