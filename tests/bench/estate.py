"""`python -m tests.bench.estate [--hosts 65536]`: how soon a large estate is up, its memory, and what a login costs it.

Logins are by bare asyncssh and impacket in as many client processes as there are cores, on the machine of the servers:
of the rates, compare those of one run; the CPU of a login is the servers' alone. Rounds take turns with the shards.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from targets import estate, spec
from tests.acceptance.lab import ROOT
from tests.bench.processes import cpu_of, family, smaps_of

TEXT = """
seed = 7
[[hosts]]
count = {unix}
network = "127.16.0.0/16"
[[hosts]]
count = {windows}
technology = "windows"
network = "127.17.0.0/16"
account = "CORP"
user = "svc"
secret = "shared"
"""
"""SSH hosts judge by themselves, SMB hosts ask the directory, which is the hub's."""
CLIENTS_S = 300


@dataclass(frozen=True, slots=True)
class Figures:
    ready_s: float
    mib: float
    """Proportional set size, when it is up."""
    mib_after: float
    rates: dict[str, float]
    """Logins per second, by protocol."""
    cpu_ms: dict[str, float]
    """Of the servers, for a login."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hosts", type=int, default=65536)
    parser.add_argument("--logins", type=int, default=1000, help="by each protocol, in each round")
    parser.add_argument("--shards", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rounds", type=int, default=2)
    given = parser.parse_args()
    text = TEXT.format(unix=given.hosts // 2, windows=given.hosts - given.hosts // 2)
    what = estate.build(spec.parse(text))
    seen: defaultdict[int, list[Figures]] = defaultdict(list)
    for _ in range(given.rounds):
        for shards in given.shards:
            seen[shards].append(measured(text, what, shards, given.logins))
    print(f"{given.hosts:,} hosts, {os.cpu_count()} cores, medians of {given.rounds} rounds")
    for shards, figures in seen.items():
        print(row(shards, figures))
    return 0


def row(shards: int, figures: Sequence[Figures]) -> str:
    def median(values: Iterator[float]) -> float:
        return statistics.median(values)

    text = f"{shards} shards: up after {median(f.ready_s for f in figures):4.1f} s"
    text += f", {median(f.mib for f in figures):4.0f} MiB, then {median(f.mib_after for f in figures):4.0f}"
    for protocol in ("ssh", "smb"):
        rate, cpu = (median(getattr(f, name)[protocol] for f in figures) for name in ("rates", "cpu_ms"))
        text += f"; {protocol} {rate:4.0f} logins/s, {cpu:5.2f} ms CPU each"
    return text


def measured(text: str, what: estate.Estate, shards: int, logins: int) -> Figures:
    with tempfile.TemporaryDirectory(prefix="keymuster-bench-") as home:
        file = Path(home) / "estate.toml"
        file.write_text(text, encoding="utf-8")
        command = [sys.executable, "-m", "targets", str(file), "--state", f"{home}/lab", "--shards", str(shards)]
        began = time.monotonic()
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as lab:
            try:
                assert lab.stdout is not None
                ready = json.loads(lab.stdout.readline())
                ready_s, mib = time.monotonic() - began, pss_mib(lab.pid)
                rates, cpu = {}, {}
                for protocol, technology in (("ssh", "unix"), ("smb", "windows")):
                    before = sum(map(cpu_of, family(lab.pid)))
                    rates[protocol] = driven(protocol, ready, hosts_of(what, technology, logins))
                    cpu[protocol] = (sum(map(cpu_of, family(lab.pid))) - before) / logins * 1000
                return Figures(ready_s, mib, pss_mib(lab.pid), rates, cpu)
            finally:
                lab.terminate()


def hosts_of(what: estate.Estate, technology: str, number: int) -> list[str]:
    """Spread over the whole estate: `address user password`."""
    all_of_them = [host for host in what.hosts.values() if host.technology == technology]
    chosen = [all_of_them[n * len(all_of_them) // number] for n in range(number)]
    return [f"{host.address} {host.user} {what.accounts[host.account_key].password}\n" for host in chosen]


def driven(protocol: str, ready: dict[str, Any], hosts: Sequence[str]) -> float:
    """Logins per second, by all clients together."""
    clients = os.cpu_count() or 1
    command = [sys.executable, "-m", "tests.bench.bare", protocol, str(ready[f"{protocol}_port"])]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    running = [subprocess.Popen(command, cwd=ROOT, **pipes) for _ in range(clients)]
    for number, client in enumerate(running):
        assert client.stdin is not None
        client.stdin.write("".join(hosts[number::clients]))
        client.stdin.close()
        client.stdin = None
    said = [client.communicate(timeout=CLIENTS_S)[0].split() for client in running]
    return sum(int(logins) / float(seconds) for logins, seconds, _ in said)


def pss_mib(pid: int) -> float:
    """Of a process and its descendants, each shared page once."""
    return sum(smaps_of(each, "Pss") for each in family(pid)) / 1024


if __name__ == "__main__":
    sys.exit(main())
