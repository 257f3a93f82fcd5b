"""A whole installation on this machine: the bus on three servers, the store, orchestrators, and zones with their own
networks, appliances and estates.

```
core: NATS 10.77.0.11-13, orchestrators     --- 10.77.1.0/24 ---   a: estate 127.40.0.0/16, appliances a-1, a-2
PostgreSQL by its Unix socket               --- 10.77.2.0/24 ---   b: estate 127.41.0.0/16, appliances b-1, b-2
```
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import trustme

from tests.acceptance.product import KEYMUSTER, Ended, Product
from tests.chaos.namespaces import Namespace, namespace, wire
from tests.chaos.services import Service
from tests.chaos.timetable import APPLIANCES, ORCHESTRATORS
from tests.peers.cluster import Cluster, running_cluster
from tests.peers.postgres import Postgres, running_postgres

ROOT = Path(__file__).parents[2]
SERVERS = ("10.77.0.11", "10.77.0.12", "10.77.0.13")
ZONES = ("a", "b")
HOSTS = 250
"""In each zone."""
CAPACITY = 16
"""Of each appliance: a run takes long enough for its faults to meet it."""
COMES_S = 40.0
HTTP_S = 20


@dataclass(slots=True)
class Zone:
    name: str
    number: int
    net: Namespace
    estate: Service
    ready: dict[str, Any]
    """The estate's ready line: where everything is."""
    appliances: list[Service] = field(default_factory=list)

    @property
    def network(self) -> str:
        return f"127.{39 + self.number}.0.0/16"

    @property
    def wire(self) -> str:
        """The core's end of its wire."""
        return f"to-{self.name}"

    @property
    def truth(self) -> list[dict[str, Any]]:
        """What is true of each host."""
        return [json.loads(line) for line in Path(self.ready["truth"]).read_text(encoding="utf-8").splitlines()]

    def metrics(self) -> dict[str, Any]:
        """What its hosts, directory and vault really saw."""

        def get() -> dict[str, Any]:
            with urllib.request.urlopen(self.ready["metrics_url"], timeout=HTTP_S) as answer:  # noqa: S310 - ours
                return dict(json.load(answer))

        return self.net.call(get)

    def vault_faults(self, *names: str) -> None:
        body, url = json.dumps({"vault": names}).encode(), f"{self.ready['control_url']}/faults"
        order = urllib.request.Request(url, body, {"Content-Type": "application/json"})  # noqa: S310 - as above

        def tell() -> None:
            with urllib.request.urlopen(order, timeout=HTTP_S) as answer:  # noqa: S310 - as above
                assert answer.status == 200

        self.net.call(tell)


@dataclass(slots=True)
class World:
    directory: Path
    core: Namespace
    cluster: Cluster
    store: Postgres
    database: str
    zones: list[Zone] = field(default_factory=list)
    orchestrators: list[Service] = field(default_factory=list)

    @property
    def services(self) -> list[Service]:
        return [*self.orchestrators, *(one for zone in self.zones for one in zone.appliances)]

    @property
    def where(self) -> list[str]:
        """Options of every command of an orchestrator, but for its state directory."""
        fleet = self.directory / "fleet"
        bus = ["--nats", self.cluster.url, "--nats-seed", str(fleet / "orchestrator.creds")]
        return [*bus, "--nats-ca", str(self.directory / "ca.pem"), "--store", self.store.socket_url(self.database)]

    def state(self, number: int) -> Path:
        return self.directory / f"state-{number}"

    def command(self, *arguments: str, number: int = 1) -> list[str]:
        return [*self.core.prefix, str(KEYMUSTER), *arguments, "--state", str(self.state(number)), *self.where]

    def ask(self, *arguments: str) -> Ended:
        """A command that needs the store alone, and so no network."""
        return Product(self.state(1))(*arguments, *self.where[-2:])

    def query(self, statement: str) -> list[tuple[object, ...]]:
        """Of the store; raises OSError while it is away."""
        return anyio.run(self.store.execute, statement, self.database)

    def keep(self) -> None:
        for one in self.services:
            one.keep()


@contextmanager
def running_world(directory: Path, zones: Sequence[str] = ZONES) -> Iterator[World]:
    """Everything up, the appliances enrolled and on the bus. Until the context is left."""
    with ExitStack() as stack:
        core = stack.enter_context(namespace())
        for address in SERVERS:
            core.run("ip", "address", "add", f"{address}/32", "dev", "lo")
        tls = _certificates(directory)
        store = stack.enter_context(running_postgres())
        database = anyio.run(store.new_database)
        url = ",".join(f"tls://{address}:4222" for address in SERVERS)
        state, fleet = directory / "state-1", directory / "fleet"
        where = (
            "--url",
            url,
            "--ca",
            directory / "ca.pem",
            "--directory",
            fleet,
            "--store",
            store.socket_url(database),
        )
        founded = Product(state)("fleet", "init", *where)
        assert founded.code == 0, founded.stderr
        told = f'include "../fleet/fleet.conf"\n{tls}'  # relative to the file that it stands in
        cluster = stack.enter_context(
            running_cluster(
                directory, told, hosts=SERVERS, ports=4222, prefix=core.prefix, inside=core.call, scheme="tls"
            )
        )
        world = World(directory, core, cluster, store, database)
        stack.callback(_end, world)
        for number, name in enumerate(zones, 1):
            world.zones.append(_zone(world, stack.enter_context(namespace()), name, number))
        for number in range(1, ORCHESTRATORS + 1):
            world.orchestrators.append(_orchestrator(world, number))
        for zone in world.zones:
            _enrol(world, zone)
        yield world


