"""`python -m tests.bench.store [--rows 1000000]`: both databases under a run of that size.

Each is filled as a run fills it (dispatch and settle, 500 rows a transaction, one permit granted and answered for each
target), by one process; then a report's queries are timed. The ledger's commits are single ones, one after the other,
on this machine's disk: PostgreSQL with fsync, over a Unix socket, in a directory of its own.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import anyio

from appliance.contract import OK, Account, Evidence, Phase, PhaseTime, Target, Technology
from appliance.reasons import REASONS, Status
from orchestrator.permit_ledger import EntryKind, LedgerEntry
from orchestrator.report.rows import ReportRow, report_row
from orchestrator.report.summary import summarise
from orchestrator.store import AttemptRow, JobRow, RecordUse, RunRecord, RunState, Settled, Store, open_store
from tests.peers.postgres import running_postgres

BATCH, COMMITS = 500, 300
REASON_CODES = ("PASSED", "PASSED", "PASSED", "BAD_CREDENTIALS", "TCP_TIMEOUT", "PRIV_NO_SUDO")
RUN = "20260101-000000-0000"


def _evidence(reason: str) -> Evidence:
    phases = tuple(PhaseTime(phase=phase, ms=12.5) for phase in (Phase.TCP, Phase.KEX, Phase.AUTH))
    facts = {"banner": "SSH-2.0-OpenSSH_9.2p1", "kex": "curve25519-sha256", "cipher": "aes128-gcm@openssh.com"}
    text = "" if reason == "PASSED" else "what the peer said about it"
    return Evidence(phase=Phase.LOGOFF, signal=OK, text=text, facts=facts, record="Unix hosts", phases=phases)


def _batch(first: int, size: int) -> tuple[list[tuple[JobRow, AttemptRow | None]], list[Settled], list[LedgerEntry]]:
    rows: list[tuple[JobRow, AttemptRow | None]] = []
    settled, permits = [], []
    for n in range(first, first + size):
        job, address = f"{n * 2654435761 % 2**32:08x}{n:08x}", f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}"
        use = RecordUse("Unix hosts", "scan", "Vault", f"unix-{address}", 22, f"scan@host:{address}")
        target, lease = Target(address=address), f"{n:032x}"
        rows.append((JobRow(RUN, job, Technology.UNIX, target, (use,)), AttemptRow(RUN, job, 1, lease, float(n))))
        reason = REASON_CODES[n % len(REASON_CODES)]
        status, evidence = REASONS[reason].status, _evidence(reason)
        settled.append(Settled(RUN, job, Technology.UNIX, 1, lease, "a1", reason, status, evidence, float(n), True))
        account = Account(authority=f"host:{address}", user="scan")
        for kind in (EntryKind.GRANTED, EntryKind.SUCCESS):
            permits.append(LedgerEntry(kind, account, RUN, job, 1, float(n)))  # noqa: PERF401 - two of each
    return rows, settled, permits


async def fill(store: Store, rows: int) -> None:
    await store.runs.add(RunRecord(RUN, "bench", 0.0, RunState.RUNNING, 1, {"campaign": {"vaults": []}}, rows))
    spent = {"dispatched": 0.0, "settled": 0.0, "permits": 0.0}

    async def timed(name: str, work: Awaitable[object]) -> None:
        began = time.perf_counter()
        await work
        spent[name] += time.perf_counter() - began

    for first in range(0, rows, BATCH):
        jobs, settled, permits = await anyio.to_thread.run_sync(_batch, first, min(BATCH, rows - first))
        await timed("dispatched", store.attempts.dispatched(RUN, jobs, {"unix": first}))
        await timed("settled", store.attempts.settle(settled))
        await timed("permits", store.ledger.append(permits))
    await store.runs.update(RUN, state=RunState.FINISHED, finished_at=1.0)
    for name, seconds in spent.items():
        number = rows * (2 if name == "permits" else 1)
        print(f"  {name:10} {number:>9,} rows  {number / seconds:>9,.0f} rows/s  {seconds:6.1f} s", flush=True)


async def questions(store: Store, rows: int) -> None:
    run = await store.runs.get(RUN)
    assert run is not None

    async def whole_report() -> None:
        async def each() -> AsyncIterator[ReportRow]:
            async for outcome in store.attempts.outcomes(RUN):
                yield report_row(outcome)

        summary = await summarise(run, each(), ())
        assert summary is not None

    async def causes() -> None:
        totals = await store.attempts.totals(RUN)
        assert totals.finished == rows == sum(totals.of(status) for status in Status)

    async def first_page() -> None:
        async for _ in store.attempts.outcomes(RUN):
            break

    asked: dict[str, Callable[[], Awaitable[object]]] = {
        "totals and causes": causes,
        "first page of outcomes": first_page,
        "unfinished (resume)": lambda: store.attempts.unfinished(RUN),
        "open attempts": lambda: store.attempts.open(RUN),
        "times of 2,000 jobs": lambda: store.timings.attempts(RUN, 2000),
        "verdicts' times": lambda: store.timings.verdicts(RUN),
        "list of runs": store.runs.all,
        "logons by account": lambda: store.ledger.logons(RUN),
        "report, every outcome": whole_report,
    }
    for name, ask in asked.items():
        began, cpu = time.perf_counter(), time.process_time()
        await ask()
        print(
            f"  {name:24} {time.perf_counter() - began:8.3f} s   ({time.process_time() - cpu:.3f} s CPU of ours)",
            flush=True,
        )


async def commits(store: Store) -> None:
    entry = LedgerEntry(EntryKind.GRANTED, Account(authority="host:h", user="scan"), "other", "j", 1, 0.0)
    cpu, times = time.process_time(), []
    for _ in range(COMMITS):
        began = time.perf_counter()
        await store.ledger.append([entry])
        times.append((time.perf_counter() - began) * 1000)
    times.sort()
    each = (time.process_time() - cpu) / COMMITS * 1000
    median, p95 = times[len(times) // 2], times[int(len(times) * 0.95)]
    print(f"  ledger commit: median {median:.2f} ms, p95 {p95:.2f} ms; {each:.2f} ms CPU")


async def measure(title: str, where: str, rows: int) -> None:
    print(title, flush=True)
    store = await open_store(where)
    try:
        await commits(store)
        await fill(store, rows)
        await questions(store, rows)
    finally:
        await store.close()


async def _both(rows: int, only: str) -> None:
    if only != "postgresql":
        with tempfile.TemporaryDirectory(prefix="km-bench-") as home:
            await measure("SQLite", str(Path(home) / "store.db"), rows)
    if only != "sqlite":
        with running_postgres("-cfsync=on", "-cautovacuum=on", "-cshared_buffers=256MB") as server:
            name = await server.new_database()
            await measure("PostgreSQL", server.socket_url(name), rows)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.store", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--only", choices=("sqlite", "postgresql"), default="")
    asked = parser.parse_args()
    anyio.run(_both, asked.rows, asked.only)
    return 0


if __name__ == "__main__":
    sys.exit(main())
