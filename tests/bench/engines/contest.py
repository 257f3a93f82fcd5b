"""Clients that log in to the same hosts, by turns: what each costs, as medians over the rounds."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Protocol

from tests.bench.engines.measure import WARM, Host

ROOT = Path(__file__).parents[3]
CLIENT_S = 90


@dataclass(frozen=True, slots=True)
class Figure:
    logins: int
    seconds: float
    cpu: float
    """Seconds, user and system."""

    @property
    def ms(self) -> float:
        return self.cpu / self.logins * 1000

    @property
    def rate(self) -> float:
        return self.logins / self.seconds


class Absent(Exception):
    """A client that is not here, or does not log in; the text says why."""


class Client(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def hosts(self) -> int:
        """As many as it logs in to in one round."""
        ...

    def run(self, hosts: Sequence[Host]) -> Figure:
        """Raises Absent."""
        ...


@dataclass(frozen=True, slots=True)
class PythonClient:
    """A module of this directory, which measures itself: its start is not in the figure."""

    name: str
    module: str
    arguments: Sequence[object]
    hosts: int
    python: str = sys.executable

    def run(self, hosts: Sequence[Host]) -> Figure:
        if not Path(self.python).exists():
            raise Absent("not installed: tests/bench/peers.sh")
        command = [self.python, "-W", "ignore", "-m", f"tests.bench.engines.{self.module}", *map(str, self.arguments)]
        done = _run(command, "".join(f"{h.address} {h.user} {h.password}\n" for h in hosts))
        told = json.loads(done.stdout)
        return Figure(told["logins"], told["seconds"], told["cpu"])


@dataclass(frozen=True, slots=True)
class ProgramClient:
    """A program, measured from outside with all that it starts: its own start is in the figure."""

    name: str
    command: Callable[[Sequence[Host], Path], Sequence[str]]
    """Of hosts that share user and password, and an empty directory for its files."""
    found: Callable[[str], int]
    """Logins that its output tells of."""
    hosts: int
    environment: Mapping[str, str] = field(default_factory=dict)

    def run(self, hosts: Sequence[Host]) -> Figure:
        with tempfile.TemporaryDirectory(prefix="keymuster-bench-") as place:
            command = self.command(hosts, Path(place))
            before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
            done = _run(command, "", check=False, environment=self.environment)
            spent, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
        found = self.found(done.stdout)
        if found != len(hosts):
            told = (done.stderr or done.stdout).strip().splitlines()
            raise Absent(f"logged in to {found} of {len(hosts)}: {told[-1][:80] if told else 'it said nothing'}")
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return Figure(len(hosts), spent, cpu)


def _run(
    command: Sequence[str], text: str, *, check: bool = True, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    try:
        done = subprocess.run(
            command,
            input=text,
            capture_output=True,
            text=True,
            check=False,
            timeout=CLIENT_S,
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
        )
    except FileNotFoundError:
        raise Absent("not installed: tests/bench/peers.sh") from None
    except subprocess.TimeoutExpired:
        raise Absent(f"had not ended in {CLIENT_S} s") from None
    if check and done.returncode:
        raise Absent((done.stderr.strip().splitlines() or ["it said nothing"])[-1][:80])
    return done


@dataclass(frozen=True, slots=True)
class Standing:
    """What a client's rounds came to."""

    figures: Sequence[Figure]
    why: str = ""
    """Why there are none."""

    @property
    def ms(self) -> float:
        return median(f.ms for f in self.figures)

    @property
    def rate(self) -> float:
        return median(f.rate for f in self.figures)


def contest(clients: Sequence[Client], hosts: Sequence[Host], rounds: int) -> dict[str, Standing]:
    """By name. Each round runs every client once, in their order."""
    figures: dict[str, list[Figure]] = {client.name: [] for client in clients}
    absent: dict[str, str] = {}
    for _ in range(rounds):
        for client in clients:
            if client.name in absent:
                continue
            warm = WARM if isinstance(client, PythonClient) else 0
            try:
                figures[client.name].append(client.run(hosts[: client.hosts + warm]))
            except Absent as why:
                absent[client.name] = str(why)
    return {name: Standing(tuple(found), absent.get(name, "")) for name, found in figures.items()}
