"""The report for people: outcomes, causes and gates as tables for a terminal."""

from __future__ import annotations

from itertools import groupby

from rich.console import Group, RenderableType
from rich.text import Text

from appliance.reasons import Status, qids
from orchestrator.capacity.comparison import Comparison
from orchestrator.report.causes import Cause, Factor
from orchestrator.report.comparing import COMPARED, figure, source
from orchestrator.report.summary import Line, Summary
from orchestrator.report.sums import sums
from orchestrator.report.tables import BAD, CODE, GOOD, FittedTable, cell, column

SHOWN = 10
"""Causes shown; the rest is in every other format."""

_STYLES = {
    Status.PASSED: GOOD,
    Status.PASSED_LIMITED: "yellow",
    Status.FAILED: BAD,
    Status.NOT_ATTEMPTED: "bright_black",
}


def table_report(summary: Summary) -> RenderableType:
    parts: list[RenderableType] = [_outcomes(summary)]
    if summary.causes:
        parts.append(_causes(summary.causes))
    if summary.gates:
        parts.append(_gates(summary))
    if summary.comparison is not None:
        parts += [_comparison(summary.comparison), cell(source(summary.comparison))]
    parts += [cell(f"warning: {warning}", BAD) for warning in summary.warnings]
    if summary.complaint:
        parts.append(cell(f"error: {summary.complaint}", BAD))
    parts.append(cell(f"Run {summary.run.id} ({summary.run.state.value}) of campaign {summary.run.campaign}", "bold"))
    return Group(*parts)


def _outcomes(summary: Summary) -> FittedTable:
    reason, targets = column("Reason", keep=CODE), column("Targets", right=True)
    table = FittedTable("Outcomes", column("Kind"), column("Status"), reason, column("QID"), targets)
    for technology, lines in groupby(summary.lines, lambda line: line.technology):
        for number, line in enumerate(lines):
            table.add_row(cell(technology.value if number == 0 else ""), *_outcome(line))
        table.add_section()
    totals = summary.totals
    table.add_row(cell("all", "bold"), cell(""), cell(sums(totals)), cell(""), cell(f"{totals.planned:,}", "bold"))
    return table


def _outcome(line: Line) -> tuple[Text, Text, Text, Text]:
    findings = " ".join(str(q.number) for q in qids(line.reason, line.technology))
    status = line.reason.status
    return cell(status.value, _STYLES[status]), cell(line.reason.code), cell(findings), cell(f"{line.number:,}")


def _causes(causes: tuple[Cause, ...]) -> FittedTable:
    hidden = len(causes) - SHOWN
    title = "Commonest causes" + (f" (and {hidden:,} more in the HTML and JSON reports)" if hidden > 0 else "")
    fixes, cause_column = column("Fixes", right=True), column("Cause", keep=CODE + 1)
    table = FittedTable(title, fixes, cause_column, *map(column, ("Shared by", "Owner", "What to do")))
    for cause in causes[:SHOWN]:
        skipped = f" ({cause.skipped:,} not tried)" if cause.skipped else ""
        table.add_row(
            cell(f"{cause.targets:,}"),
            cell(f"{cause.reason.code}: {cause.reason.meaning}{skipped}"),
            cell(f"{cause.factor.value} {cause.value}" if cause.factor is not Factor.NONE else ""),
            cell(cause.reason.owner.value),
            cell(cause.reason.advice),
        )
    return table


def _comparison(comparison: Comparison) -> FittedTable:
    numbers = column("Predicted", right=True), column("Actual", right=True)
    table = FittedTable("Predicted and actual", column(""), *numbers)
    for name, predicted, actual in comparison.rows():
        table.add_row(cell(COMPARED[name]), cell(figure(name, predicted)), cell(figure(name, actual)))
    return table


def _gates(summary: Summary) -> FittedTable:
    table = FittedTable("Gates", *map(column, ("Gate", "Actual", "Verdict")))
    for gate in summary.gates:
        verdict = cell("passed", GOOD) if gate.ok else cell("failed", BAD)
        table.add_row(cell(gate.text), cell(gate.actual), verdict)
    return table
