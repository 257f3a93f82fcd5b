"""What `audit` says to people: first what does not pair, then when, where and why each secret was viewed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console

from orchestrator.report.tables import ADDRESS, BAD, GOOD, FittedTable, cell, column, say

SHOWN = 20
"""Pairs; of faults all are shown."""

_FAULTS = (
    ("drops", "Views of ours that have no row (dropped)"),
    ("duplicates", "Rows of a view that has its row already (duplicates)"),
    ("forgeries", "Rows of no view of ours (forged, or somebody else uses the account)"),
)
_TIME = len("2026-11-25T23:14:13.123Z")


def tell(document: Mapping[str, Any], console: Console) -> None:
    faults = {name: document[name] for name, _ in _FAULTS}
    counted = ", ".join(f"{len(rows)} {name}" for name, rows in faults.items())
    title = f"Run {document['run']} of campaign {document['campaign']}: {counted}"
    console.print(cell(title, GOOD if document["clean"] else BAD))
    rows = sum(vault["rows"] for vault in document["vaults"])
    say(
        console,
        f"{document['uses']} views by the run, {document['secrets']} secrets; {rows} rows of views since it began.",
    )
    for line in _about(document):
        say(console, line)
    for name, heading in _FAULTS:
        if faults[name]:
            console.print(_table(heading, faults[name]))
    if document["unread"]:
        table = FittedTable("Secrets whose audit the vault does not show", *map(column, ("Secret", "Reason", "Text")))
        for row in document["unread"]:
            table.add_row(*map(cell, (_secret(row), row["reason"], row["text"])))
        console.print(table)
    pairs = document["pairs"]
    if pairs:
        console.print(_table("Views", pairs[:SHOWN]))
    if len(pairs) > SHOWN:
        say(console, f"{len(pairs) - SHOWN} more views with --json.")
    if document["others"]:
        say(console, f"{len(document['others'])} rows by others, or of other kinds than views, with --json; no faults.")


def _about(document: Mapping[str, Any]) -> list[str]:
    lines = []
    for vault in document["vaults"]:
        offset, wrong = vault["clock_offset_s"], vault["clock_error_s"]
        said = f"{vault['vault']}, user {vault['user']}: "
        if offset is None:
            said += f"the vault does not tell its time; it was taken for the appliance's, {wrong:g} s off at most."
        else:
            where = "ahead of" if offset >= 0 else "behind"
            said += f"its clock is {abs(offset):.1f} s {where} the appliance's (within {wrong:.1f} s)."
        if vault["dates"] == "local":
            said += " Its dates were read as local time."
        lines.append(said)
    if document["unheard_attempts"]:
        lines.append(
            f"{document['unheard_attempts']} attempts were never heard of: rows that they may have left are no faults."
        )
    if document["unreadable_runs"]:
        lines.append(f"Runs that this release cannot read explain nothing: {', '.join(document['unreadable_runs'])}.")
    if document["drops"] and not document["view_interval_s"]:
        lines.append("If the vault writes views down once per Secret View Interval, say so with --view-interval.")
    return lines


def _table(heading: str, rows: Sequence[Mapping[str, Any]]) -> FittedTable:
    head = (column("Time", keep=_TIME), column("Target", keep=ADDRESS), *map(column, ("Secret", "Why", "Who")))
    table = FittedTable(heading, *head)
    for row in rows:
        use = row.get("use", row)
        why = f"run {use['run']} job {use['job']}:{use['attempt']}" if "job" in use else ""
        told = ", ticket ".join(filter(None, (row.get("comment"), row.get("ticket"))))
        if told:
            why = f"{why} ({told})".strip()
        who = " ".join(filter(None, (row.get("user"), row.get("action"))))
        if use.get("appliance"):
            who = f"{who} by {use['appliance']}".strip()
        target = f"{use['target']} {use['technology']}" if "target" in use else ""
        table.add_row(*map(cell, (row["time"], target, _secret(row), why, who)))
    return table


def _secret(row: Mapping[str, Any]) -> str:
    return f"{row['secret']} (id {row['secret_id']}) in {row['vault']}"
