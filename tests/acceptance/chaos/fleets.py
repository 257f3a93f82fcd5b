"""Two orchestrators and two appliances on one NATS server and one PostgreSQL, as README says."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import anyio

from appliance.bus.users import new_user
from tests.acceptance.chaos.estates import Estate
from tests.acceptance.chaos.processes import until
from tests.acceptance.chaos.runs import Command
from tests.acceptance.product import KEYMUSTER, Ended, Product
from tests.acceptance.served import Served, serving
from tests.cli.nats import nats_server
from tests.peers.postgres import PASSWORD, Postgres

NAMES = ("dmz-1", "dmz-2")


@dataclass(frozen=True, slots=True)
class Fleet:
    directory: Path
    bus: tuple[str, ...]
    """Where it is, and our login there: options of a command."""
    server: Postgres
    store: str
    """The URL of a database of the server's, with its password."""
    orchestrators: Sequence[Served]
    appliances: Sequence[subprocess.Popen[bytes]]

    def state(self, name: str) -> Path:
        return self.directory / name

    def begin(self, file: Path, at: int = 0) -> Command:
        """`keymuster run`, submitted to one of the orchestrators."""
        os.environ["KEYMUSTER_STORE"] = self.store
        try:
            return Command(self.state(f"orchestrator-{at}"), "run", str(file), *self.bus, "--no-progress")
        finally:
            del os.environ["KEYMUSTER_STORE"]

    def tell(self, *words: str) -> Ended:
        """A command of somebody's on another machine."""
        return Product(self.state("elsewhere"))(*words, *self.bus, env={"KEYMUSTER_STORE": self.store})

    def report(self, run: str) -> Ended:
        return Product(self.state("elsewhere"))("report", run, "--format", "json", env={"KEYMUSTER_STORE": self.store})

    def ask(self, query: str) -> list[tuple[object, ...]]:
        """Of the store."""
        return anyio.run(self.server.execute, query, self.store.rsplit("/", 1)[1])

    def run_state(self, run: str) -> str:
        [(state,)] = self.ask(f"SELECT state FROM runs WHERE id = '{run}'")  # noqa: S608 - our own id
        return str(state)

    def ended(self, run: str) -> None:
        until(lambda: self.run_state(run) == "finished", "the end of the run")


def at(line: dict[str, str]) -> float:
    """When a log line was written, in Unix seconds."""
    return datetime.fromisoformat(line["timestamp"]).timestamp()


def freeze(process: subprocess.Popen[bytes], number: signal.Signals = signal.SIGSTOP) -> None:
    """The whole process group: an appliance's scan processes too. SIGCONT wakes it up."""
    os.killpg(process.pid, number)


@contextmanager
def fleet(directory: Path, hosts: Estate, server: Postgres, capacity: int = 6) -> Iterator[Fleet]:
    """`capacity`: of each appliance."""
    store = server.url(anyio.run(server.new_database)).replace("@", f":{PASSWORD}@")
    orchestrator = new_user()
    seed = directory / "orchestrator.seed"
    seed.write_text(orchestrator.seed)
    files, users = zip(*(_appliance(directory, name) for name in NAMES), strict=True)
    known = ", ".join([f'{{"nkey": "{orchestrator.public}"}}', *users])
    with ExitStack() as stack:
        url = stack.enter_context(nats_server(directory, f"authorization {{ users: [ {known} ] }}\n"))
        bus = ("--nats", url, "--nats-seed", str(seed))
        appliances = []
        for file in files:
            _fill_in(file, url, hosts, capacity)
            appliances.append(stack.enter_context(_serving(file)))
        served = [
            stack.enter_context(serving(directory / f"orchestrator-{n}", *bus, env={"KEYMUSTER_STORE": store}))
            for n in range(2)
        ]
        for one in served:
            one.hears("serving")
            until(lambda one=one: len(one.said("appliance up")) == len(NAMES), "both appliances")  # type: ignore[misc]
        yield Fleet(directory, bus, server, store, served, appliances)


def _appliance(directory: Path, name: str) -> tuple[Path, str]:
    file = directory / f"{name}.toml"
    made = Product(directory).stateless("appliance", "init", file, "--name", name)
    assert made.code == 0, made.stderr
    return file, made.stdout.strip()


def _fill_in(file: Path, url: str, hosts: Estate, capacity: int) -> None:
    text, ready = file.read_text(), hosts.ready
    for old, new in {
        "tls://nats.example:4222": url,
        "capacity = 256": f"capacity = {capacity}",
        "# processes = 2": "processes = 1",
        '["10.0.0.0/8"]': '["127.40.0.0/16"]',
        "Secret Server Vault": "Vault",
        "https://vault.example/SecretServer": ready["vault_url"],
        "svc-keymuster": ready["vault_user"],
        '{ env = "KEYMUSTER_VAULT_PASSWORD" }': f'{{ file = "{ready["vault_password_file"]}" }}',
    }.items():
        assert old in text
        text = text.replace(old, new)
    file.write_text(text)


@contextmanager
def _serving(file: Path) -> Iterator[subprocess.Popen[bytes]]:
    with (
        file.with_suffix(".log").open("wb") as log,
        subprocess.Popen(
            [str(KEYMUSTER), "appliance", "serve", str(file)], stderr=log, start_new_session=True
        ) as process,
    ):
        try:
            yield process
        finally:
            if process.poll() is None:
                freeze(process, signal.SIGCONT)
                process.terminate()
                try:
                    process.wait(30)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)
