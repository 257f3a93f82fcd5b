"""What `plan --capacity` says, for people and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TextIO

from rich.console import Console

from orchestrator.capacity.bounds import ADVICE, Bound
from orchestrator.capacity.costs import Costs
from orchestrator.capacity.demand import Demand
from orchestrator.capacity.model import MOST_APPLIANCES, AccountRisk, Prediction
from orchestrator.report.documents import SCHEMA_VERSION, Document, dumps
from orchestrator.report.rows import account_name
from orchestrator.report.tables import PROSE, FittedTable, cell, column, say


@dataclass(frozen=True, slots=True)
class Sized:
    """A prediction, and what it was made of."""

    demand: Demand
    costs: Costs
    prediction: Prediction
    within_s: float | None
    """The time that was wished for."""
    appliances_needed: int | None
    """For that; None where no number of them will do."""

    @property
    def assumed(self) -> tuple[str, ...]:
        """What no earlier run has told."""
        demand, costs = self.demand, self.costs
        unknown = [
            f"how long logins {f'of {account_name(s.account)}' if s.account else f'over {s.technology.value}'} take"
            for s in demand.streams
            if not costs.knows(s.technology, s.account) or (s.account and s.account not in costs.verdicts)
        ]
        if costs.view_s is None and demand.vaults:
            unknown.append("how long the vault takes for a view")
        if costs.cpu is None:
            unknown.append("what a target costs the processors")
        return tuple(unknown)


def write_capacity(sized: Sized, out: TextIO, *, json: bool) -> None:
    if json:
        print(dumps(capacity_document(sized)), file=out)
        return
    console = Console(file=out)
    console.print(_limits(sized.prediction))
    for line in _lines(sized):
        say(console, line)


def _limits(prediction: Prediction) -> FittedTable:
    times = column("Time by it alone, s", right=True), column("Targets/s", right=True)
    table = FittedTable("Limits, the binding one first", column("Limit", keep=PROSE), *times)
    for bound in prediction.bounds:
        rate = f"{prediction.targets / bound.seconds:,.1f}" if bound.seconds else ""
        table.add_row(cell(account_name(bound.described)), cell(f"{bound.seconds:,.1f}"), cell(rate))
    return table


def _lines(sized: Sized) -> Iterator[str]:
    told, demand = sized.prediction, sized.demand
    site, binding = told.site, told.binding
    where = "its own appliance on this machine" if site.together else f"{site.appliances} appliances"
    yield (
        f"{told.targets:,} targets with {where}, {demand.capacity:,} in flight and {site.processes} scan processes "
        f"each: about {told.duration_s:,.1f} s, {told.logins_per_s:,.1f} logins/s, {told.in_flight:,.1f} in flight on "
        "average."
    )
    yield f"Bound by {account_name(binding.described)}. To be faster: {ADVICE[binding.limit]}."
    yield (
        f"Vault: {told.vault_requests_per_s:,.1f} requests/s; {told.views:,} secret views expected, "
        f"{told.views_at_most:,} at most."
    )
    yield f"Failed logons: {told.failed:,} expected, {told.failed_at_most:,} at most."
    for risk in told.accounts:
        yield (
            f"Account {account_name(risk.account)}: {risk.targets:,} targets, about {risk.logins_per_s:,.1f} logins/s "
            f"({'measured' if risk.measured else 'assumed'}); at most {risk.failed_at_most} failed logons, "
            f"{risk.budget} per {risk.window_s / 60:g} min."
        )
    if told.host_accounts:
        yield f"Accounts of single hosts: {told.host_accounts:,}, each with a budget of its own."
    if sized.within_s is not None:
        yield _needed(sized, sized.within_s)
    yield f"Measured in: {', '.join(sized.costs.runs) or 'no run yet'}."
    if sized.assumed:
        yield f"Assumed: {'; '.join(sized.assumed)}. Run a part (`keymuster run --sample 5%`), and ask again."


def _needed(sized: Sized, within: float) -> str:
    number = sized.appliances_needed
    if number is None:
        return (
            f"Within {within:g} s: not with {MOST_APPLIANCES:,} appliances either, since they do not make it faster. "
            f"{ADVICE[sized.prediction.binding.limit].capitalize()}."
        )
    return f"Within {within:g} s: {number} {'appliance' if number == 1 else 'appliances'} on machines like this one."


def capacity_document(sized: Sized) -> Document:
    told, site = sized.prediction, sized.prediction.site
    return {
        "schema_version": SCHEMA_VERSION,
        "targets": told.targets,
        "appliances": site.appliances,
        "processes": site.processes,
        "one_machine": site.together,
        "duration_s": round(told.duration_s, 3),
        "logins": told.logins,
        "logins_per_s": round(told.logins_per_s, 3),
        "in_flight": round(told.in_flight, 3),
        "in_flight_at_most": site.appliances * sized.demand.capacity,
        "bound_by": {**_bound(told.binding), "advice": ADVICE[told.binding.limit]},
        "limits": [_bound(bound) for bound in told.bounds],
        "vault": {
            "views_expected": told.views,
            "views_at_most": told.views_at_most,
            "requests_per_s": round(told.vault_requests_per_s, 3),
        },
        "failed_logons": {"expected": told.failed, "at_most": told.failed_at_most},
        "accounts": [_account(risk) for risk in told.accounts],
        "host_accounts": told.host_accounts,
        "within_s": sized.within_s,
        "appliances_needed": sized.appliances_needed,
        "measured_in": list(sized.costs.runs),
        "assumed": list(sized.assumed),
    }


def _bound(bound: Bound) -> Document:
    return {"limit": bound.limit.value, "name": bound.name or None, "seconds": round(bound.seconds, 3)}


def _account(risk: AccountRisk) -> Document:
    return {
        "account": risk.account,
        "targets": risk.targets,
        "budget": risk.budget,
        "window_s": risk.window_s,
        "logins_per_s": round(risk.logins_per_s, 3),
        "measured": risk.measured,
        "failed_logons_at_most": risk.failed_at_most,
    }
