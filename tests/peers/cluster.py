"""Real nats-servers that are one cluster, three as a rule: each can die, freeze, come back, and have its disk filled.

Where we may mount any, each has its store in a small file system of its own, a tmpfs in a private mount namespace,
which can be filled and leaves nothing behind.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

NODES = 3
READY_S = 30.0
HTTP_S = 5
DISK = "192m"
FILLING = "filling"

Inside = Callable[[Callable[[], Any]], Any]
"""Calls a function where the nodes' addresses can be reached."""


@dataclass(slots=True)
class Node:
    name: str
    host: str
    port: int
    route: int
    monitor: int
    directory: Path
    prefix: Sequence[str]
    """What enters its network namespace; empty for ours."""
    process: subprocess.Popen[bytes] | None = None
    _disk: subprocess.Popen[bytes] | None = None
    """Keeps the namespace in which its store is mounted, whether the server is up or not."""

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def pid(self) -> int:
        """Of the server itself: what enters the namespaces becomes it."""
        assert self.process is not None
        return self.process.pid

    @property
    def store(self) -> Path:
        """As we can reach it, whether the server is up or not."""
        return Path(f"/proc/{self._disk.pid}/root{self._stored}") if self._disk is not None else self._stored

    @property
    def _stored(self) -> Path:
        return self.directory / "store"

    def start(self) -> None:
        self._stored.mkdir(exist_ok=True)
        if _mounts() and self._disk is None:
            self._disk = self._mount()
        binary = Path(sys.executable).parent / "nats-server"
        server = [str(binary), "-c", str(self.directory / "nats.conf")]
        if self._disk is not None:
            server = ["nsenter", f"--mount=/proc/{self._disk.pid}/ns/mnt", "--", *server]
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*self.prefix, *server],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd=self.directory,
            )

    def _mount(self) -> subprocess.Popen[bytes]:
        mount = f'mount -t tmpfs -o size={DISK} none "{self._stored}" && echo mounted && exec cat'
        command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", mount]
        keeper = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
        assert keeper.stdout is not None
        assert keeper.stdout.readline() == b"mounted\n"
        return keeper

    def signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def kill(self) -> None:
        """The server; what it has stored stays."""
        if self.process is not None:
            self.signal(signal.SIGKILL)
            self.process.wait()

    def wipe(self) -> None:
        """Of one that is down."""
        for path in self.store.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def end(self) -> None:
        self.kill()
        if self._disk is not None:
            self._disk.communicate()
            self._disk = None

    def fill_disk(self) -> None:
        """Until nothing more fits."""
        with suppress(OSError), (self.store / FILLING).open("wb") as file:
            while True:
                file.write(b"\0" * 65536)
                file.flush()

    def free_disk(self) -> None:
        with suppress(OSError):
            (self.store / FILLING).unlink()

    def asks(self, page: str) -> dict[str, Any]:
        """Raises OSError."""
        url = f"http://{self.host}:{self.monitor}/{page}"
        with urllib.request.urlopen(url, timeout=HTTP_S) as answer:
            return dict(json.load(answer))


@dataclass(slots=True)
class Cluster:
    nodes: list[Node] = field(default_factory=list)
    inside: Inside = lambda call: call()
    scheme: str = "nats"

    @property
    def url(self) -> str:
        return ",".join(f"{self.scheme}://{node.host}:{node.port}" for node in self.nodes)

    @property
    def up(self) -> list[Node]:
        return [node for node in self.nodes if node.alive]

    def ready(self) -> bool:
        """Do all that are up know a leader?"""
        return all(_told(self.inside, node, "jsz").get("meta_cluster", {}).get("leader") for node in self.up)

    def wait_ready(self) -> None:
        until = time.monotonic() + READY_S
        while not self.ready():
            assert all(node.alive for node in self.nodes), "a server ended at once: its port is taken"
            assert time.monotonic() < until, "".join((node.directory / "log").read_text() for node in self.nodes)
            time.sleep(0.1)

    def streams(self) -> dict[str, dict[str, Any]]:
        """Configuration and state by name, with the copies as their leader sees them, as far as somebody tells."""
        found: dict[str, dict[str, Any]] = {}
        for node in self.up:
            for account in _told(self.inside, node, "jsz?streams=true&config=true").get("account_details", ()):
                for stream in account.get("stream_detail", ()):
                    if stream.get("cluster", {}).get("leader") == node.name or stream["name"] not in found:
                        found[stream["name"]] = stream
        return found

    def copies(self, stream: str) -> int:
        """How many there are to be of a stream; 0 for one that nobody knows."""
        return int(self.streams().get(stream, {}).get("config", {}).get("num_replicas", 0))

    def leader(self, stream: str) -> Node | None:
        """The node that leads it just now."""
        name = self.streams().get(stream, {}).get("cluster", {}).get("leader")
        return next((node for node in self.up if node.name == name), None)


@contextmanager
def running_cluster(
    directory: Path,
    configuration: str = "",
    *,
    hosts: Sequence[str] = ("127.0.0.1",) * NODES,
    prefix: Sequence[str] = (),
    inside: Inside = lambda call: call(),
    scheme: str = "nats",
    ports: int | None = None,
) -> Iterator[Cluster]:
    """Until the context is left. `configuration`: lines for every server; `ports`: where each listens, and two above,
    where the hosts are addresses of the test's own; else free ones.
    """
    free = _free_ports(3 * len(hosts))
    drawn = [(ports, ports + 1, ports + 2) if ports else (next(free), next(free), next(free)) for _ in hosts]
    routes = [f"nats://{host}:{route}" for host, (_, route, _) in zip(hosts, drawn, strict=True)]
    cluster = Cluster(inside=inside, scheme=scheme)
    for number, (host, (port, route, monitor)) in enumerate(zip(hosts, drawn, strict=True), 1):
        own = directory / f"nats-{number}"
        own.mkdir()
        (own / "nats.conf").write_text(
            f'server_name: "n{number}"\nhost: "{host}"\nport: {port}\nhttp: "{host}:{monitor}"\n'
            f'jetstream {{ store_dir: "{own / "store"}" }}\n'
            f'cluster {{ name: "test", listen: "{host}:{route}", routes: {json.dumps(routes)} }}\n{configuration}'
        )
        cluster.nodes.append(Node(f"n{number}", host, port, route, monitor, own, prefix))
    try:
        for node in cluster.nodes:
            node.start()
        cluster.wait_ready()
        yield cluster
    finally:
        for node in cluster.nodes:
            node.end()


def _free_ports(count: int) -> Iterator[int]:
    """All taken at once: one at a time, the kernel may give the same twice."""
    with ExitStack() as probes:
        taken = [probes.enter_context(socket.socket()) for _ in range(count)]
        for probe in taken:
            probe.bind(("127.0.0.1", 0))
        numbers = [int(probe.getsockname()[1]) for probe in taken]
    return iter(numbers)


def _told(inside: Inside, node: Node, page: str) -> dict[str, Any]:
    """Empty for one that does not answer."""
    try:
        return dict(inside(lambda: node.asks(page)))
    except (OSError, urllib.error.URLError, ValueError):
        return {}


def _mounts() -> bool:
    return os.geteuid() == 0 and sys.platform == "linux"
