"""`support-bundle RUN`: what somebody who helps needs to see, redacted, and listed before it is written."""

from __future__ import annotations

import os
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

import anyio.to_thread
from rich.console import Console

from orchestrator.campaign_model import Campaign, SnapshotError
from orchestrator.cli import dialog
from orchestrator.cli.arguments import Home
from orchestrator.cli.errors import BadInput, Exit
from orchestrator.cli.output import check_output, whole_or_none
from orchestrator.cli.reporting import judge
from orchestrator.cli.storing import find_run, stored
from orchestrator.outcomes import outcomes_of
from orchestrator.report.rows import ReportRow, report_row
from orchestrator.report.summary import ReportRows, summarise
from orchestrator.report.tables import FittedTable, cell, column, say
from orchestrator.store import Store
from orchestrator.store.records import RunRecord
from orchestrator.support import contents
from orchestrator.support.contents import Item
from orchestrator.support.machine import machine_document
from orchestrator.support.pseudonyms import Kind, Pseudonyms

LOG_TAIL = 1 << 20
"""Bytes of a log that are taken: its end."""
_LOGS = {"appliance.log": "the appliance's log", "nats/server.log": "the bus's log of its last start"}
_LEFT_OUT = (
    "Names of hosts, users, secrets, records, vaults and domains, and addresses, are numbers; host keys are left out."
)


async def support_bundle(home: Home, run: str | None, output: Path | None, yes: bool) -> Exit:
    async with stored(home) as store:
        record = await find_run(store, run)
        file = output or Path(f"keymuster-support-{record.id}.zip")
        await anyio.to_thread.run_sync(check_output, file)
        items = await _items(store, record, home.state)
    await anyio.to_thread.run_sync(_list, items, file)
    if not yes and not _agreed():
        sys.stderr.write("nothing was written\n")
        return Exit.BAD_INPUT
    await anyio.to_thread.run_sync(_write, items, file)
    sys.stderr.write(f"{file} written; read it before you send it: a text may hold a name that nobody knows of\n")
    return Exit.OK


async def _items(store: Store, run: RunRecord, state: Path) -> list[Item]:
    names, rows = Pseudonyms(), [report_row(outcome) async for outcome in outcomes_of(store, run)]
    summary = await summarise(run, _each(rows), await judge(store, run))
    logons = await store.ledger.logons(run.id)
    condition = await store.condition()
    found: list[Item] = []
    try:
        campaign = Campaign.from_snapshot(dict(run.snapshot))
    except SnapshotError as error:
        found.append(Item("settings.json", "why there are none", contents.pretty({"error": str(error)})))
    else:
        contents.learn_campaign(names, campaign)
        found.append(contents.settings_item(names, campaign))

    def read() -> list[Item]:
        for path in (state, state.absolute(), Path.home()):
            names.of(Kind.PATH, str(path))
        for row in rows:
            contents.learn_row(names, row)
        store_document = {"revision": condition.revision, "rows": condition.rows, "check": condition.check}
        return [
            Item(
                "machine.json",
                "versions, limits, files of the state directory",
                contents.pretty(machine_document(state)),
            ),
            Item("store.json", "the store's condition", contents.pretty(store_document)),
            contents.run_item(names, run, summary, logons),
            *found,
            contents.outcomes_item(names, rows),
            *(
                contents.log_item(names, f"logs/{Path(name).name}", about, text)
                for name, about in _LOGS.items()
                if (text := _tail(state / name))
            ),
        ]

    return await anyio.to_thread.run_sync(read)


async def _each(rows: Sequence[ReportRow]) -> ReportRows:
    for row in rows:
        yield row


def _tail(path: Path) -> str:
    """The end of a log, from a line's beginning; empty where there is none."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - LOG_TAIL))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    return text.partition("\n")[2] if size > LOG_TAIL else text


def _list(items: Sequence[Item], file: Path) -> None:
    table = FittedTable(f"{file} will hold", column("File"), column("Bytes", right=True), column("What it holds"))
    for item in items:
        table.add_row(*map(cell, (item.name, f"{len(item.text.encode()):,}", item.about)))
    console = Console(stderr=True)
    console.print(table)
    say(console, _LEFT_OUT)


def _agreed() -> bool:
    """Raises BadInput where nobody can be asked."""
    if not dialog.somebody_is_there():
        raise BadInput("say --yes to write it")
    return dialog.agreed("Write it?")


def _write(items: Sequence[Item], file: Path) -> None:
    """Raises BadInput."""
    try:
        with (
            whole_or_none(file),
            os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out,
            zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as bundle,
        ):
            for item in items:
                bundle.writestr(item.name, item.text)
    except OSError as error:
        raise BadInput(f"cannot write {file}: {error.strerror}") from None
