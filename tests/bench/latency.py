"""`python -m tests.bench.latency [--hosts 10000] [--in-flight 1000] [--only ssh|smb|dialling]`: a campaign that waits.

Every login takes 0.5 to 5 s, spread over its phases; one host in twenty is silent until the deadline of 10 s. Printed
beside each run's time: its work divided by the places in flight, which no order of the targets can beat; and what is
left of that when the longest come as they come (a list schedule of the same durations), since nobody knows beforehand
which host is silent.

Memory is that of the scan processes (anonymous pages of their own): the most that they had with so many targets in
flight, less the most that they had with a tenth of them, by target. `dialling` is of hosts that take no connection and
refuse none. The estate is on the same cores.
"""

from __future__ import annotations

import argparse
import heapq
import json
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from orchestrator.cli.estate_files import read_truth
from orchestrator.cli.lab import campaign_text
from orchestrator.cli.own_processes import SCAN_PROCESS, own_family
from tests.acceptance.lab import running_lab
from tests.acceptance.product import KEYMUSTER
from tests.bench.processes import smaps_of

SHORTEST_S, LONGEST_S, DEADLINE_S, SILENT = 0.5, 5.0, 10.0, 0.05
ESTATE = """
seed = 11
[[hosts]]
count = {hosts}
network = "127.40.0.0/16"
technology = "{technology}"
faults = {{ none = 19, silent = 1 }}
latency = "{mean}s"
jitter = "{spread}s"
"""
PACE = """[pace]
retries = 0
deadline = "{deadline:g}s"
capacity = {places}
"""
DIALLED = """name = "dialling"
{vault}
[[records]]
title = "Hosts"
technology = "unix"
user = "scan"
vault = "Vault"
secret = "unix-{{address}}"
accounts = "local"
port = {port}
ips = {network}
[targets]
include = {network}
"""
COMMAND_S = 900
FEW = 200
"""Hosts at least: a run of fewer has fewer scan processes."""
POLL_S = 0.1
QUEUE = 8
"""More than a listener without a backlog lets wait."""
KIB_MOST = {"ssh": 64, "smb": 96, "dialling": 16}
WALL_MOST = 1.15


@dataclass(frozen=True, slots=True)
class Ran:
    seconds: float
    passed: int
    kib: int
    """The most anonymous memory that all scan processes had together."""


@dataclass(frozen=True, slots=True)
class Ideal:
    divided: float
    """Seconds: all durations together, divided by the places."""
    listed: float
    """Seconds: each duration in turn takes the first place that is free."""


def ideal(hosts: int, places: int) -> Ideal:
    draw = random.Random(11)  # noqa: S311 - durations, no secret
    durations = [draw.uniform(SHORTEST_S, LONGEST_S) for _ in range(hosts - round(SILENT * hosts))]
    durations += [DEADLINE_S] * (hosts - len(durations))
    draw.shuffle(durations)
    free = [0.0] * places
    for duration in durations:
        heapq.heapreplace(free, free[0] + duration)
    return Ideal(sum(durations) / places, max(free))


def run(home: Path, campaign: str, places: int) -> Ran:
    """Run a campaign, which has no pace yet, with so many places."""
    file = home / f"in-flight-{places}.toml"
    file.write_text(campaign + PACE.format(deadline=DEADLINE_S, places=places), encoding="utf-8")
    line = [str(KEYMUSTER), "run", str(file), "--state", str(home / "state"), "--json", "--no-progress"]
    most, until = 0, time.monotonic() + COMMAND_S
    with (
        tempfile.TemporaryFile("w+") as out,
        subprocess.Popen(line, stdout=out, stderr=subprocess.DEVNULL) as process,
    ):
        while process.poll() is None:
            if time.monotonic() > until:
                process.terminate()
                raise TimeoutError(f"the run took more than {COMMAND_S} s")
            scanners = [one.pid for one in own_family() if one.what == SCAN_PROCESS]
            most = max(most, sum(smaps_of(pid, "Anonymous") for pid in scanners))
            time.sleep(POLL_S)
        out.seek(0)
        document = json.load(out)
    totals = document["totals"]
    return Ran(document["prediction"]["actual"]["duration_s"], totals["passed"] + totals["passed_limited"], most)


