"""Which vaults the targets of each zone may need: a vault may admit the appliances of its own zone only. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from orchestrator.addresses import AddressSet
from orchestrator.campaign_model import Campaign, Record
from orchestrator.plan import Plan
from orchestrator.zones import Zoning


def vaults_by_zone(plan: Plan, campaign: Campaign, zones: Zoning) -> Mapping[str, Sequence[str]]:
    """Titles, by the zones that a run may work in; those that stand in may need what their homes do."""
    found: dict[str, dict[str, None]] = {zone: {} for zone in zones.all}
    for part in plan.parts:
        titles = {
            title: None
            for record in campaign.records
            if record.technology == part.technology.value and _serves(record, part.targets.addresses)
            for title in _vaults(record)
        }
        fallback = zones.fallbacks.get(part.zone)
        for zone in (part.zone, *([fallback.zone] if fallback is not None else ())):
            found[zone] |= titles
    return {zone: tuple(titles) for zone, titles in found.items()}


def _serves(record: Record, targets: AddressSet) -> bool:
    """A record that goes by domain may serve any."""
    return not record.ips or (AddressSet.parse(record.ips) & targets).count > 0


def _vaults(record: Record) -> Iterator[str]:
    yield record.vault
    if record.technology == "unix":
        if record.root_delegation.vault:
            yield record.root_delegation.vault
        if record.jump is not None and record.jump.vault:
            yield record.jump.vault
