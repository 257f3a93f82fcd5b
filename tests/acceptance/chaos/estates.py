"""A simulated estate in a process of its own, what it saw, and the campaign over it."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.acceptance.lab import serving_estate

ROOT = Path(__file__).parents[3]
HOSTS = 500
HELD = 'latency = "1500ms"'
"""A line of `hosts`: a login takes so much longer, whatever the machine. An appliance has 256 at once: when it has done
its first hundred of 500 it is in the middle for more than a second, however quick it is otherwise.
"""
PACED = 'latency = "150ms"'
"""The same where few are let in at once."""
AMPLE, LOST = "30s", "10s"
"""Deadlines that hundreds of good hosts meet beside other work. What is lost with whoever had it is waited for that
long before it is done again.
"""
RANGE = "127.40.0.1-127.40.1.244"
"""500 addresses, as the estate deals them out of its network."""


@dataclass(frozen=True, slots=True)
class Estate:
    directory: Path
    pid: int
    ready: dict[str, Any]

    def metrics(self) -> dict[str, Any]:
        with urllib.request.urlopen(self.ready["metrics_url"], timeout=20) as answer:  # noqa: S310 - our own loopback URL
            return dict(json.load(answer))

    @property
    def truth(self) -> list[dict[str, Any]]:
        """What is true of each host."""
        return [json.loads(line) for line in Path(self.ready["truth"]).read_text(encoding="utf-8").splitlines()]

    def logons(self) -> int:
        """Passwords that the hosts have judged, right or wrong."""
        seen = self.metrics()["ssh"]
        return int(seen["logons_ok"] + seen["logons_failed"])

    def vault_requests(self) -> int:
        """That have come so far, answered or not."""
        return int(self.metrics()["vault"]["requests"])

    def most_logons_on_a_host(self) -> int:
        return max(len(host["logons"]) for host in self.metrics()["hosts"].values())

    def vault_faults(self, *names: str) -> None:
        self._order("faults", {"vault": names})

    def rotate(self, secret: str, where: str) -> None:
        self._order("rotate", {"secret": secret, "where": where})

    def security(self, secret: str, **settings: Any) -> None:
        """What stands before a secret from now on, as in an estate file."""
        self._order("security", {"secret": secret, "security": settings})

    def _order(self, what: str, body: dict[str, Any]) -> None:
        request = urllib.request.Request(  # noqa: S310 - our own loopback URL
            f"{self.ready['control_url']}/{what}", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310 - as above
            assert answer.status == 200

    def campaign(self, *, record: str, pace: str = "", vault: str = "", deadline: str = "5s") -> Path:
        """Its file. `record`, `pace` and `vault` are lines of those tables; `deadline` is an attempt's."""
        ready = self.ready
        file = self.directory / "campaign.toml"
        file.write_text(
            f"""\
name = "chaos"

[[vaults]]
title = "Vault"
type = "Thycotic Secret Server"
url = "{ready["vault_url"]}"
user = "{ready["vault_user"]}"
password = {{ file = "{ready["vault_password_file"]}" }}
{vault}

[[records]]
title = "Unix hosts"
technology = "unix"
login_type = "vault"
user = "scan"
vault = "Vault"
port = {ready["ssh_port"]}
ips = ["{RANGE}"]
{record}

[targets]
include = ["{RANGE}"]

[pace]
deadline = "{deadline}"
{pace}
""",
            encoding="utf-8",
        )
        return file


@contextmanager
def estate(directory: Path, hosts: str, vault: str = "") -> Iterator[Estate]:
    """500 hosts on the addresses of RANGE; `hosts` and `vault` are lines of those tables."""
    file = directory / "estate.toml"
    file.write_text(
        f"""\
seed = 11
[vault]
{vault}
[[hosts]]
count = {HOSTS}
network = "127.40.0.0/16"
user = "scan"
{hosts}
""",
        encoding="utf-8",
    )
    with serving_estate(file, directory / "estate") as (pid, ready):
        yield Estate(directory, pid, ready)
