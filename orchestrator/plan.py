"""A run's plan: every target x technology once, in a shuffled order, without ever being written out. Pure.

Targets are what the campaign includes without what it excludes; an excluded one is no part of the plan and makes no
row. A target that is included twice is planned once; attributes that one entry gives it stay with it. An entry with
attributes is excluded by its name and FQDN too. (A DNS name that resolves to an excluded address is known only to the
appliance, whose own policy refuses it.)

There is one cursor per technology and zone (`zones` says which zone a target belongs to). Its n-th unit is a pure
function of campaign, seed and n, so a run is resumed by the cursors' indices alone. Where the campaign names
technologies, every target is planned for each of them; else each target for those that some record could serve.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property

from appliance.contract import CredentialRef, Target, Technology, canonical
from orchestrator.addresses import AddressSet, canonical_address
from orchestrator.attempts import Planned, Unplannable
from orchestrator.campaign_model import Campaign, Targets
from orchestrator.permutation import Permutation
from orchestrator.records import NoCandidate, RecordBook

_SAMPLE = re.compile(r"([0-9]{1,18})|([0-9]{1,3}(?:\.[0-9]{1,6})?)%")


@dataclass(frozen=True, slots=True)
class NothingSelected:
    """The campaign plans nothing; the text says why and what to do."""

    text: str


@dataclass(frozen=True)
class TargetSet:
    """Addresses and names, some of them with attributes."""

    addresses: AddressSet
    attributes: Mapping[str, Target] = field(default_factory=dict)
    """By canonical address; may hold more than the set does."""

    @property
    def count(self) -> int:
        return self.addresses.count

    def at(self, index: int) -> Target:
        """Raises IndexError."""
        address = self.addresses.at(index)
        return self.attributes.get(address) or Target(address=address)

    def within(self, served: AddressSet | None) -> TargetSet:
        return self if served is None else replace(self, addresses=self.addresses & served)

    @staticmethod
    def of(targets: Iterable[Target]) -> TargetSet:
        """An explicit list."""
        known = {canonical_address(t.address): t for t in targets}
        return TargetSet(AddressSet.parse(known), known)


def select(targets: Targets) -> TargetSet:
    """What a campaign includes, without what it excludes."""
    attributes = {
        address: Target(address=address, host=e.host or "", fqdn=e.fqdn or "", domain=e.domain or "")
        for e in targets.include
        if e.host or e.fqdn or e.domain
        for address in (canonical_address(e.address),)
    }
    excluded = AddressSet.parse(targets.exclude) | excluded_by_name(targets)
    return TargetSet(AddressSet.parse(e.address for e in targets.include) - excluded, attributes)


def excluded_by_name(targets: Targets) -> AddressSet:
    """The addresses of the entries whose names are excluded."""
    excluded = AddressSet.parse(targets.exclude)
    return AddressSet.parse(
        e.address for e in targets.include if any(name in excluded for name in (e.host, e.fqdn) if name)
    )


@dataclass(frozen=True)
class Cursor:
    """The units of one technology in one zone, in the order of the seed."""

    technology: Technology
    zone: str
    targets: TargetSet
    seed: int
    limit: int | None = None
    """A sample: only the first so many."""

    @property
    def name(self) -> str:
        return f"{self.technology}/{self.zone}"

    @cached_property
    def count(self) -> int:
        return self.targets.count if self.limit is None else min(self.limit, self.targets.count)

    @cached_property
    def _order(self) -> Permutation:
        return Permutation(self.targets.count, self.seed)

    def at(self, index: int) -> Target:
        """Raises IndexError."""
        if not 0 <= index < self.count:
            raise IndexError(index)
        return self.targets.at(self._order[index])


@dataclass(frozen=True)
class Plan:
    """A run's cursors, and the records that resolve their targets; the dispatcher's `Source`."""

    run: str
    book: RecordBook
    parts: tuple[Cursor, ...]
    unserved: AddressSet = field(default_factory=AddressSet)
    """Targets of the campaign that no record could serve: they are no part of the plan."""

    @cached_property
    def _by_name(self) -> Mapping[str, Cursor]:
        return {part.name: part for part in self.parts}

    @property
    def count_all(self) -> int:
        return sum(part.count for part in self.parts)

    def totals(self) -> Mapping[Technology, int]:
        """How many targets are planned for each technology."""
        totals: dict[Technology, int] = {}
        for part in self.parts:
            totals[part.technology] = totals.get(part.technology, 0) + part.count
        return totals

    def by_zone(self) -> Mapping[str, int]:
        """How many units each zone has."""
        totals: dict[str, int] = {}
        for part in self.parts:
            totals[part.zone] = totals.get(part.zone, 0) + part.count
        return totals

    def zone(self, cursor: str) -> str:
        return self._by_name[cursor].zone

    def counts(self) -> Mapping[str, tuple[Technology, int]]:
        """How many units each cursor has, and of which technology."""
        return {part.name: (part.technology, part.count) for part in self.parts}

    def cursors(self) -> Sequence[str]:
        return tuple(self._by_name)

    def count(self, cursor: str) -> int:
        return self._by_name[cursor].count

    def at(self, cursor: str, index: int) -> Planned | Unplannable:
        part = self._by_name[cursor]
        target = part.at(index)
        job = job_id(self.run, target, part.technology)
        candidates = self.book.candidates(target, part.technology)
        if isinstance(candidates, NoCandidate):
            return Unplannable(job, part.technology, target, candidates.reason, candidates.text, part.zone)
        return Planned(job, part.technology, target, candidates, part.zone)

    def walk(self, indices: Mapping[str, int] | None = None) -> Iterator[Planned | Unplannable]:
        """Every unit from these indices on (default: from the start), in turns between the cursors."""
        following = {name: (indices or {}).get(name, 0) for name in self.cursors()}
        while following:
            for name, index in tuple(following.items()):
                if index < self.count(name):
                    following[name] = index + 1
                    yield self.at(name, index)
                else:
                    del following[name]

    def uses(self) -> Mapping[CredentialRef, Sequence[str]]:
        """The jobs that may ask for each secret, in the plan's order. Walks the whole plan."""
        found: dict[CredentialRef, list[str]] = {}
        for unit in self.walk():
            if isinstance(unit, Planned):
                for secret in dict.fromkeys(secret for candidate in unit.candidates for secret in candidate.secrets):
                    found.setdefault(secret, []).append(unit.job)
        return found