def growth(home: Path, few: str, many: str, places: int) -> tuple[Ran, float]:
    """The run of many hosts with all places, and KiB for each target in flight."""
    less = run(home, few, places // 10)
    more = run(home, many, places)
    return more, (more.kib - less.kib) / (places - places // 10)


def within(figure: float, most: float) -> str:
    return "met" if figure <= most else "NOT met"


def kib_row(what: str, kib: float) -> str:
    return f"{kib:.0f} KiB a target in flight (at most {KIB_MOST[what]}: {within(kib, KIB_MOST[what])})"


def waiting(what: str, technology: str, hosts: int, places: int) -> str:
    with tempfile.TemporaryDirectory(prefix="keymuster-latency-") as place:
        home = Path(place)
        mean, spread = (SHORTEST_S + LONGEST_S) / 2, (LONGEST_S - SHORTEST_S) / 2
        text = ESTATE.format(hosts=hosts, technology=technology, mean=mean, spread=spread)
        with running_lab(home, text) as lab:

            def campaign(share: int) -> str:
                truth = read_truth(Path(lab.ready["truth"]))[:share]
                return campaign_text(lab.ready, truth, name=what).partition("[pace]")[0]

            ran, kib = growth(home, campaign(max(hosts // 10, FEW)), campaign(hosts), places)
    best = ideal(hosts, places)
    ratio = ran.seconds / best.divided
    return (
        f"{what}: {hosts:,} hosts, {places:,} in flight: {ran.seconds:.1f} s, {ran.passed:,} passed; x {ratio:.2f} of "
        f"work / places ({best.divided:.1f} s; at most {WALL_MOST}: {within(ratio, WALL_MOST)}), "
        f"x {ran.seconds / best.listed:.2f} of a list schedule ({best.listed:.1f} s); {kib_row(what, kib)}"
    )


@contextmanager
def unanswered() -> Iterator[int]:
    """A port of every loopback address whose queue of connections is full: the kernel answers no further one."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("0.0.0.0", 0))  # noqa: S104 - hosts are 127.0.0.0/8, and nothing is ever accepted
        listener.listen(0)
        port = int(listener.getsockname()[1])
        for _ in range(QUEUE):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        time.sleep(1.0)
        yield port


def dialling(hosts: int, places: int) -> str:
    with (
        tempfile.TemporaryDirectory(prefix="keymuster-latency-") as place,
        running_lab(Path(place), "seed = 1\n[[hosts]]\ncount = 1\n") as lab,
        unanswered() as port,
    ):

        def campaign(count: int) -> str:
            listed = [str(IPv4Address("127.48.0.0") + number) for number in range(1, count + 1)]
            return DIALLED.format(vault=lab.vault_table(), port=port, network=json.dumps(listed))

        ran, kib = growth(Path(place), campaign(max(places // 10, FEW)), campaign(hosts), places)
    return f"dialling: {hosts:,} hosts, {places:,} in flight: {ran.seconds:.1f} s; {kib_row('dialling', kib)}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hosts", type=int, default=10_000)
    parser.add_argument("--in-flight", type=int, default=1000)
    parser.add_argument("--only", choices=list(KIB_MOST), action="append")
    given = parser.parse_args()
    rows: dict[str, Callable[[], str]] = {
        "ssh": lambda: waiting("ssh", "unix", given.hosts, given.in_flight),
        "smb": lambda: waiting("smb", "windows", given.hosts, given.in_flight),
        "dialling": lambda: dialling(2 * given.in_flight, given.in_flight),
    }
    for name in given.only or rows:
        print(rows[name](), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
