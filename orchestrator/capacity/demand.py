"""How much work a plan is: what its targets log in as, what vaults are asked for, what the pace allows. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from string import Formatter

from appliance.contract import SecretLookup, Technology
from orchestrator.campaign_model import Campaign, SecretReference
from orchestrator.plan import Plan
from orchestrator.records import account_of
from orchestrator.shares import targets_of, views_at_most

_V6 = 1 << 32
"""Where IPv6 addresses begin in an `AddressSet`."""


@dataclass(frozen=True, slots=True)
class Stream:
    """Targets of one technology that log in as one directory account, or each as an account of its own."""

    technology: Technology
    account: str
    """`user@authority`; empty for accounts of single hosts."""
    count: int
    budget: int
    """Failed logons that each account may suffer within its window."""
    window_s: float


@dataclass(frozen=True, slots=True)
class VaultDemand:
    title: str
    share: float
    """Of all targets."""
    requests_per_view: float
    """Looking the secret's name up is a request too, where each target has a name of its own."""
    shared: bool
    max_age: float


@dataclass(frozen=True, slots=True)
class Demand:
    streams: tuple[Stream, ...]
    vaults: tuple[VaultDemand, ...]
    shared_secrets: int
    """Secrets that one view serves many targets with."""
    views_at_most: int
    widest_subnet: int
    """Targets of the fullest /24 or /64."""
    deadline: float
    capacity: int
    vault_requests: int
    per_subnet: int

    @property
    def count(self) -> int:
        return sum(stream.count for stream in self.streams)

    @property
    def by_account(self) -> Mapping[str, Sequence[Stream]]:
        """Of directories: an account's budget is one, whatever it logs in to."""
        found: dict[str, list[Stream]] = {}
        for stream in self.streams:
            if stream.account:
                found.setdefault(stream.account, []).append(stream)
        return found


def demand_of(plan: Plan, campaign: Campaign) -> Demand:
    pace = campaign.pace
    return Demand(
        streams=tuple(_streams(plan, campaign)),
        vaults=tuple(_vaults(plan, campaign)),
        shared_secrets=sum(_shared_secrets(plan, campaign)),
        views_at_most=views_at_most(plan, campaign),
        widest_subnet=_widest(plan) if pace.per_subnet else 0,
        deadline=pace.deadline,
        capacity=pace.capacity,
        vault_requests=pace.vault_requests,
        per_subnet=pace.per_subnet,
    )


def _streams(plan: Plan, campaign: Campaign) -> Iterator[Stream]:
    """Where several accounts may serve a target (by domain), each is given its part of it."""
    directories = plan.book.directory_accounts()
    for technology, total in plan.totals().items():
        claims = {a: targets_of(plan, [r for r in rs if r.technology == technology]) for a, rs in directories.items()}
        claims = {account: count for account, count in claims.items() if count}
        claimed = sum(claims.values())
        local = [r for r in campaign.records if r.technology == technology and not account_of(r, "").is_directory]
        own = min(total, targets_of(plan, local)) if local else 0
        left = total - own if claimed + own > total else claimed
        taken = 0
        for account, count in claims.items():
            budget = plan.book.budget_for(account)
            part = count * left // claimed
            taken += part
            if budget is not None and part:
                yield Stream(technology, str(account), part, budget.failures, budget.window_s)
        if rest := total - taken:
            budgets = [(record.failure_budget, record.failure_window) for record in local] or [(0, 0.0)]
            yield Stream(technology, "", rest, *max(budgets))


def _vaults(plan: Plan, campaign: Campaign) -> Iterator[VaultDemand]:
    for vault in campaign.vaults:
        records = [record for record in campaign.records if record.vault == vault.title]
        counts = [targets_of(plan, [record]) for record in records]
        total = sum(counts)
        if not total:
            continue
        requests = sum(
            count * (1 + _looked_up(record.secret, by_soap=vault.api == "soap"))
            for record, count in zip(records, counts, strict=True)
        )
        share = min(1.0, total / plan.count_all)
        yield VaultDemand(vault.title, share, requests / total, vault.fetch == "shared", vault.max_age)


def _looked_up(secret: SecretReference, *, by_soap: bool) -> bool:
    """Does each target cost a request that finds its secret?"""
    listed = secret.by in (SecretLookup.MACHINE, SecretLookup.NAME) and not by_soap
    return _own(secret) and not listed


def _own(secret: SecretReference) -> bool:
    """Has each target a secret of its own?"""
    return secret.id is None and any(name for _, name, _, _ in Formatter().parse(secret.text))


def _shared_secrets(plan: Plan, campaign: Campaign) -> Iterator[int]:
    """By record. (The plan is not walked for it: of a large one that takes minutes.)"""
    shared = {vault.title for vault in campaign.vaults if vault.fetch == "shared"}
    named: set[tuple[str, str]] = set()
    for record in campaign.records:
        if record.vault in shared and _own(record.secret):
            yield targets_of(plan, [record])
        elif record.vault in shared and (record.vault, record.secret.text) not in named:
            named.add((record.vault, record.secret.text))
            yield 1


def _widest(plan: Plan) -> int:
    """Targets of the fullest /24 (IPv4) or /64 (IPv6), over all technologies; a name is a subnet of its own."""
    counts: Counter[int] = Counter()
    full = 0.0
    for part in plan.parts:
        share = part.count / max(part.targets.count, 1)
        for first, last in part.targets.addresses.spans:
            size = 1 << (8 if first < _V6 else 64)
            base = 0 if first < _V6 else _V6
            one, other = (first - base) // size, (last - base) // size
            if other - one > 1:
                full = max(full, size * share)
            for subnet in dict.fromkeys((one, other)):
                begins = base + subnet * size
                counts[begins] += round((min(last, begins + size - 1) - max(first, begins) + 1) * share)
    return max(round(full), *counts.values(), 1)
