"""The report for people: outcomes, causes and gates as tables for a terminal."""

from __future__ import annotations

from itertools import groupby

from rich.console import Group, RenderableType
from rich.text import Text

from appliance.reasons import Status, qids
from orchestrator.account_state import Budget
from orchestrator.capacity.comparison import Comparison
from orchestrator.report.accounts import AccountLine, Accounts
from orchestrator.report.causes import Cause, Factor
from orchestrator.report.comparing import COMPARED, figure, source
from orchestrator.report.summary import Line, Summary
from orchestrator.report.sums import sums
from orchestrator.report.tables import ADDRESS, BAD, CODE, GOOD, FittedTable, cell, column
from orchestrator.store.records import LogonSums

SHOWN = 10
"""Causes and shared accounts shown; the rest is in every other format."""
FEW = 3
"""Accounts of single hosts that are told one by one."""

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
    if summary.accounts.lines:
        parts.append(_accounts(summary.accounts))
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


def _accounts(accounts: Accounts) -> FittedTable:
    """Directories' accounts one by one, as far as they are few; those of single hosts together."""
    numbers = [column(name, right=True) for name in ("Permits", "Succeeded", "Failed")]
    table = FittedTable("Logons per account", column("Account", keep=ADDRESS), *numbers, column("May fail"))
    singly = accounts.hosts.accounts <= FEW
    shown = [line for line in accounts.lines if line.shared][:SHOWN]
    shown += [line for line in accounts.lines if singly and not line.shared]
    for line in shown:
        table.add_row(cell(line.account), *_numbers(line), cell(_allowed(line.budget)))
    if (left := accounts.directories.accounts - sum(line.shared for line in shown)) > 0:
        table.add_row(cell(f"{left:,} more of directories, in the HTML and JSON reports"), *[cell("")] * 4)
    if accounts.hosts.accounts and not singly:
        hosts = accounts.hosts
        allowed = f"{_allowed(accounts.of_each_host)} each" if accounts.of_each_host is not None else ""
        most = f" (at most {hosts.most_failed:,} each)" if hosts.failed else ""
        table.add_row(cell(f"{hosts.accounts:,} accounts of single hosts{most}"), *_numbers(hosts), cell(allowed))
    return table


def _allowed(budget: Budget | None) -> str:
    return "" if budget is None else f"{budget.failures} in {budget.window_s / 60:g} min"


def _numbers(one: AccountLine | LogonSums) -> list[Text]:
    return [cell(f"{number:,}") for number in (one.granted, one.succeeded, one.failed)]


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
