"""`python -m tests.bench.vault_clients`: credentials fetched by our client, by python-tss-sdk, and the bare GET.

All three ask the same simulated vault in one run, one after the other, from processes of their own; the vault has one
too, and shares the machine with them: its own work bounds every rate, so the CPU per fetch is the truer figure. The
floors are for https, the only way to a vault beyond loopback; plain http shows the same without what TLS costs all.
Exit code 1 where a floor is missed, or where memory grows with the number of fetches.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.peers.environments import ROOT
from tests.peers.vault_clients import installed, served_vault

ESTATE = """
seed = 8
[[secrets]]
name = "windows-{n}"
template = "windows"
user = "scan"
count = 200
"""
AT_ONCE = 32
ROUNDS = 3
COMMAND_S = 900
SDK_FLOOR = 10.0
"""We must fetch so many times as much as the SDK per CPU second."""
BARE_CEILING = 1.5
"""A fetch may cost so many times the CPU of its bare GET."""
GROWTH_MIB = 2.0
"""Between the first step and the last; an allocator's own drift is less."""


@dataclass(frozen=True, slots=True)
class Figure:
    fetches: int
    seconds: float
    cpu: float
    resident: float

    @property
    def rate(self) -> float:
        return self.fetches / self.seconds

    @property
    def each(self) -> float:
        """Milliseconds of CPU per fetch."""
        return self.cpu / self.fetches * 1000

    def row(self, name: str) -> str:
        return f"{name:34} {self.rate:8.0f} fetches/s {self.each:8.3f} ms CPU a fetch"


def asked(command: list[str], order: dict[str, Any], ca: str = "") -> list[Figure]:
    """`ca`: a file, for a client that learns of it by requests' own variable."""
    done = subprocess.run(
        command,
        input=json.dumps(order),
        cwd=ROOT,
        env={**os.environ, **({"REQUESTS_CA_BUNDLE": ca} if ca else {})},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=COMMAND_S,
    )
    lines = [line.split() for line in done.stdout.splitlines()]
    return [Figure(int(n), float(seconds), float(cpu), float(mib)) for n, seconds, cpu, mib in lines]


def ours(who: str) -> list[str]:
    return [sys.executable, "-m", "tests.bench.vault_fetch", who]


def middle(figures: list[Figure]) -> Figure:
    """The one with the median CPU."""
    wanted = statistics.median_low(f.cpu / f.fetches for f in figures)
    return next(f for f in figures if f.cpu / f.fetches == wanted)


def compare(order: dict[str, Any], fetches: int, ca: str) -> bool:
    sdk_python = str(installed().bin / "python")
    few = {**order, "fetches": fetches // 10, "step": fetches // 10}
    many = {**order, "fetches": fetches, "step": fetches}
    rounds: dict[str, list[Figure]] = {"sdk": [], "aiohttp": [], "keymuster": []}
    for _ in range(ROUNDS):  # in turns, so that a busy machine is busy for all
        rounds["sdk"] += asked([sdk_python, "tests/bench/sdk_fetch.py"], few, ca)
        rounds["aiohttp"] += asked(ours("aiohttp"), many)
        rounds["keymuster"] += asked(ours("keymuster"), many)
    how = "https" if ca else "http"
    sdk, bare, mine = (middle(rounds[who]) for who in ("sdk", "aiohttp", "keymuster"))
    print(mine.row(f"Keymuster, {how}"))
    for name, other in (("aiohttp's bare GET", bare), ("python-tss-sdk, threads", sdk)):
        rate, cpu = mine.rate / other.rate, mine.each / other.each
        print(f"{other.row(f'{name}, {how}')}   Keymuster: {rate:.2f}x its rate, {cpu:.2f}x its CPU", flush=True)
    return not ca or (mine.each <= BARE_CEILING * bare.each and SDK_FLOOR * mine.each <= sdk.each)


def memory(order: dict[str, Any], fetches: int) -> bool:
    figures = asked(ours("keymuster"), {**order, "fetches": fetches, "step": fetches // 10})
    print("resident MiB after fetches: " + ", ".join(f"{f.fetches:,}: {f.resident:.1f}" for f in figures))
    return figures[-1].resident - figures[0].resident <= GROWTH_MIB


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fetches", type=int, default=5000, help="per client and round (the SDK: a tenth)")
    parser.add_argument("--memory", type=int, default=100_000, help="fetches over which memory must stay flat; 0: none")
    given = parser.parse_args()
    print(f"{os.cpu_count()} cores, shared with the vault; {AT_ONCE} at once, median of {ROUNDS} rounds", flush=True)
    kept = True
    for tls in (False, True):
        with (
            tempfile.TemporaryDirectory(prefix="keymuster-bench-") as home,
            served_vault(Path(home), ESTATE, tls=tls) as ready,
        ):
            order = {
                "url": ready["url"],
                "user": ready["user"],
                "password": Path(ready["password_file"]).read_text(encoding="utf-8"),
                "ca": Path(ready["ca"]).read_text(encoding="utf-8") if tls else "",
                "ids": list(range(1, 201)),
                "at_once": AT_ONCE,
            }
            kept &= compare(order, given.fetches, ready["ca"] if tls else "")
            if given.memory and not tls:
                kept &= memory(order, given.memory)
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