def build_plan(campaign: Campaign, book: RecordBook, *, run: str, seed: int) -> Plan | NothingSelected:
    """The plan of a run."""
    targets = select(campaign.targets)
    if not campaign.targets.include:
        return NothingSelected("the campaign names no targets; add them to [targets] include")
    if targets.count == 0:
        return NothingSelected("every target of the campaign is excluded; correct [targets] exclude")
    named = campaign.targets.technologies
    technologies = book.technologies() if named is None else tuple(dict.fromkeys(named))
    served = ((t, targets.within(book.serves(t) if named is None else None)) for t in technologies)
    parts = (
        Cursor(t, zone, own.within(part), seed)
        for t, own in served
        for zone, part in campaign.zone_map.split(own.addresses).items()
    )
    planned = tuple(part for part in parts if part.count)
    unserved = targets.addresses
    for part in planned:
        unserved -= part.targets.addresses
    plan = Plan(run, book, planned, unserved)
    if not plan.parts:
        return NothingSelected(
            "no record serves any target of the campaign; add the targets to a record's ips, or name [targets] "
            "technologies to have them reported as not attempted"
        )
    return plan


@dataclass(frozen=True, slots=True)
class SampleSize:
    """How much of a plan: a number of units, or a share of all of them."""

    units: int = 0
    share: Fraction = Fraction(0)

    @staticmethod
    def parse(text: str) -> SampleSize:
        """`10` or `1%`. Raises ValueError with a text for the user."""
        match = _SAMPLE.fullmatch(text.strip())
        if match is None:
            raise ValueError(f"{text!r} is no sample; write a number of targets (10) or a share of them (1%)")
        size = SampleSize(units=int(match[1])) if match[1] else SampleSize(share=Fraction(match[2]) / 100)
        if size.share > 1 or not (size.units or size.share):
            raise ValueError(f"{text!r} is no sample; it must be at least one target and at most all of them (100%)")
        return size


def sample(plan: Plan, size: SampleSize, *, seed: int) -> Plan:
    """A random part of a plan, in target x technology, spread evenly over its cursors; a share is rounded up."""
    left = size.units or -(-plan.count_all * size.share.numerator // size.share.denominator)
    parts: list[Cursor] = []
    for rank, part in enumerate(sorted(plan.parts, key=lambda p: p.count)):
        # The smallest first: what it cannot take of its even share, the larger ones can.
        take = min(part.count, -(-left // (len(plan.parts) - rank)))
        left -= take
        parts.append(replace(part, seed=seed, limit=take))
    order = {part.name: n for n, part in enumerate(plan.parts)}
    return replace(plan, parts=tuple(sorted((p for p in parts if p.count), key=lambda p: order[p.name])))


def only(plan: Plan, units: Iterable[tuple[Target, Technology]]) -> Plan | NothingSelected:
    """A plan restricted to these units, as a rerun wants them. Those that the campaign no longer plans are left out."""
    wanted: dict[Technology, list[Target]] = {}
    for target, technology in units:
        wanted.setdefault(technology, []).append(target)
    parts = (
        replace(part, targets=part.targets.within(TargetSet.of(wanted.get(part.technology, ())).addresses))
        for part in plan.parts
    )
    kept = tuple(part for part in parts if part.count)
    if not kept:
        return NothingSelected("none of these targets is planned by the campaign any more; nothing to run again")
    return replace(plan, parts=kept, unserved=AddressSet())


def job_id(run: str, target: Target, technology: Technology) -> str:
    """The same 20 hex digits for a target of a run whenever they are asked for: its address says which one it is."""
    return hashlib.blake2b(canonical([run, target.address, technology.value]), digest_size=10).hexdigest()
