"""`runs prune`: old runs leave the store."""

from __future__ import annotations

import re
import secrets
import time
from datetime import UTC, datetime

from rich.console import Console

from orchestrator.cli.arguments import Home
from orchestrator.cli.errors import BadInput, Exit
from orchestrator.cli.output import written_to
from orchestrator.cli.storing import stored
from orchestrator.permits import REMEMBER_S
from orchestrator.report.documents import SCHEMA_VERSION, Document, dumps, instant
from orchestrator.report.tables import RUN_ID, FittedTable, cell, column
from orchestrator.retention import Old, old_runs
from orchestrator.store import Store

_AGE = re.compile(r"([0-9]{1,5})([dh])")
_SECONDS = {"d": 86_400.0, "h": 3_600.0}


async def prune(home: Home, older_than: str, keep: int, dry_run: bool, json: bool) -> Exit:
    now = time.time()
    before = now - _age(older_than)
    async with stored(home) as store:
        found = await _old(store, before, keep)
        going = [] if dry_run else [old.run.id for old in found if not old.stays]
        left = await store.unlisted.abandoned(now)
        for run in (*going, *([] if dry_run else left)):
            await store.unlisted.remove(run, secrets.token_hex(8), time.time(), permits_before=now - REMEMBER_S)
    with written_to(None) as out:
        if json:
            print(dumps(_document(found, left, dry_run=dry_run)), file=out)
        else:
            _tell(found, left, Console(file=out), dry_run=dry_run)
    return Exit.OK


async def _old(store: Store, before: float, keep: int) -> list[Old]:
    held = {row.run for row in await store.check_outs.all()} | {row.run for row in await store.approvals.all()}
    searched = {row.run for row in await store.searches.all() if row.ended_at is not None}
    return old_runs(await store.runs.all(), before=before, keep=keep, has_secrets=held, searched=searched)


def _age(text: str) -> float:
    match = _AGE.fullmatch(text)
    if match is None:
        raise BadInput(f"--older-than {text!r} is no age; write days or hours, for example 90d or 12h")
    return int(match[1]) * _SECONDS[match[2]]


def _document(found: list[Old], left: list[str], *, dry_run: bool) -> Document:
    return {
        "schema_version": SCHEMA_VERSION,
        "dry_run": dry_run,
        "runs": [
            {
                "id": old.run.id,
                "campaign": old.run.campaign,
                "state": old.run.state.value,
                "ended_at": instant(old.ended_at),
                "planned": old.run.planned,
                "pruned": not old.stays,
                "stays": old.stays or None,
                "loses": None if old.stays else old.loses,
            }
            for old in found
        ],
        "remains": left,
    }


def _tell(found: list[Old], left: list[str], console: Console, *, dry_run: bool) -> None:
    if not found and not left:
        console.print("no run is that old")
        return
    table = FittedTable("", column("Run", keep=RUN_ID), *map(column, ("Campaign", "Ended", "What becomes of it")))
    goes = "would be deleted" if dry_run else "deleted"
    for old in found:
        ended = f"{datetime.fromtimestamp(old.ended_at, UTC):%Y-%m-%d}"
        fate = f"stays: {old.stays}" if old.stays else f"{goes}; no more {old.loses}"
        table.add_row(*map(cell, (old.run.id, old.run.campaign, ended, fate)))
    for run in left:
        table.add_row(*map(cell, (run, "", "", f"{goes}: what a killed import or prune has left")))
    console.print(table)
