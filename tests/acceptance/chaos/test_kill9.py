"""Exact under kill -9: whatever dies in the middle of a run, every target ends with exactly one outcome."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.chaos.estates import HELD, HOSTS, LOST, Estate, estate
from tests.acceptance.chaos.processes import kill, nats_server, scan_processes, supervisor, until
from tests.acceptance.chaos.runs import Command
from tests.acceptance.product import Product

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

MIDDLE = 120
"""Logons after which something dies: enough are done, in hand and still to come."""
MOST_LOGONS = 2
"""Per host: the attempt that died may have logged in, and the one after it does."""

Start = Callable[..., Command]
Check = Callable[..., None]


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Estate]:
    with estate(tmp_path, f'account = "local"\n{HELD}') as running:
        yield running


def begin(start: Start, hosts: Estate) -> Command:
    """A run that has come to its middle."""
    file = hosts.campaign(record='secret = "unix-{address}"\naccounts = "local"', deadline=LOST)
    command = start("run", str(file))
    until(lambda: hosts.logons() >= MIDDLE or command.process.poll() is not None, "the middle of the run")
    assert command.process.poll() is None, command.said
    return command


def has_survived(command: Command, hosts: Estate, state: Path) -> None:
    assert command.wait() == 0, command.said
    command.report().is_exact()
    assert command.report().reasons == {"PASSED": HOSTS}
    assert hosts.most_logons_on_a_host() <= MOST_LOGONS
    audit = Product(state)("audit", "--json")
    assert audit.code == 0, (
        audit.stderr,
        {name: audit.document[name] for name in ("drops", "duplicates", "forgeries")},
    )
    assert audit.document["uses"] >= HOSTS, "what died had views whose rows are nobody's fault"


def test_a_scan_process(start: Start, hosts: Estate, tmp_path: Path, nobody_is_left: Check) -> None:
    command = begin(start, hosts)
    kill(scan_processes(command.pid)[0])
    has_survived(command, hosts, tmp_path / "state")
    nobody_is_left(hosts.pid)


def test_the_supervisor(start: Start, hosts: Estate, tmp_path: Path, nobody_is_left: Check) -> None:
    command = begin(start, hosts)
    kill(supervisor(command.pid)[0])
    has_survived(command, hosts, tmp_path / "state")
    nobody_is_left(hosts.pid)


def test_nats_server(start: Start, hosts: Estate, tmp_path: Path, nobody_is_left: Check) -> None:
    command = begin(start, hosts)
    kill(nats_server(command.pid)[0])
    has_survived(command, hosts, tmp_path / "state")
    nobody_is_left(hosts.pid)


def test_nats_server_and_all_that_it_stored(start: Start, hosts: Estate, tmp_path: Path, nobody_is_left: Check) -> None:
    command = begin(start, hosts)
    [server] = nats_server(command.pid)
    kill(command.pid, signal.SIGSTOP)  # or it starts the server again before its store is gone
    try:
        kill(server)
        until(lambda: not _alive(server), "the end of nats-server")
        shutil.rmtree(tmp_path / "state" / "nats" / "store")
    finally:
        kill(command.pid, signal.SIGCONT)
    has_survived(command, hosts, tmp_path / "state")
    nobody_is_left(hosts.pid)


def test_the_orchestrator(start: Start, hosts: Estate, tmp_path: Path, nobody_is_left: Check) -> None:
    command = begin(start, hosts)
    run = command.run
    command.process.kill()
    assert command.wait() == -signal.SIGKILL
    nobody_is_left(hosts.pid)
    resumed = start("run", "--resume", run)
    has_survived(resumed, hosts, tmp_path / "state")
    assert resumed.report().document["run"]["id"] == run
    nobody_is_left(hosts.pid)


def _alive(pid: int) -> bool:
    """A zombie counts as dead: the stopped parent cannot wait for it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
