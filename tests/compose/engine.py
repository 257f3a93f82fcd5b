"""The engine that `run.sh` has started, and the lab of docker-compose.yml on it, as a user's commands see them."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
LAB = str(ROOT / "deploy" / "compose" / "lab.sh")
PROJECT = os.environ.get("COMPOSE_PROJECT_NAME", "kmtest")
SECRETS = Path(os.environ.get("KEYMUSTER_SECRETS", "secrets"))
IMAGES = ("KEYMUSTER_IMAGE", "KEYMUSTER_LAB_IMAGE")


def said(*line: str, wait: float = 120, check: bool = True) -> str:
    """What a command prints."""
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=wait, cwd=ROOT)
    assert not check or done.returncode == 0, f"{line}: {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def docker(*arguments: str, wait: float = 120, check: bool = True) -> str:
    return said("docker", *arguments, wait=wait, check=check)


@dataclass(frozen=True, slots=True)
class Container:
    id: str
    service: str

    @property
    def document(self) -> dict[str, Any]:
        return dict(json.loads(docker("inspect", self.id))[0])

    @property
    def healthy(self) -> bool:
        return bool(self.document["State"]["Health"]["Status"] == "healthy")

    @property
    def first_process(self) -> bytes:
        """Environment and command line of its process 1, as only root on the engine's machine may read them."""
        process = Path("/proc") / str(self.document["State"]["Pid"])
        return (process / "environ").read_bytes() + (process / "cmdline").read_bytes()

    def run(self, *line: str, check: bool = True, user: str = "") -> str:
        return docker("exec", *(["--user", user] if user else []), self.id, *line, check=check)

    def python(self, code: str, *arguments: str) -> str:
        return self.run("python", "-c", code, *arguments).strip()


def containers(*services: str) -> list[Container]:
    """All that run, or those of these services."""
    label = "com.docker.compose.service"
    line = docker(
        "ps",
        "--filter",
        f"label=com.docker.compose.project={PROJECT}",
        "--format",
        f'{{{{.ID}}}} {{{{.Label "{label}"}}}}',
    )
    found = [Container(*row.split(" ")) for row in line.splitlines()]
    return [one for one in found if not services or one.service in services]


def container(service: str) -> Container:
    (one,) = containers(service)
    return one


def keymuster(*arguments: str, wait: float = 300, check: bool = True) -> str:
    return docker("exec", container("orchestrator").id, "keymuster", *arguments, wait=wait, check=check)


def until(condition: Callable[[], bool], what: str, within: float = 90) -> None:
    end = time.monotonic() + within
    while not condition():
        assert time.monotonic() < end, f"{what}: not within {within:g} s"
        time.sleep(0.2)


def streams(nats: Container) -> Mapping[str, int]:
    """Replicas of each stream that a server of the bus knows."""
    page = "http://127.0.0.1:8222/jsz?streams=1&config=1&accounts=1"
    code = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=5).read().decode())"
    accounts = json.loads(nats.python(code, page)).get("account_details", ())
    found = (stream for account in accounts for stream in account.get("stream_detail", ()))
    return {stream["name"]: stream["config"]["num_replicas"] for stream in found}
