"""`python -m tests.bench.pool [--appliances 4] [--hosts 960]`: what more appliances are worth where logins wait.

Every host takes two seconds for a login, so that places are what binds, not processors. The same campaign is run
through one appliance and through several, each a `keymuster appliance serve` of its own with 32 places, on a
nats-server that they share; alternating, as often as asked. Time is the run's own, from its plan to its end.
"""

from __future__ import annotations

import argparse
import signal
import statistics
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path

from appliance.bus.claims import KeyPair
from appliance.bus.users import new_user
from tests.acceptance.lab import Lab, running_lab
from tests.acceptance.product import KEYMUSTER, Product
from tests.cli.nats import nats_server
from tests.cli.test_own_bus import campaign

APPLIANCES, HOSTS, PLACES, ROUNDS = 4, 960, 32, 1
NETWORK = "127.46.0.0/16"
ESTATE = """
seed = 3
[[hosts]]
count = {hosts}
network = "{network}"
user = "scan"
latency = "2s"
"""
FACTOR = 3.4
END_S = 30.0


@contextmanager
def pool(directory: Path, lab: Lab, number: int) -> Iterator[tuple[str | Path, ...]]:
    """So many appliances on a bus; the options of a command that uses them."""
    orchestrator = new_user()
    (directory / "orchestrator.seed").write_text(orchestrator.seed)
    files = [directory / f"a{n}.toml" for n in range(number)]
    users = [_written(file, lab) for file in files]
    with ExitStack() as stack:
        url = stack.enter_context(nats_server(directory, _allowed(orchestrator, users)))
        for file in files:
            file.write_text(file.read_text().replace("nats://nobody", url))
            stack.enter_context(_serving(file))
        yield ("--nats", url, "--nats-seed", directory / "orchestrator.seed")


def _allowed(orchestrator: KeyPair, users: list[str]) -> str:
    return f'authorization {{ users: [ {{"nkey": "{orchestrator.public}"}}, {", ".join(users)} ] }}\n'


def _written(file: Path, lab: Lab) -> str:
    """An appliance's file; its user, as the server must know it."""
    command = [str(KEYMUSTER), "appliance", "init", str(file), "--name", file.stem]
    user = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    text = file.read_text()
    for old, new in {
        "tls://nats.example:4222": "nats://nobody",
        '["10.0.0.0/8"]': f'["{NETWORK}"]',
        "capacity = 256": f"capacity = {PLACES}",
        "# processes = 2": "processes = 1",
        "Secret Server Vault": "Vault",
        "https://vault.example/SecretServer": lab.ready["vault_url"],
        "svc-keymuster": lab.ready["vault_user"],
        '{ env = "KEYMUSTER_VAULT_PASSWORD" }': f'{{ file = "{lab.ready["vault_password_file"]}" }}',
    }.items():
        assert old in text, old
        text = text.replace(old, new)
    file.write_text(text)
    return user


@contextmanager
def _serving(file: Path) -> Iterator[None]:
    command = [str(KEYMUSTER), "appliance", "serve", str(file)]
    log = file.with_suffix(".log").open("wb")
    with log, subprocess.Popen(command, stderr=log, start_new_session=True) as process:
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(END_S)


def took(directory: Path, lab: Lab, number: int) -> float:
    """Seconds."""
    directory.mkdir()
    product = Product(directory / "state")
    file = campaign(directory, lab, [host["address"] for host in lab.hosts])
    with pool(directory, lab, number) as where:
        ended = product("run", file, *where, "--format", "json")
        assert ended.code == 0, ended.stderr
        assert set(ended.reasons.values()) == {"PASSED"}, ended.stderr
        served = {row["appliance"] for row in ended.targets}
        assert len(served) == number, served
    (run,) = product.planned_runs()
    began, ended_at = (datetime.fromisoformat(run[when]) for when in ("created_at", "finished_at"))
    return (ended_at - began).total_seconds()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.pool")
    parser.add_argument("--appliances", type=int, default=APPLIANCES)
    parser.add_argument("--hosts", type=int, default=HOSTS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    given = parser.parse_args()
    alone, together = list[float](), list[float]()
    with tempfile.TemporaryDirectory(prefix="keymuster-pool-") as home:
        (Path(home) / "lab").mkdir()
        with running_lab(Path(home) / "lab", ESTATE.format(hosts=given.hosts, network=NETWORK)) as lab:
            for number in range(given.rounds):
                alone.append(took(Path(home) / f"one-{number}", lab, 1))
                together.append(took(Path(home) / f"many-{number}", lab, given.appliances))
    one, many = statistics.median(alone), statistics.median(together)
    met = "met" if one / many >= FACTOR else "NOT met"
    print(
        f"{given.hosts:,} hosts of 2 s: one appliance {one:.1f} s, {given.appliances} {many:.1f} s: "
        f"x {one / many:.2f}; target x {FACTOR} for four: {met}"
    )


if __name__ == "__main__":
    main()
