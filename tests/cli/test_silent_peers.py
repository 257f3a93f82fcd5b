"""Others that do not answer are waited for, since they might be just starting or ending; then the command says so.

The commands wait at the same time, so that the tests together take as long as the longest wait (20 s).
"""

from __future__ import annotations

import fcntl
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from appliance.bus.users import new_user
from tests.acceptance.lab import running_lab
from tests.acceptance.product import Ended, Product
from tests.cli.conftest import PASSWORD, RECORD, TARGETS, VAULT
from tests.cli.refusals import refused
from tests.peers.private import free_port, wait_for

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(120),
    pytest.mark.keeps_open("commands that wait while other tests of the module go on"),
]

SILENT = '[[hosts]]\ncount = 1\nnetwork = "127.74.0.0/16"\nfaults = { silent = 1 }\n'
HOST = "127.74.0.1"


@dataclass(frozen=True, slots=True)
class Waiting:
    """A command on its way to its end, and what it waits for: a state directory, or a URL."""

    keymuster: Product
    what: str
    end: Future[Ended]


@dataclass(frozen=True, slots=True)
class Patience:
    locked: Waiting
    stopped: Waiting
    holder: subprocess.Popen[bytes]
    """Which the second command waits for: a run on a silent host, stopped in its midst."""
    no_bus: Waiting


@pytest.fixture(scope="module")
def patience(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Patience]:
    directory = tmp_path_factory.mktemp("patience")
    campaign, seed, url = directory / "campaign.toml", directory / "seed", f"nats://127.0.0.1:{free_port()}"
    campaign.write_text('name = "c"\n' + VAULT + RECORD + TARGETS)
    seed.write_text(new_user().seed)
    locked, stopped, no_bus = (Product(directory / name) for name in ("locked", "stopped", "no bus"))
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(3))

        def begin(keymuster: Product, what: str, *more: str | Path) -> Waiting:
            return Waiting(keymuster, what, pool.submit(keymuster, "run", campaign, *more, env=PASSWORD))

        locked.state.mkdir()
        fcntl.flock(stack.enter_context((locked.state / "lock").open("w")), fcntl.LOCK_EX)
        first, second = begin(locked, str(locked.state)), begin(no_bus, url, "--nats", url, "--nats-seed", seed)
        holder = stack.enter_context(_stopped_in_its_midst(stopped, directory))
        yield Patience(first, begin(stopped, str(stopped.state)), holder, second)


@contextmanager
def _stopped_in_its_midst(keymuster: Product, directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    with running_lab(directory, SILENT) as lab:
        campaign, said = directory / "silent.toml", directory / "said"
        record = RECORD.replace('"V"', '"Vault"').replace("127.9.0.1", HOST) + f"port = {lab.ready['ssh_port']}\n"
        targets = TARGETS.replace("127.9.0.1", HOST) + '[pace]\nretries = 0\ndeadline = "5s"\n'
        campaign.write_text('name = "silent"\n' + lab.vault_table() + record + targets)
        with (
            said.open("wb") as err,
            subprocess.Popen(
                keymuster.command("run", campaign, "--format", "json"),
                stdout=subprocess.DEVNULL,
                stderr=err,
                start_new_session=True,
            ) as process,
        ):
            try:
                wait_for(lambda: process.poll() is not None or "planned" in said.read_text(), "the run to begin")
                process.send_signal(signal.SIGSTOP)
                yield process
            finally:
                process.send_signal(signal.SIGCONT)
                process.terminate()


def test_a_bus_that_nobody_serves(patience: Patience) -> None:
    waited = patience.no_bus
    refused(
        waited.end.result(),
        f"waiting for the bus at {waited.what}, for 15 s at most",
        f"no NATS server answers at {waited.what}",
        "check that it runs and can be reached",
        code=3,
    )
    assert waited.keymuster.planned_runs() == []


def test_a_state_directory_whose_holder_is_stopped(patience: Patience) -> None:
    """Nothing was handed to it; and once it goes on, its own run ends as if nothing had been."""
    waited, holder = patience.stopped, patience.holder
    refused(
        waited.end.result(),
        "the process that holds the state directory does not answer",
        f"let process {holder.pid} go on, end it, or name another directory with --state",
        code=3,
    )
    holder.send_signal(signal.SIGCONT)
    assert holder.wait(60) == 0
    (run,) = waited.keymuster.planned_runs()
    assert (run["campaign"], run["state"]) == ("silent", "finished")
    assert waited.keymuster("report", "--format", "json").reasons == {HOST: "BANNER_TIMEOUT"}


def test_a_state_directory_that_somebody_holds(patience: Patience) -> None:
    """A program that says neither who it is nor where it listens."""
    waited = patience.locked
    refused(
        waited.end.result(),
        f"another process holds the state directory {waited.what}",
        "or name another directory with --state",
    )
    assert {path.name for path in waited.keymuster.state.iterdir()} == {"lock"}
