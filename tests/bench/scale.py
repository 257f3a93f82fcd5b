"""`python -m tests.bench.scale`: what a target costs beside its login, and whether that depends on how many there are.

The whole product runs (orchestrator with its SQLite store, nats-server, an appliance's supervisor and two scan
processes), pacing included: every target has an account of its own. Dialling, logins and the vault's source answer at
once. What that leaves out: connections, cryptography, the vault's HTTP, its tokens and the check of the vault before a
run; failures, retries and reports are not there either. And it crowds: with every scan at the same step messages hold
more than with real logins, which end one after another.

CPU is user and system time by process, from a tenth of the targets to nine tenths, so that start-up is not in it. The
orchestrator's includes the store. A scan process is replaced after 10,000 targets, which is in the appliance's figure.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from random import Random
from typing import Any

import anyio

from appliance.contract import OK, Account, Evidence, Phase, Target, Technology
from appliance.reasons import Status
from orchestrator.addresses import AddressSet
from orchestrator.assembly import Prepared, Selection, prepare
from orchestrator.campaign_model import Campaign
from orchestrator.permit_ledger import EntryKind, LedgerEntry
from orchestrator.store import AttemptRow, JobRow, RunRecord, RunState, Settled, open_store
from tests.bench.scale_run import campaign_of

SIZES = (1_000, 10_000, 100_000)
MILLION = 1_000_000
RUN_S = 3600
CPU_MS, GROWTH, PLAN_US, START_S, TWO_PROCESSES = 0.25, 1.10, 5.0, 1.0, 1.8
EXCLUSIONS = 100_000
LOGIN_MS, LOGINS = 5.0, 2_000
COMMITS, ROWS = 1_000, 20_000


@dataclass(frozen=True, slots=True)
class Steady:
    """A run between two of its samples."""

    targets: int
    orchestrator: float
    nats: float
    appliance: float
    """Milliseconds of CPU per target."""
    rate: float
    rss_first: int
    rss_last: int
    """KiB."""

    @property
    def ours(self) -> float:
        return self.orchestrator + self.nats


def steady(measured: dict[str, Any]) -> Steady:
    samples, targets = measured["samples"], measured["targets"]
    first = next(s for s in samples if s["done"] >= targets / 10)
    last = next(s for s in samples if s["done"] >= targets * 9 / 10)
    if last["done"] == first["done"]:  # a run that is over between two samples
        first, last = samples[0], samples[-1]
    done = last["done"] - first["done"]
    each = {name: (last[name] - first[name]) / done * 1000 for name in ("orchestrator", "nats", "appliance")}
    return Steady(targets, **each, rate=done / (last["at"] - first["at"]), rss_first=first["rss"], rss_last=last["rss"])


def run(targets: int, *options: str, login_ms: float = 0.0) -> Steady:
    command = [sys.executable, "-m", "tests.bench.scale_run", "--targets", str(targets), *options]
    environment = {**os.environ, "LOGIN_CPU_MS": str(login_ms)}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=RUN_S, env=environment)
    return steady(json.loads(done.stdout.splitlines()[-1]))


def verdict(*, met: bool, target: str) -> str:
    return f"target {target}: {'met' if met else 'NOT met'}"


def costs(sizes: list[int]) -> None:
    print("targets     orchestrator+store   nats   together   appliance   targets/s   RSS of the orchestrator")
    found = []
    for size in sizes:
        one = run(size)
        found.append(one)
        print(
            f"{size:>9,} {one.orchestrator:17.3f} ms {one.nats:6.3f} {one.ours:10.3f} {one.appliance:11.3f} "
            f"{one.rate:11.0f}   {one.rss_first / 1024:.0f} to {one.rss_last / 1024:.0f} MiB",
            flush=True,
        )
    worst = max(one.ours for one in found)
    print(f"CPU together: at most {worst:.3f} ms; {verdict(met=worst <= CPU_MS, target=f'{CPU_MS} ms')}")
    large = [one for one in found if one.targets >= 10_000]
    if len(large) > 1:
        growth = max(one.rss_last for one in large) / min(one.rss_last for one in large)
        print(f"RSS from 10,000 on: x {growth:.2f}; {verdict(met=growth <= GROWTH, target=f'x {GROWTH}')}")


async def _store(home: Path) -> None:
    store = await open_store(home / "store.db")
    account, evidence = Account(authority="host:10.0.0.1", user="scan"), Evidence(phase=Phase.LOGOFF, signal=OK)
    await store.runs.add(RunRecord("r", "bench", 0.0, RunState.RUNNING, 1, {}))
    entry = LedgerEntry(EntryKind.GRANTED, account, "r", "j", 1, 0.0)
    began = time.process_time()
    for _ in range(COMMITS):
        await store.ledger.append([entry])
    commit = (time.process_time() - began) / COMMITS * 1000
    spent = 0.0
    for batch in range(ROWS // 500):
        names = [f"{batch}-{n}" for n in range(500)]
        jobs = [JobRow("r", name, Technology.UNIX, Target(address="10.0.0.1"), ()) for name in names]
        attempts = [AttemptRow("r", name, 1, "lease", 0.0) for name in names]
        await store.attempts.dispatched("r", list(zip(jobs, attempts, strict=True)), {})
        ends = [
            Settled("r", name, Technology.UNIX, 1, "lease", "a", "PASSED", Status.PASSED, evidence, 1.0, final=True)
            for name in names
        ]
        began = time.process_time()
        await store.attempts.settle(ends)
        spent += time.process_time() - began
    await store.close()
    print(f"store: {commit:.2f} ms for a commit of the ledger by itself, {spent / ROWS * 1000:.3f} ms a row settled")


def store() -> None:
    with tempfile.TemporaryDirectory(prefix="keymuster-scale-") as home:
        anyio.run(_store, Path(home))


def timed(step: Callable[[], object]) -> float:
    """CPU seconds."""
    began = time.process_time()
    step()
    return time.process_time() - began


def planned(campaign: Campaign) -> Prepared:
    made = prepare(campaign, Selection(), run="bench", seed=7, now=0.0)
    assert isinstance(made, Prepared)
    return made


def planning() -> None:
    rng = Random(7)  # noqa: S311 - a sample, not a secret
    excluded = tuple(str(IPv4Address((10 << 24) + rng.randrange(1 << 24))) for _ in range(EXCLUSIONS))
    whole = campaign_of(1 << 24, 256)
    holed = whole.model_copy(update={"targets": whole.targets.model_copy(update={"exclude": excluded})})
    plan = planned(holed).plan
    (cursor,) = plan.cursors()
    units = 20_000
    each = timed(lambda: deque((plan.at(cursor, n) for n in range(units)), maxlen=0)) / units * 1e6
    addresses = timed(lambda: deque((plan.parts[0].at(n) for n in range(units)), maxlen=0)) / units * 1e6
    print(f"planning with {EXCLUSIONS:,} exclusions: {addresses:.1f} us for a target's address; ", end="")
    print(f"{each:.1f} with its job and record; {verdict(met=each <= PLAN_US, target=f'{PLAN_US} us')}")
    out = AddressSet.parse(excluded)
    texts = [str(IPv4Address((10 << 24) + rng.randrange(1 << 24))) for _ in range(100_000)]
    assert texts[0] not in out or texts[0] in excluded  # the set is made when it is first asked
    print(f"membership in them: {timed(lambda: [t in out for t in texts]) / len(texts) * 1e9:.0f} ns")
    began = time.monotonic()
    start = planned(whole).plan
    first = [start.at(cursor, n) for n in range(500)]
    took = time.monotonic() - began
    print(
        f"a /8: planned, and the first {len(first)} targets taken, in {took * 1000:.0f} ms; "
        + verdict(met=took <= START_S, target=f"{START_S:g} s")
    )


def two_processes() -> None:
    one = run(LOGINS, "--processes", "1", login_ms=LOGIN_MS)
    two = run(LOGINS, "--processes", "2", login_ms=LOGIN_MS)
    print(
        f"logins of {LOGIN_MS:g} ms CPU: {one.rate:.0f}/s with one scan process, {two.rate:.0f}/s with two, "
        f"x {two.rate / one.rate:.2f} (the orchestrator shares the cores); "
        + verdict(met=two.rate >= TWO_PROCESSES * one.rate, target=f"x {TWO_PROCESSES}")
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--targets", type=int, action="append", help="how many (default: 1,000, 10,000, 100,000)")
    parser.add_argument("--million", action="store_true", help="1,000,000 too; it takes a quarter of an hour")
    parser.add_argument("--planning", action="store_true", help="planning and the store alone")
    given = parser.parse_args()
    planning()
    store()
    if not given.planning:
        costs([*(given.targets or SIZES), *([MILLION] if given.million else [])])
        two_processes()
    return 0


if __name__ == "__main__":
    sys.exit(main())
