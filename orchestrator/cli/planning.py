"""`plan`: what a run would do, explained on stdout."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from typing import TextIO

from rich.console import Console

from orchestrator.campaign_model import Campaign
from orchestrator.capacity.costs import Costs
from orchestrator.cli import vault_check
from orchestrator.cli.vault_check import SecretCheck
from orchestrator.explain import Explanation, explain
from orchestrator.plan import Plan
from orchestrator.report.documents import SCHEMA_VERSION, dumps
from orchestrator.report.rows import account_name
from orchestrator.report.tables import ADDRESS, FittedTable, cell, column, say
from orchestrator.times_told import times_told


def write_plan(
    plan: Plan,
    campaign: Campaign,
    limit: int,
    costs: Costs,
    checks: Sequence[SecretCheck] | None,
    out: TextIO,
    *,
    json: bool,
) -> None:
    """`costs`: of earlier runs; `checks`: what the vault said of the plan's secrets, where it was asked."""
    explained = explain(plan, campaign, limit=limit, costs=costs)
    explanation = replace(explained, notes=(*explained.notes, *times_told(campaign, time.time())))
    if json:
        asked = None if checks is None else vault_check.document(checks)
        print(dumps({**_document(explanation), "vault_check": asked}), file=out)
        return
    console = Console(file=out)
    console.print(_targets(explanation))
    for line in _lines(explanation):
        say(console, line)
    if checks is not None:
        vault_check.tell(checks, console)


def _lines(explanation: Explanation) -> Iterator[str]:
    for technology, number in explanation.totals.items():
        yield f"{number} {technology.value} targets are planned."
    if len(explanation.zones) > 1:
        yield "By zone: " + ", ".join(f"{number} in {zone}" for zone, number in explanation.zones.items()) + "."
    views, most = explanation.vault_views_expected, explanation.vault_views_at_most
    rows = explanation.audit_rows_at_most
    yield f"Vault: {views} secret views if nothing fails, {most} at most; {rows} audit rows at most."
    for rate in explanation.directories:
        window = f"{rate.window_s / 60:g} min"
        yield (
            f"Account {account_name(rate.account)}: {rate.targets_at_most} targets at most, {rate.budget} failures per "
            f"{window}; about {rate.logins_per_s:.1f} logins/s ({'measured' if rate.measured else 'assumed'}), so at "
            f"least {rate.at_least_s:.0f} s."
        )
    yield from (f"Gate: {gate}" for gate in explanation.gates)
    yield from (f"Note: {note}" for note in explanation.notes)


def _targets(explanation: Explanation) -> FittedTable:
    table = FittedTable("", column("Target", keep=ADDRESS), *map(column, ("Record", "Login", "Secret")))
    for row in explanation.rows:
        target = cell(f"{row.address} {row.technology.value}")
        if not row.records:
            table.add_row(target, cell(row.cause))
        for record in row.records:
            login = f"{record.user}, account {account_name(record.account)}"
            table.add_row(target, cell(f"{record.record}: {record.why}"), cell(login), cell(record.secret))
            for answer in record.then:
                table.add_row(cell(""), cell("where the host refuses what came before"), cell(""), cell(answer))
            if (root := record.root) is not None:
                whose = f"{root.by}: {root.user}, account {account_name(root.account)}"
                table.add_row(cell(""), cell("root, if the host asks for a password"), cell(whose), cell(root.secret))
    return table


def _document(explanation: Explanation) -> dict[str, object]:
    return {
        "schema_version": SCHEMA_VERSION,
        "totals": {technology.value: number for technology, number in explanation.totals.items()},
        "zones": dict(explanation.zones),
        "vault_views_expected": explanation.vault_views_expected,
        "vault_views_at_most": explanation.vault_views_at_most,
        "audit_rows_at_most": explanation.audit_rows_at_most,
        "directories": [
            {
                "account": rate.account,
                "records": list(rate.records),
                "budget": rate.budget,
                "window_s": rate.window_s,
                "targets_at_most": rate.targets_at_most,
                "logins_per_s": rate.logins_per_s,
                "at_least_s": rate.at_least_s,
                "measured": rate.measured,
            }
            for rate in explanation.directories
        ],
        "gates": list(explanation.gates),
        "notes": list(explanation.notes),
        "targets": [
            {
                "address": row.address,
                "technology": row.technology.value,
                "job": row.job,
                "zone": row.zone,
                "cause": row.cause,
                "records": [
                    {
                        "record": r.record,
                        "user": r.user,
                        "secret": r.secret,
                        "account": r.account,
                        "why": r.why,
                        "then": list(r.then),
                        "root": asdict(r.root) if r.root is not None else None,
                    }
                    for r in row.records
                ],
            }
            for row in explanation.rows
        ],
    }
