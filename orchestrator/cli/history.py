"""`runs` and `report`: what the store of a state directory holds, whoever holds the directory."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from orchestrator.cli.arguments import Format, Home
from orchestrator.cli.errors import Exit
from orchestrator.cli.output import check_output, written_to
from orchestrator.cli.storing import find_run, stored
from orchestrator.report.documents import SCHEMA_VERSION, dumps, run_document
from orchestrator.report.sums import sums
from orchestrator.report.tables import RUN_ID, FittedTable, cell, column


async def runs(home: Home, json: bool) -> Exit:
    async with stored(home) as store:
        records = sorted(await store.runs.all(), key=lambda r: r.created_at, reverse=True)
        rows = [(record, await store.attempts.totals(record.id)) for record in records]
    if json:
        with written_to(None) as out:
            documents = [run_document(record) for record, _ in rows]
            print(dumps({"schema_version": SCHEMA_VERSION, "runs": documents}), file=out)
        return Exit.OK
    table = FittedTable("", column("Run", keep=RUN_ID), *map(column, ("Campaign", "State", "Outcomes")))
    for record, totals in rows:
        name = f"{record.id} again of {record.parent}" if record.parent else record.id
        counted = f"{totals.planned:,} planned: {sums(totals)}"
        table.add_row(*map(cell, (name, record.campaign, record.standing.text, counted)))
    with written_to(None) as out:
        Console(file=out).print(table)
    return Exit.OK


async def report(home: Home, run_id: str | None, form: Format, output: Path | None) -> Exit:
    from orchestrator.cli.reporting import write_report  # noqa: PLC0415 - `runs` needs none of it

    check_output(output)
    async with stored(home) as store:
        ok = await write_report(store, await find_run(store, run_id), form, output)
    return Exit.OK if ok else Exit.GATE_FAILED
