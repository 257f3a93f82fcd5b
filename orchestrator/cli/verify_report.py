"""What `verify-clean` says: what was looked at, what was found, and what the answer does not cover."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console

from orchestrator.cli.own_processes import SCAN_PROCESS, OwnProcess
from orchestrator.report.documents import SCHEMA_VERSION
from orchestrator.report.tables import BAD, GOOD, FittedTable, cell, column, say


def document_of(
    run: str, paths: Sequence[str], processes: Sequence[OwnProcess], searched: Mapping[str, Any]
) -> dict[str, Any]:
    looked = searched["looked"]
    skipped = list(looked["skipped"])
    scanning = sum(process.what == SCAN_PROCESS for process in processes)
    if scanning:
        skipped.append(
            {"place": f"memory of {scanning} scan processes", "why": "of other runs: they hold what they use"}
        )
    if not processes:
        skipped.append({"place": "memory of processes", "why": "this system has no /proc"})
    return {
        "schema_version": SCHEMA_VERSION,
        "run": run,
        "clean": not looked["found"],
        "secrets": searched["read"],
        "paths": list(paths),
        "files": looked["files"],
        "bytes": looked["bytes"],
        "database_rows": looked["values"],
        "processes": looked["processes"],
        "found": looked["found"],
        "unread": searched["unread"],
        "too_short": searched["short"],
        "changed_since": searched["changed"],
        "not_looked_at": skipped,
    }


def tell(document: Mapping[str, Any], console: Console) -> None:
    found = document["found"]
    title = f"secrets were found ({len(found)} times)" if found else "no secret was found"
    console.print(cell(f"Run {document['run']}: {title}", BAD if found else GOOD))
    size, processes = document["bytes"] / 2**20, len(document["processes"])
    say(
        console,
        f"Looked for {document['secrets']:,} secrets, in {document['files']:,} files ({size:,.1f} MiB),"
        f" {document['database_rows']:,} database rows and the memory of {processes} of our processes:",
    )
    for name in document["paths"]:
        say(console, f"  {name}")
    for process in document["processes"]:
        say(console, f"  process {process['pid']} ({process['what']})")
    if found:
        table = FittedTable("", *map(column, ("Secret", "Form", "Place")), column("Offset", right=True))
        for row in found:
            table.add_row(*(cell(str(row[name])) for name in ("secret", "form", "place", "offset")))
        console.print(table)
    for heading, rows in _gaps(document):
        if rows:
            console.print(cell(heading, "bold"))
            for row in rows:
                say(console, f"  {row}")


def _gaps(document: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    """What the answer does not cover."""
    return [
        ("Not looked at:", [f"{row['place']}: {row['why']}" for row in document["not_looked_at"]]),
        (
            "Not looked for, since the vault did not give them:",
            [f"{row['secret']}: {row['reason']} {row['text']}" for row in document["unread"]],
        ),
        ("Too short to be told from chance, and so not looked for:", document["too_short"]),
        ("Changed since the run began; the value of then could not be looked for:", document["changed_since"]),
    ]