def _end(world: World) -> None:
    for service in (*world.services, *(zone.estate for zone in world.zones)):
        service.end()


def _certificates(directory: Path) -> str:
    """The servers' one, and what their configuration says of it."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(directory / "ca.pem")
    own = authority.issue_cert(*SERVERS)
    key, chain = directory / "key.pem", directory / "chain.pem"
    own.private_key_pem.write_to_path(key)
    for part in own.cert_chain_pems:
        part.write_to_path(chain, append=True)
    return f'tls {{ cert_file: "{chain}", key_file: "{key}" }}\n'


def _estate(network: str, seed: int) -> str:
    """Most hosts are as they should be; some are not, and some of one directory's account."""
    slow = 'latency = "500ms"\njitter = "300ms"'
    return f"""\
seed = {seed}

[[hosts]]
count = {HOSTS - 40}
network = "{network}"
user = "scan"
account = "local"
faults = {{ none = 45, wrong_password = 2, closed = 1, silent = 1 }}
{slow}

[[hosts]]
count = 40
network = "{network}"
user = "scan"
account = "corp"
secret = "shared"
secret_name = "corp-scan"
fault = "none"
{slow}
"""


def _zone(world: World, net: Namespace, name: str, number: int) -> Zone:
    wire(world.core, net, f"to-{name}", f"10.77.{number}")
    own = world.directory / f"zone-{name}"
    own.mkdir()
    network = f"127.{39 + number}.0.0/16"
    (own / "estate.toml").write_text(_estate(network, number))
    command = [*net.prefix, sys.executable, "-m", "targets", str(own / "estate.toml"), "--state", str(own / "estate")]
    estate = Service(f"estate of {name}", command, own / "estate.log")
    estate.start()
    ready = json.loads(_line(estate, "{"))
    return Zone(name, number, net, estate, ready)


def _line(service: Service, start: str) -> str:
    """The first line of its log that begins so."""
    until = time.monotonic() + COMES_S
    while True:
        for line in service.log.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith(start):
                return line
        assert service.alive, service.log.read_text()
        assert time.monotonic() < until, service.log.read_text()
        time.sleep(0.05)


def _orchestrator(world: World, number: int) -> Service:
    state = world.state(number)
    if number > 1:
        _copy_fleet(world.state(1), state)
    command = world.command("serve", "--listen", "127.0.0.1:0", "--log-format", "json", number=number)
    service = Service(f"orchestrator {number}", command, world.directory / f"orchestrator-{number}.log")
    service.start()
    until = time.monotonic() + COMES_S
    while '"serving"' not in service.log.read_text():
        assert service.alive, service.log.read_text()
        assert time.monotonic() < until, service.log.read_text()
        time.sleep(0.05)
    return service


def _copy_fleet(source: Path, state: Path) -> None:
    """As the operator carries a fleet's keys to another orchestrator."""
    state.mkdir(mode=0o700)
    for name in ("fleet.json", "fleet.key"):
        (state / name).write_bytes((source / name).read_bytes())
        (state / name).chmod(0o600)


def _enrol(world: World, zone: Zone) -> None:
    invited = world.ask("fleet", "add", "--zone", zone.name, "--count", str(APPLIANCES))
    assert invited.code == 0, invited.stderr
    token = invited.stdout.strip()
    password = zone.ready["vault_password_file"]
    for number in range(1, APPLIANCES + 1):
        name = f"{zone.name}-{number}"
        file = world.directory / f"zone-{zone.name}" / f"{name}.toml"
        enrol = [str(KEYMUSTER), "appliance", "enroll", str(file), "--name", name, "--network", zone.network]
        done = subprocess.run([*zone.net.prefix, *enrol], input=token, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        enrolled = file.read_text().replace("capacity = 256", f"capacity = {CAPACITY}")
        file.write_text(enrolled + _vault(zone, f'{{ file = "{password}" }}'))
        serve = [*zone.net.prefix, str(KEYMUSTER), "appliance", "serve", str(file)]
        service = Service(f"appliance {name}", serve, file.with_suffix(".log"))
        service.start()
        zone.appliances.append(service)


def _vault(zone: Zone, password: str) -> str:
    return f"""
[[vaults]]
title = "Vault {zone.name}"
url = "{zone.ready["vault_url"]}"
user = "{zone.ready["vault_user"]}"
password = {password}
"""


def campaign(world: World, zones: Sequence[Zone]) -> Path:
    """Its file: all hosts of these zones."""
    parts, included = ['name = "chaos"\n'], list[str]()
    for zone in zones:
        parts.append(f'[[zones]]\nname = "{zone.name}"\nips = ["{zone.network}"]\n')
        parts.append(_vault(zone, '{ env = "KEYMUSTER_NOT_SET_HERE" }'))
        own, shared = (
            [host["address"] for host in zone.truth if (host["account"] == "local") is local] for local in (True, False)
        )
        included += own + shared
        for title, secret, accounts, part in (
            ("Own", "unix-{address}", "local", own),
            ("Corp", "corp-scan", f"corp-{zone.name}", shared),
        ):
            parts.append(
                f"""
[[records]]
title = "{title} {zone.name}"
technology = "unix"
user = "scan"
vault = "Vault {zone.name}"
secret = "{secret}"
accounts = "{accounts}"
port = {zone.ready["ssh_port"]}
ips = {json.dumps(part)}
"""
            )
    parts.append(f'[targets]\ninclude = {json.dumps(included)}\n[pace]\ndeadline = "8s"\n')
    file = world.directory / "campaign.toml"
    file.write_text("".join(parts), encoding="utf-8")
    return file
