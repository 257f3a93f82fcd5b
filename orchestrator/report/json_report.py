"""The report as one JSON document. The sums come last: they are of exactly the targets that stand before them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from orchestrator.gates import GateResult
from orchestrator.report.accounts import NO_ACCOUNTS, Accounts
from orchestrator.report.documents import SCHEMA_VERSION, dumps, run_document, summary_document, target_document
from orchestrator.report.summary import ReportRows, Summariser
from orchestrator.store.records import RunRecord


async def json_report(
    run: RunRecord, rows: ReportRows, gates: Sequence[GateResult] = (), accounts: Accounts = NO_ACCOUNTS
) -> AsyncIterator[str]:
    """Pieces of one document; a line a target."""
    summariser = Summariser(run, gates, accounts)
    yield f'{{"schema_version": {SCHEMA_VERSION},\n"run": {dumps(run_document(run))},\n"targets": ['
    separator = "\n"
    async for row in summariser.counted(rows):
        yield separator + dumps(target_document(row))
        separator = ",\n"
    yield "\n]"
    for name, value in summary_document(summariser.summary()).items():
        yield f',\n"{name}": {dumps(value)}'
    yield "\n}\n"
