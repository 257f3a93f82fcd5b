"""How much of a plan records and vaults have: the targets that a record may serve, and the views of its secret. Pure.

Views are bounds, said as such: a job reads its secret once when the target asks for it, and once again when the login
is refused; a secret that has changed gets one more attempt with the same two reads; each retry may read once. A secret
for root is read where the login has passed and the host has asked, and once more when it is refused; a login by key
reads its own secret for sudo's question too. A Windows host whose record fails may be tried with one other. A host that
does not answer costs none. Where a vault's views are shared, one view per secret is expected; each scan process has its
own, anew after `max_age`, and the bound is the same, since sharing adds no view.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from appliance.contract import CredentialRef, Technology
from orchestrator.addresses import AddressSet
from orchestrator.attempts import Planned, Unplannable
from orchestrator.campaign_model import Campaign, Record, WindowsRecord
from orchestrator.plan import Plan

_READS_PER_LOGIN = 2
_ROTATION_LOGINS = 2
"""The first attempt and the one after a rotation."""


def targets_of(plan: Plan, records: Sequence[Record]) -> int:
    """How many units these records could serve: exact by address, all of a cursor for one that goes by domain. Of a
    sample, as many as there are likely to be.
    """
    total = 0
    for part in plan.parts:
        own = [r for r in records if r.technology == part.technology.value]
        if any(isinstance(r, WindowsRecord) and not r.by_address for r in own):
            total += part.count
        elif own:
            served = AddressSet.parse(entry for record in own for entry in record.ips)
            whole = part.targets.count
            total += -(-part.targets.within(served).count * part.count // whole) if whole else 0
    return total


def expected_views(plan: Plan, campaign: Campaign) -> tuple[int, int]:
    """If nothing fails: one per unit, by its first record; and of vaults whose views are shared, one per secret."""
    shared = {vault.title for vault in campaign.vaults if vault.fetch == "shared"}
    if not shared and not any(_root_reads(record) for record in campaign.records):
        return plan.count_all, 0
    own, secrets = 0, set[tuple[CredentialRef, bool]]()
    for unit in plan.walk():
        for read in _first_reads(unit):
            if read is not None and read[0].vault in shared:
                secrets.add(read)
            else:
                own += 1
    return own, len(secrets)


def views_at_most(plan: Plan, campaign: Campaign) -> int:
    return sum(count * _views(campaign, technology) for technology, count in plan.totals().items())


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
