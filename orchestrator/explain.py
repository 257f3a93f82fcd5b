"""What a plan would do, for `keymuster plan`: plain values, nothing is asked of vault or target.

Views: as `shares` counts them; Secret Server writes one audit row per view. Rate: a directory account has at most
`failure_budget` verdicts outstanding and a few times as many attempts open, so it logs in as often as their times allow
(`capacity.accounts`); where sudo asks for its password too, that is half as many hosts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from appliance.contract import Candidate, CredentialRef, Jump, RootPassword, SecretLookup, Selection, Technology
from orchestrator.attempts import Planned, Unplannable
from orchestrator.campaign_model import Campaign
from orchestrator.capacity.accounts import account_pace
from orchestrator.capacity.costs import NOTHING_KNOWN, Costs
from orchestrator.exposure import exposures_of
from orchestrator.plan import Plan
from orchestrator.records import RecordBook, jump_of
from orchestrator.shares import expected_views, targets_of, views_at_most

_NAMED = 5
"""Of the targets that no record serves, so many are named."""

_WHY = {
    Selection.SERVICE_SELECTED: "if the host says that it is of domain {domain}",
    Selection.USER_SELECTED: "the record's ips contain the address",
    Selection.LOCAL: "the record's ips contain the address",
    Selection.IP: "the record's ips contain the address",
    Selection.ACTIVE_DIRECTORY: "if the host is of Active Directory domain {domain}",
}


@dataclass(frozen=True, slots=True)
class ExplainedRecord:
    record: str
    user: str
    secret: str
    """`name win_scan_secret in 'Secret Server Vault'`, `machine web1, template Windows Account in 'Secret...'`"""
    account: str
    why: str
    root: ExplainedRoot | None = None
    then: tuple[str, ...] = ()
    """What the login goes on with where the host refuses the key."""


@dataclass(frozen=True, slots=True)
class ExplainedRoot:
    """What root delegation is answered with, where the host asks for a password."""

    by: str
    user: str
    secret: str
    account: str


@dataclass(frozen=True, slots=True)
class ExplainedTarget:
    technology: Technology
    address: str
    job: str
    zone: str
    records: tuple[ExplainedRecord, ...]
    """In order of selection; empty where no record serves the target, and `cause` says why."""
    cause: str = ""


@dataclass(frozen=True, slots=True)
class DirectoryRate:
    """How fast a directory account lets a run go."""

    account: str
    records: tuple[str, ...]
    budget: int
    window_s: float
    targets_at_most: int
    logins_per_s: float
    at_least_s: float
    """Time for all its targets at that rate, if every one is tried with this account."""
    measured: bool
    """By an earlier run's times; else by assumed ones."""


@dataclass(frozen=True, slots=True)
class Explanation:
    totals: Mapping[Technology, int]
    zones: Mapping[str, int]
    """Planned units by the zone that their targets belong to."""
    rows: tuple[ExplainedTarget, ...]
    """The first ones, in the order of the run."""
    vault_views_expected: int
    vault_views_at_most: int
    audit_rows_at_most: int
    directories: tuple[DirectoryRate, ...]
    gates: tuple[str, ...]
    notes: tuple[str, ...]


def explain(plan: Plan, campaign: Campaign, *, limit: int, costs: Costs = NOTHING_KNOWN) -> Explanation:
    """Explain a plan; `costs` are those of earlier runs."""
    at_most = views_at_most(plan, campaign)
    return Explanation(
        totals=plan.totals(),
        zones=plan.by_zone(),
        rows=tuple(_row(unit) for unit in islice(plan.walk(), limit)),
        vault_views_expected=sum(expected_views(plan, campaign)),
        vault_views_at_most=at_most,
        audit_rows_at_most=at_most,
        directories=tuple(_rates(plan, costs)),
        gates=tuple(gate.text for gate in campaign.gates),
        notes=tuple(_notes(plan, campaign)),
    )


def _row(unit: Planned | Unplannable) -> ExplainedTarget:
    if isinstance(unit, Unplannable):
        why = f"{unit.reason}: {unit.text}"
        return ExplainedTarget(unit.technology, unit.target.address, unit.job, unit.zone, (), why)
    records = tuple(_record(candidate) for candidate in unit.candidates)
    return ExplainedTarget(unit.technology, unit.target.address, unit.job, unit.zone, records)


