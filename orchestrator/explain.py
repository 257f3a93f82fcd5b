"""What a plan would do, for `keymuster plan`: plain values, nothing is asked of vault or target.

Figures are bounds, said as such. Views: a job reads its secret once when the target asks for it, and once again when
the login is refused; a secret that has changed gets one more attempt with the same two reads; each retry may read
once. A secret for root is read where the login has passed and the host has asked, and once more when it is refused; a
login by key reads its own secret for sudo's question too. A Windows host whose record fails may be tried with one
other. A host that does not answer costs none. Where a vault's views are shared, one view per secret is expected; each
scan process has its own, anew after `max_age`, and the bound is the same, since sharing adds no view. Secret Server
writes one audit row per view. Rate: a directory account has at most `failure_budget` verdicts outstanding, so it logs
in at most that often per latency of one login; where sudo asks for its password too, that is half as many hosts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from appliance.contract import Candidate, CredentialRef, Jump, RootPassword, SecretLookup, Selection, Technology
from orchestrator.addresses import AddressSet
from orchestrator.campaign_model import Campaign, Record, WindowsRecord
from orchestrator.dispatch import Planned, Unplannable
from orchestrator.exposure import exposures_of
from orchestrator.plan import Plan
from orchestrator.records import RecordBook, jump_of

_READS_PER_LOGIN = 2
_NAMED = 5
"""Of the targets that no record serves, so many are named."""
_ROTATION_LOGINS = 2
"""The first attempt and the one after a rotation."""

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


@dataclass(frozen=True, slots=True)
class Explanation:
    totals: Mapping[Technology, int]
    rows: tuple[ExplainedTarget, ...]
    """The first ones, in the order of the run."""
    vault_views_expected: int
    vault_views_at_most: int
    audit_rows_at_most: int
    directories: tuple[DirectoryRate, ...]
    gates: tuple[str, ...]
    notes: tuple[str, ...]


def explain(plan: Plan, campaign: Campaign, *, limit: int, login_s: float = 0.5) -> Explanation:
    """Explain a plan; `login_s` is the assumed time from a permit to its verdict, in seconds."""
    at_most = sum(count * _views(campaign, technology) for technology, count in plan.totals().items())
    return Explanation(
        totals=plan.totals(),
        rows=tuple(_row(unit) for unit in islice(plan.walk(), limit)),
        vault_views_expected=_expected(plan, campaign),
        vault_views_at_most=at_most,
        audit_rows_at_most=at_most,
        directories=tuple(_rates(plan, login_s)),
        gates=tuple(gate.text for gate in campaign.gates),
        notes=tuple(_notes(plan, campaign)),
    )


def _expected(plan: Plan, campaign: Campaign) -> int:
    """One per unit, by its first record; those of a vault whose views are shared, one per secret."""
    shared = {vault.title for vault in campaign.vaults if vault.fetch == "shared"}
    if not shared and not any(_root_reads(record) for record in campaign.records):
        return plan.count_all
    own, secrets = 0, set[tuple[CredentialRef, bool]]()
    for unit in plan.walk():
        for read in _first_reads(unit):
            if read is not None and read[0].vault in shared:
                secrets.add(read)
            else:
                own += 1
    return own + len(secrets)


def _first_reads(unit: Planned | Unplannable) -> Iterator[tuple[CredentialRef, bool] | None]:
    """By its first record: of the login's secret, and of root's where that is one more."""
    first = unit.candidates[0] if isinstance(unit, Planned) and unit.candidates else None
    yield (first.secret, first.private_key) if first is not None else None
    if first is not None and first.root is not None and (first.root.secret != first.secret or first.private_key):
        yield first.root.secret, False


def _root_reads(record: Record) -> int:
    """At most so many reads of one login for root."""
    if isinstance(record, WindowsRecord):
        return 0
    root = record.root_delegation
    first = root.secret is not None or (root.password is not None and record.private_key)
    return int(first) + int(first or root.password is not None)


def _views(campaign: Campaign, technology: Technology) -> int:
    """At most so many reads for one unit. A Unix target has one record; a Windows one a single fallback."""
    records = [r for r in campaign.records if r.technology == technology.value]
    tried = min(len(records), 2 if technology is Technology.WINDOWS else 1)
    more = max((_root_reads(record) + _fallbacks(record) for record in records), default=0)
    logins = tried * _READS_PER_LOGIN * _ROTATION_LOGINS + campaign.pace.retries
    return logins + more if tried else 0


def _fallbacks(record: Record) -> int:
    """At most so many further reads of one login: its retry after a rotation goes through all of them again."""
    return 0 if isinstance(record, WindowsRecord) else len(record.fallback) * _ROTATION_LOGINS


def _row(unit: Planned | Unplannable) -> ExplainedTarget:
    if isinstance(unit, Unplannable):
        return ExplainedTarget(unit.technology, unit.target.address, unit.job, (), f"{unit.reason}: {unit.text}")
    records = tuple(_record(candidate) for candidate in unit.candidates)
    return ExplainedTarget(unit.technology, unit.target.address, unit.job, records)


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


def _rates(plan: Plan, login_s: float) -> Iterator[DirectoryRate]:
    for account, records in plan.book.directory_accounts().items():
        budget = plan.book.budget_for(account)
        targets = _targets_of(plan, records)
        if budget is None or not targets:
            continue
        rate = budget.failures / login_s
        yield DirectoryRate(
            account=str(account),
            records=tuple(record.title for record in records),
            budget=budget.failures,
            window_s=budget.window_s,
            targets_at_most=targets,
            logins_per_s=rate,
            at_least_s=targets / rate,
        )


def _targets_of(plan: Plan, records: tuple[Record, ...]) -> int:
    """How many units these records could serve: exact by address, all of a cursor for one that goes by domain."""
    total = 0
    for part in plan.parts:
        own = [r for r in records if r.technology == part.technology.value]
        if any(isinstance(r, WindowsRecord) and not r.by_address for r in own):
            total += part.count
        else:
            served = AddressSet.parse(entry for record in own for entry in record.ips)
            total += min(part.count, part.targets.within(served).count)
    return total


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


def _notes(plan: Plan, campaign: Campaign) -> Iterator[str]:
    if without := unserved(plan):
        yield without
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
