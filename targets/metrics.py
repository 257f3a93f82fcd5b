"""What hosts and vault really saw, counted where it happened: the other side of every claim a run makes.

Counters begin when the estate comes up and are never reset: they are of all runs on it together.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from targets.directory import Accounts

USER_LIMIT = 64
"""Characters kept of a user name that a client claimed."""


@dataclass(frozen=True, slots=True)
class Logon:
    user: str
    ok: bool
    method: str
    """`password`, `keyboard-interactive`, `publickey` or `ntlmv2`; on the way to root `sudo` or `su`."""


@dataclass(slots=True)
class HostMetrics:
    connections: int = 0
    logons: list[Logon] = field(default_factory=list)
    commands: int = 0


@dataclass(slots=True)
class VaultMetrics:
    requests: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    """Answers by status code; a request whose client went away before its answer has none."""
    mangled: Counter[str] = field(default_factory=Counter)
    """Answers that came wrong, by how; they are in `answers` as what they would have been."""
    in_flight_peak: int = 0
    grants: int = 0
    failed_grants: int = 0
    """Grants that were refused, whoever was to blame."""
    searches: int = 0
    views: int = 0
    """Answers that carried a secret's values: whole secrets and single fields alike."""
    views_by_secret: Counter[str] = field(default_factory=Counter)
    field_reads: int = 0
    """Those of the views that were single fields (a private key is only to be had so)."""
    checkouts: int = 0
    checkins: int = 0
    """By whoever held the secret."""
    forced_checkins: int = 0
    automatic_checkins: int = 0
    password_changes: int = 0
    heartbeats: int = 0


class Metrics:
    def __init__(self, addresses: Iterable[str]) -> None:
        self.hosts = {address: HostMetrics() for address in addresses}
        """A row for every host of the estate, touched or not."""
        self.since = time.time()
        """Unix seconds; nobody has been let in before."""
        self.vault = VaultMetrics()
        self.open_connections = 0
        self.open_peak = 0
        self.strangers = 0
        """Connections that were dropped at accept: a peer off loopback, or an address that is no host."""

    def opened(self, address: str) -> None:
        self.hosts[address].connections += 1
        self.open_connections += 1
        self.open_peak = max(self.open_peak, self.open_connections)

    def closed(self) -> None:
        self.open_connections -= 1

    def logon(self, address: str, user: str, method: str, *, ok: bool) -> None:
        self.hosts[address].logons.append(Logon(user[:USER_LIMIT], ok, method))


def report(metrics: Metrics, accounts: Accounts) -> dict[str, Any]:
    """metrics.json: `since`, `hosts` by address, `accounts` by `user@authority`, `vault`, `ssh` (sums over all hosts).

    Of an account, `ok` and `failed` are logons by password as `directory` counts them, which is by the proof: an
    expired account's right password is `ok` though its host refuses it, a wrong one is `failed` though its host makes a
    guest of it. Keys are counted with the hosts' `logons` alone. `lockouts`: how often a directory has locked it.
    """
    logons = [logon for host in metrics.hosts.values() for logon in host.logons]
    ok = sum(logon.ok for logon in logons)
    return {
        "since": metrics.since,
        "hosts": {
            address: {
                "connections": host.connections,
                "logons": [asdict(logon) for logon in host.logons],
                "commands": host.commands,
            }
            for address, host in metrics.hosts.items()
        },
        "accounts": {
            f"{key.user}@{key.authority}": {
                "ok": seen.ok,
                "failed": seen.failed,
                "locked": accounts.locked(key),
                "lockouts": seen.lockouts,
            }
            for key, seen in accounts.records().items()
        },
        "ssh": {
            "connections": sum(host.connections for host in metrics.hosts.values()),
            "logons_ok": ok,
            "logons_failed": len(logons) - ok,
            "open": metrics.open_connections,
            "open_peak": metrics.open_peak,
            "strangers": metrics.strangers,
        },
        "vault": {column.name: getattr(metrics.vault, column.name) for column in fields(metrics.vault)},
    }
