"""The report for people: outcomes, causes and gates as tables for a terminal.

Every cell is a `Text`, never a string: rich would read markup in a string, and some of them were chosen by peers.
"""

from __future__ import annotations

from itertools import groupby

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from appliance.reasons import REASONS, Status, qids
from orchestrator.report.causes import Cause, Factor
from orchestrator.report.escape import plain
from orchestrator.report.summary import Line, Summary
from orchestrator.store.records import Totals

SHOWN = 10
"""Causes shown; the rest is in every other format."""

_CODE = max(map(len, REASONS))
"""Characters of the longest reason code: none is ever broken over two lines, not at 80 columns either."""

# Blue against red, which nearly everybody can tell apart; and the status is always there in words.
_STYLES = {
    Status.PASSED: "cyan",
    Status.PASSED_LIMITED: "yellow",
    Status.FAILED: "bold red",
    Status.NOT_ATTEMPTED: "bright_black",
}


def table_report(summary: Summary) -> RenderableType:
    parts: list[RenderableType] = [_outcomes(summary)]
    if summary.causes:
        parts.append(_causes(summary.causes))
    if summary.gates:
        parts.append(_gates(summary))
    if summary.complaint:
        parts.append(_text(f"error: {summary.complaint}", "bold red"))
    parts.append(_text(f"Run {summary.run.id} ({summary.run.state.value}) of campaign {summary.run.campaign}", "bold"))
    return Group(*parts)


def _outcomes(summary: Summary) -> Table:
    table = _table("Outcomes", "Kind", "Status")
    table.add_column(Text("Reason"), min_width=_CODE)
    table.add_column(Text("QID"))
    table.add_column(Text("Targets"), justify="right")
    for technology, lines in groupby(summary.lines, lambda line: line.technology):
        for number, line in enumerate(lines):
            table.add_row(_text(technology.value if number == 0 else ""), *_outcome(line))
        table.add_section()
    totals = summary.totals
    table.add_row(_text("all", "bold"), Text(), _text(_sums(totals)), Text(), _text(f"{totals.planned:,}", "bold"))
    return table


def _outcome(line: Line) -> tuple[Text, Text, Text, Text]:
    findings = " ".join(str(q.number) for q in qids(line.reason, line.technology))
    status = line.reason.status
    return _text(status.value, _STYLES[status]), _text(line.reason.code), _text(findings), _text(f"{line.number:,}")


def _sums(totals: Totals) -> str:
    parts = [f"{totals.of(status):,} {status.value.lower()}" for status in Status]
    return ", ".join([*parts, *([f"{totals.open:,} open"] if totals.open else [])])


def _causes(causes: tuple[Cause, ...]) -> Table:
    hidden = len(causes) - SHOWN
    title = "Commonest causes" + (f" (and {hidden:,} more in the HTML and JSON reports)" if hidden > 0 else "")
    table = _table(title)
    table.add_column(Text("Fixes"), justify="right")
    table.add_column(Text("Cause"), min_width=_CODE)
    for heading in ("Shared by", "Owner", "What to do"):
        table.add_column(Text(heading), overflow="fold")
    for cause in causes[:SHOWN]:
        skipped = f" ({cause.skipped:,} not tried)" if cause.skipped else ""
        shared = f"{cause.factor.value} {cause.value}" if cause.factor is not Factor.NONE else ""
        table.add_row(
            _text(f"{cause.targets:,}"),
            _text(f"{cause.reason.code}: {cause.reason.meaning}{skipped}"),
            _text(shared),
            _text(cause.reason.owner.value),
            _text(cause.reason.advice),
        )
    return table


def _gates(summary: Summary) -> Table:
    table = _table("Gates", "Gate", "Actual", "Verdict")
    for gate in summary.gates:
        verdict = _text("passed", "green") if gate.ok else _text("failed", "bold red")
        table.add_row(_text(gate.text), _text(gate.actual), verdict)
    return table


def _table(title: str, *headings: str) -> Table:
    table = Table(title=Text(title), title_justify="left")
    for heading in headings:
        table.add_column(Text(heading), overflow="fold")
    return table


def _text(value: str, style: str = "") -> Text:
    return Text(plain(value), style=style)
