"""The report as newline-delimited JSON: the run, each target, the sums. Every line has `event` and `seq`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from orchestrator.gates import GateResult
from orchestrator.report.accounts import NO_ACCOUNTS, Accounts
from orchestrator.report.documents import (
    SCHEMA_VERSION,
    Document,
    dumps,
    run_document,
    summary_document,
    target_document,
)
from orchestrator.report.summary import ReportRows, Summariser
from orchestrator.store.records import RunRecord


async def ndjson_report(
    run: RunRecord, rows: ReportRows, gates: Sequence[GateResult] = (), accounts: Accounts = NO_ACCOUNTS
) -> AsyncIterator[str]:
    """One line at a time."""
    summariser = Summariser(run, gates, accounts)
    yield _line("run", 0, {"schema_version": SCHEMA_VERSION, "run": run_document(run)})
    seq = 0
    async for row in summariser.counted(rows):
        seq += 1
        yield _line("target", seq, target_document(row))
    yield _line("summary", seq + 1, summary_document(summariser.summary()))


def _line(event: str, seq: int, document: Document) -> str:
    return dumps({"event": event, "seq": seq, **document}) + "\n"
