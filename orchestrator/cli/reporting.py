"""A run's report on stdout or in a file, in the format asked for, and the judgement of its gates."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TextIO

from anyio import to_thread
from rich.console import Console

from appliance.contract import Phase
from appliance.reasons import Status
from orchestrator.campaign_model import Campaign, SnapshotError
from orchestrator.cli.arguments import Format
from orchestrator.cli.errors import BadInput
from orchestrator.cli.output import written_to
from orchestrator.gates import Gate, GateResult, GateTotals, evaluate, percentiles
from orchestrator.outcomes import outcomes_of
from orchestrator.records import RecordBook
from orchestrator.report.accounts import LISTED, NO_ACCOUNTS, Accounts, accounts_of
from orchestrator.report.csv_report import csv_report
from orchestrator.report.json_report import json_report
from orchestrator.report.ndjson import ndjson_report
from orchestrator.report.rows import ReportRow, report_row
from orchestrator.report.summary import summarise
from orchestrator.report.table import table_report
from orchestrator.store import Store
from orchestrator.store.records import RunRecord


async def write_report(store: Store, run: RunRecord, form: Format, output: Path | None = None) -> bool:
    """Write the report; True when every gate of the campaign holds. Raises BadInput for an output it cannot write."""
    results = await judge(store, run)
    with written_to(output, f"; nothing is lost, `keymuster report {run.id}` writes the report anew") as out:
        await _write(store, run, form, results, out)
    return all(result.ok for result in results)


async def _write(store: Store, run: RunRecord, form: Format, results: tuple[GateResult, ...], out: TextIO) -> None:
    if form is Format.TABLE:
        # Sums need no row for each of millions.
        together, accounts = await store.remainders.of(run.id), await _accounts(store, run)
        summary = await summarise(run, _alone(store, run), results, together, accounts)
        Console(file=out).print(table_report(summary))
        return
    accounts = await _accounts(store, run) if form in (Format.JSON, Format.NDJSON) else NO_ACCOUNTS
    for_machines = {
        Format.JSON: lambda: json_report(run, _rows(store, run), results, accounts),
        Format.NDJSON: lambda: ndjson_report(run, _rows(store, run), results, accounts),
        Format.CSV: lambda: csv_report(run, _rows(store, run)),
    }
    if form in for_machines:
        chunks = for_machines[form]()
    else:
        html_report = await to_thread.run_sync(_load_html_report)
        logons, book = await store.ledger.logons(run.id), _book(run)
        settings = run.snapshot["campaign"]
        chunks = html_report(run, lambda: _rows(store, run), results, logons, book.budget_for, settings)
    async for text in chunks:
        out.write(text)


def _load_html_report() -> Callable[..., AsyncIterator[str]]:
    """Jinja2 and the page, for one format of five. Blocking: others' runs may be under way in this process."""
    from orchestrator.report.html import html_report  # noqa: PLC0415

    return html_report


async def _accounts(store: Store, run: RunRecord) -> Accounts:
    logons, book = await store.ledger.logons_together(run.id, LISTED), _book(run)
    return await to_thread.run_sync(accounts_of, logons, book.budget_for, book.budgets_of_hosts())


async def _rows(store: Store, run: RunRecord) -> AsyncIterator[ReportRow]:
    async for outcome in outcomes_of(store, run):
        yield report_row(outcome)


async def _alone(store: Store, run: RunRecord) -> AsyncIterator[ReportRow]:
    """Without those that were ended together."""
    async for outcome in store.attempts.outcomes(run.id):
        yield report_row(outcome)


async def judge(store: Store, run: RunRecord) -> tuple[GateResult, ...]:
    """The campaign's gates, judged on the run's outcomes so far."""
    gates = _gates(run)
    if not gates:
        return ()
    statuses: Counter[Status] = Counter()
    reasons: Counter[str] = Counter()
    wanted = percentiles(gates)
    spent: dict[Phase, list[float]] = defaultdict(list)
    phases = {phase for phase, _ in wanted}
    async for outcome in store.attempts.outcomes(run.id):
        statuses[outcome.status] += 1
        reasons[outcome.reason] += 1
        for time in outcome.evidence.phases if phases else ():
            if time.phase in phases:
                spent[time.phase].append(time.ms / 1000)
    for part in await store.remainders.of(run.id):
        statuses[part.status] += part.behind - part.first
        reasons[part.reason] += part.behind - part.first
    measured = {(p, n): _percentile(sorted(spent[p]), n) for p, n in wanted if spent[p]}
    return evaluate(gates, GateTotals(run.planned, statuses, reasons, measured))


def _book(run: RunRecord) -> RecordBook:
    campaign = _campaign(run)
    return RecordBook(campaign.records, campaign.vaults)


def _gates(run: RunRecord) -> tuple[Gate, ...]:
    return _campaign(run).gates


def _campaign(run: RunRecord) -> Campaign:
    """Raises BadInput."""
    try:
        return Campaign.from_snapshot(dict(run.snapshot))
    except SnapshotError as error:
        raise BadInput(f"run {run.id}: {error}") from None


def _percentile(ordered: list[float], percent: int) -> float:
    """The nearest-rank percentile: the smallest value that `percent` of all don't exceed."""
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]
