"""A run's score, for people and as JSON: the confusion table of its reasons, and the logons of its accounts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TextIO

from rich.console import Console

from orchestrator.logons import AccountLine, Asked, Logons
from orchestrator.report.documents import SCHEMA_VERSION, Document, instant
from orchestrator.report.tables import ADDRESS, BAD, CODE, GOOD, FittedTable, cell, column, say
from orchestrator.score import Score

HOSTS_SHOWN = 8
"""Hosts' own accounts that are shown singly where they are right; more are summed up."""
WRONG_SHOWN = 20


def write_score(score: Score, logons: Logons | str, out: TextIO) -> None:
    """`logons`: or why there are none."""
    console = Console(file=out)
    console.print(_reasons(score))
    if isinstance(logons, str):
        say(console, f"No logons: {logons}.")
        return
    console.print(_accounts(logons))
    for line in _complaints(logons):
        say(console, line, BAD)


def _reasons(score: Score) -> FittedTable:
    technology, fault, hosts = column("Technology"), column("Fault"), column("Hosts", right=True)
    title = f"Right reasons: {score.right:,} of {score.total:,}"
    table = FittedTable(title, technology, fault, column("Reason", keep=CODE), hosts, column("Verdict", keep=CODE))
    for one in score.cells:
        verdict = cell("right", GOOD) if one.right else cell(f"WRONG: {one.expected}", BAD)
        table.add_row(*map(cell, (one.technology, one.fault, one.reason, f"{one.number:,}")), verdict)
    return table


def _accounts(logons: Logons) -> FittedTable:
    right = len(logons.accounts) - len(logons.wrong)
    several = len(logons.runs) > 1
    title = f"Right logons: {right:,} of {len(logons.accounts):,} accounts, as counted since {instant(logons.since)}"
    counted = column("Hosts counted")
    ledger = [column("Ledger of the run"), *([column(f"All {len(logons.runs)} runs since")] if several else [])]
    budget, verdict = column("Budget", right=True), column("Verdict")
    table = FittedTable(title, column("Account", keep=ADDRESS), counted, *ledger, budget, verdict)

    def add(name: str, lines: Sequence[AccountLine], budget: str, *, right: bool) -> None:
        asked = [_asked([line.run for line in lines])]
        asked += [_asked([line.all_runs for line in lines])] if several else []
        said = cell("right", GOOD) if right else cell("WRONG", BAD)
        table.add_row(cell(name), cell(_seen(lines)), *map(cell, asked), cell(budget), said)

    for line in _singly(logons):
        add(line.name, [line], "" if line.budget is None else str(line.budget), right=not line.wrong)
    if rest := _summed(logons):
        budgets = sorted({line.budget for line in rest if line.budget is not None})
        each = f"{' or '.join(map(str, budgets))} each" if budgets else ""
        add(f"{len(rest):,} accounts of single hosts", rest, each, right=True)
    return table


def _singly(logons: Logons) -> Iterator[AccountLine]:
    """Directories' accounts; those of hosts that are wrong, or few."""
    rest = {line.name for line in _summed(logons)}
    wrong = 0
    for line in logons.accounts:
        wrong += bool(line.wrong)
        if line.name not in rest and (not line.wrong or wrong <= WRONG_SHOWN):
            yield line


def _summed(logons: Logons) -> list[AccountLine]:
    right = [line for line in logons.accounts if not line.directory and not line.wrong]
    return right if len(right) > HOSTS_SHOWN else []


def _seen(lines: Sequence[AccountLine]) -> str:
    counts = [line.hosts for line in lines]
    failed = sum(count.failed for count in counts)
    most = f" (at most {max(count.failed for count in counts)} each)" if failed and len(lines) > 1 else ""
    locked = ", LOCKED" if any(count.lockouts for count in counts) else ""
    return f"{sum(count.succeeded for count in counts):,} ok, {failed:,} failed{most}{locked}"


def _asked(counts: Sequence[Asked]) -> str:
    unanswered = sum(count.unanswered for count in counts)
    late = f", {unanswered:,} unanswered" if unanswered else ""
    return f"{sum(count.granted for count in counts):,} granted, {sum(count.failed for count in counts):,} failed{late}"


def _complaints(logons: Logons) -> Iterator[str]:
    for line in logons.wrong[:WRONG_SHOWN]:
        yield f"WRONG {line.name}: {'; '.join(line.wrong)}"
    if len(logons.wrong) > WRONG_SHOWN:
        yield f"WRONG and {len(logons.wrong) - WRONG_SHOWN:,} more, all of them with --json"
    if logons.wrong:
        yield "Hosts count whoever logs in: a run with another state directory, too, whose permits are not known here."


def score_document(run: str, score: Score, logons: Logons | str) -> Document:
    cells = [
        {
            "technology": one.technology,
            "fault": one.fault,
            "expected": one.expected,
            "reason": one.reason,
            "right": one.right,
            "hosts": one.number,
        }
        for one in score.cells
    ]
    return {
        "schema_version": SCHEMA_VERSION,
        "run": run,
        "right": score.right,
        "total": score.total,
        "cells": cells,
        "logons": None if isinstance(logons, str) else _logons_document(logons),
        "no_logons": logons if isinstance(logons, str) else None,
    }


def _logons_document(logons: Logons) -> Document:
    return {
        "since": instant(logons.since),
        "until": None if logons.until is None else instant(logons.until),
        "runs": list(logons.runs),
        "right": len(logons.accounts) - len(logons.wrong),
        "total": len(logons.accounts),
        "accounts": [
            {
                "account": line.name,
                "directory": line.directory,
                "succeeded": line.hosts.succeeded,
                "failed": line.hosts.failed,
                "locked": line.hosts.lockouts > 0,
                "ledger": _asked_document(line.run),
                "ledger_all_runs": _asked_document(line.all_runs),
                "budget": line.budget,
                "wrong": list(line.wrong),
            }
            for line in logons.accounts
        ],
    }


def _asked_document(asked: Asked) -> Document:
    return {"granted": asked.granted, "failed": asked.failed, "unanswered": asked.unanswered}