def _record(candidate: Candidate) -> ExplainedRecord:
    return ExplainedRecord(
        record=candidate.record,
        user=candidate.user,
        secret=_secret(candidate.secret),
        account=str(candidate.account),
        why=_WHY[candidate.selection].format(domain=candidate.domain) + _through(candidate.jump),
        root=None if (root := candidate.root) is None else _root(root),
        then=tuple(_answer(answer) for answer in candidate.answers[1:]),
    )


def _answer(candidate: Candidate) -> str:
    return f"{'private key' if candidate.private_key else 'password'} of {_secret(candidate.secret)}"


def _root(root: RootPassword) -> ExplainedRoot:
    return ExplainedRoot(root.by.value, root.user, _secret(root.secret), str(root.account))


def _secret(ref: CredentialRef) -> str:
    return f"{ref.described} in {ref.vault!r}"


def _through(jump: Jump | None) -> str:
    return f"; reached through jump host {jump.place} as {jump.user}" if jump is not None else ""


def _rates(plan: Plan, costs: Costs) -> Iterator[DirectoryRate]:
    for account, records in plan.book.directory_accounts().items():
        budget = plan.book.budget_for(account)
        targets = targets_of(plan, records)
        if budget is None or not targets:
            continue
        pace = account_pace(costs, str(account), budget.failures)
        yield DirectoryRate(
            account=str(account),
            records=tuple(record.title for record in records),
            budget=budget.failures,
            window_s=budget.window_s,
            targets_at_most=targets,
            logins_per_s=pace.logins_per_s,
            at_least_s=targets / pace.logins_per_s,
            measured=pace.measured,
        )


def unserved(plan: Plan) -> str:
    """What to say of targets that no record could serve; empty where there are none."""
    count = plan.unserved.count
    if not count:
        return ""
    first = ", ".join(plan.unserved.at(n) for n in range(min(count, _NAMED)))
    more = f" and {count - _NAMED:,} more" if count > _NAMED else ""
    return (
        f"{count:,} {'target is' if count == 1 else 'targets are'} served by no record, and so no part of the run: "
        f"{first}{more}; add them to a record's ips, or exclude them"
    )


def _zones(plan: Plan, campaign: Campaign) -> Iterator[str]:
    planned = plan.by_zone()
    if len(planned) > 1:
        yield "without --nats, this machine's own appliance does the targets of all zones"
    for zone, fallback in campaign.zone_map.fallbacks.items():
        if zone in planned:
            yield (
                f"when zone {zone!r} has had no appliance for {fallback.after:g} s, those of {fallback.zone!r} do its "
                "targets"
            )
    for table in campaign.zones:
        if table.ips and table.name not in planned:
            yield f"zone {table.name!r} has no target of this plan"


def _notes(plan: Plan, campaign: Campaign) -> Iterator[str]:
    if without := unserved(plan):
        yield without
    yield from _zones(plan, campaign)
    yield from exposures_of(campaign.snapshot()).values()
    for vault in campaign.vaults:
        if vault.fetch == "shared":
            yield (
                f"vault {vault.title!r} is shared: every scan process views a secret once per {vault.max_age:g} s, and "
                "the vault's audit names only the target that asked first; a directory account whose password changes "
                "meanwhile may spend its whole failure budget on the old one"
            )
    for jump in dict.fromkeys(filter(None, map(jump_of, campaign.records))):
        yield (
            f"jump host {jump.place}: every scan process logs in there once as {jump.account}, with "
            f"{jump.secret.described} in {jump.secret.vault!r}; these views are not among those counted here"
        )
    by_soap = {vault.title for vault in campaign.vaults if vault.api == "soap"}
    for record in campaign.records:
        if record.secret.by is SecretLookup.MACHINE and record.vault in by_soap:
            yield (
                f"record {record.title!r} finds its secrets by machine, and vault {record.vault!r} is asked by SOAP: "
                "that is a search for each target, where REST needs one listing for all"
            )
    spellings: dict[str, set[str]] = {}
    for account in RecordBook(campaign.records, campaign.vaults).directory_accounts():
        spellings.setdefault(account.user, set()).add(account.authority.removeprefix("dir:"))
    for user, names in sorted(spellings.items()):
        if len(names) > 1:
            yield (
                f"user {user!r} is counted apart in {', '.join(sorted(names))}; where these are one directory, give "
                'its records the same accounts = "NAME", so that they share one failure budget'
            )
