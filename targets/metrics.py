"""What hosts and vault really saw, counted where it happened: the other side of every claim a run makes.

Counters begin when the estate comes up and are never reset: they are of all runs on it together. A host that nobody
has met has no row of its own. Where shard processes serve the hosts, each counts its own; `Tally` is how a process
tells another what it has counted.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from targets.directory import Accounts

USER_LIMIT = 64
"""Characters kept of a user name that a client claimed."""
LOGONS_KEPT = 256
"""The latest logons of a host that are kept one by one; all of them are counted."""


@dataclass(frozen=True, slots=True)
class Logon:
    user: str
    ok: bool
    method: str
    """`password`, `keyboard-interactive`, `publickey` or `ntlmv2`; on the way to root `sudo` or `su`."""


@dataclass(slots=True)
class HostMetrics:
    connections: int = 0
    commands: int = 0
    logons_ok: int = 0
    logons_failed: int = 0
    latest: deque[Logon] = field(default_factory=lambda: deque(maxlen=LOGONS_KEPT))

    @property
    def logons(self) -> list[Logon]:
        """The latest ones, oldest first."""
        return list(self.latest)


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


class _Rows(dict[str, HostMetrics]):
    """A row comes to be when it is first asked for."""

    def __missing__(self, address: str) -> HostMetrics:
        return self.setdefault(address, HostMetrics())


class Metrics:
    def __init__(self) -> None:
        self.hosts: dict[str, HostMetrics] = _Rows()
        """By address, of hosts that somebody has met."""
        self.since = time.time()
        """Unix seconds; nobody has been let in before."""
        self.vault = VaultMetrics()
        self.open_connections = 0
        self.open_peak = 0
        self.strangers = 0
        """Connections that were dropped at accept: a peer off loopback, or an address that is no host."""
        self.at_first_logon: Callable[[], object] | None = None
        """Called once, at the first logon there is."""

    def opened(self, address: str) -> None:
        self.hosts[address].connections += 1
        self.open_connections += 1
        self.open_peak = max(self.open_peak, self.open_connections)

    def closed(self) -> None:
        self.open_connections -= 1

    def logon(self, address: str, user: str, method: str, *, ok: bool) -> None:
        row = self.hosts[address]
        row.logons_ok += ok
        row.logons_failed += not ok
        row.latest.append(Logon(user[:USER_LIMIT], ok, method))
        self.has_logon()

    def has_logon(self) -> None:
        """There is one, here or in another process."""
        if self.at_first_logon is not None:
            told, self.at_first_logon = self.at_first_logon, None
            told()


@dataclass(frozen=True, slots=True)
class Tally:
    """What one process has counted of the hosts that it serves; all of it goes through JSON."""

    hosts: dict[str, dict[str, Any]]
    accounts: dict[str, dict[str, Any]]
    """By `user@authority`."""
    open: int
    open_peak: int
    strangers: int


def tally(metrics: Metrics, accounts: Accounts) -> Tally:
    return Tally(
        {
            address: {
                "connections": host.connections,
                "logons": [asdict(logon) for logon in host.latest],
                "logons_ok": host.logons_ok,
                "logons_failed": host.logons_failed,
                "commands": host.commands,
            }
            for address, host in metrics.hosts.items()
        },
        {
            f"{key.user}@{key.authority}": {
                "ok": seen.ok,
                "failed": seen.failed,
                "locked": accounts.locked(key),
                "lockouts": seen.lockouts,
            }
            for key, seen in accounts.records().items()
        },
        metrics.open_connections,
        metrics.open_peak,
        metrics.strangers,
    )


_UNMET: Mapping[str, Any] = {"connections": 0, "logons": [], "logons_ok": 0, "logons_failed": 0, "commands": 0}


def report(metrics: Metrics, addresses: Iterable[str], tallies: Sequence[Tally]) -> dict[str, Any]:
    """metrics.json: `since`, `hosts` by address (each of `addresses`, met or not), `accounts` by `user@authority`,
    `vault`, `ssh` (sums over all hosts; `open_peak` is the sum of what each process has seen at most).

    Of an account, `ok` and `failed` are logons by password as `directory` counts them, which is by the proof: an
    expired account's right password is `ok` though its host refuses it, a wrong one is `failed` though its host makes a
    guest of it. Keys are counted with the hosts' `logons` alone. `lockouts`: how often a directory has locked it.
    """
    hosts: dict[str, Mapping[str, Any]] = dict.fromkeys(addresses, _UNMET)
    accounts: dict[str, Any] = {}
    for one in tallies:
        hosts.update(one.hosts)
        accounts.update(one.accounts)
    return {
        "since": metrics.since,
        "hosts": hosts,
        "accounts": accounts,
        "ssh": {
            "connections": sum(host["connections"] for host in hosts.values()),
            "logons_ok": sum(host["logons_ok"] for host in hosts.values()),
            "logons_failed": sum(host["logons_failed"] for host in hosts.values()),
            "open": sum(one.open for one in tallies),
            "open_peak": sum(one.open_peak for one in tallies),
            "strangers": sum(one.strangers for one in tallies),
        },
        "vault": {column.name: getattr(metrics.vault, column.name) for column in fields(metrics.vault)},
    }
