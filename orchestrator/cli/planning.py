"""`plan`: what a run would do, explained on stdout."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from orchestrator.campaign_model import Campaign
from orchestrator.cli import vault_check
from orchestrator.cli.vault_check import SecretCheck
from orchestrator.explain import Explanation, explain
from orchestrator.plan import Plan
from orchestrator.report.documents import SCHEMA_VERSION, dumps


def write_plan(plan: Plan, campaign: Campaign, limit: int, checks: Sequence[SecretCheck] | None, *, json: bool) -> None:
    """`checks`: what the vault said of the plan's secrets, where it was asked."""
    explanation = explain(plan, campaign, limit=limit)
    if json:
        asked = None if checks is None else vault_check.document(checks)
        print(dumps({**_document(explanation), "vault_check": asked}))
        return
    console = Console()
    console.print(_targets(explanation))
    for technology, number in explanation.totals.items():
        console.print(f"{number} {technology.value} targets are planned.")
    views, most, rows = (
        explanation.vault_views_expected,
        explanation.vault_views_at_most,
        explanation.audit_rows_at_most,
    )
    console.print(f"Vault: {views} secret views if nothing fails, {most} at most; {rows} audit rows at most.")
    for rate in explanation.directories:
        window = f"{rate.window_s / 60:g} min"
        console.print(
            f"Account {rate.account}: {rate.targets_at_most} targets at most, {rate.budget} failures per {window}; "
            f"about {rate.logins_per_s:.1f} logins/s, so at least {rate.at_least_s:.0f} s.",
            markup=False,
        )
    for gate in explanation.gates:
        console.print(f"Gate: {gate}", markup=False)
    for note in explanation.notes:
        console.print(f"Note: {note}", markup=False)
    if checks is not None:
        vault_check.tell(checks, console)


def _targets(explanation: Explanation) -> Table:
    # Folded, never cut: a name that is read off half is the wrong name.
    folded = [Column(title, overflow="fold") for title in ("Record", "Login", "Secret", "Account")]
    table = Table(Column("Target", no_wrap=True), "Technology", *folded, "Why")
    for row in explanation.rows:
        if not row.records:
            table.add_row(row.address, row.technology.value, "-", "-", "-", "-", escape(row.cause))
        for record in row.records:
            cells = (record.record, record.user, record.secret, record.account, record.why)
            table.add_row(row.address, row.technology.value, *map(escape, cells))
    return table


def _document(explanation: Explanation) -> dict[str, object]:
    return {
        "schema_version": SCHEMA_VERSION,
        "totals": {technology.value: number for technology, number in explanation.totals.items()},
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
                "cause": row.cause,
                "records": [
                    {"record": r.record, "user": r.user, "secret": r.secret, "account": r.account, "why": r.why}
                    for r in row.records
                ],
            }
            for row in explanation.rows
        ],
    }
