"""Which zone a target belongs to, and who may stand in for a zone. Pure.

The rules, stated here and nowhere else (what a file may not say: `campaign_zones`):

 P1 specific   An address belongs to the zone with the smallest entry that holds it. Entries of two zones lie within
               each other or apart.
 P2 name       A target that is a DNS name belongs to the zone that names it: nothing is resolved here.
 P3 rest       Whatever no zone names belongs to the campaign's own, `pace.zone`.
"""

from __future__ import annotations

import bisect
import heapq
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from orchestrator.addresses import AddressSet, Name, Span, canonical_address, merge, number_of, parse_entry

DEFAULT_ZONE = "default"

_Part = tuple[int, int, str]
"""First and last address, and their zone."""


@dataclass(frozen=True, slots=True)
class StandIn:
    """Who stands in for a zone."""

    zone: str
    after: float
    """Seconds for which the zone must have been gone."""


@dataclass(frozen=True, slots=True)
class Zoning:
    """The zones of a run."""

    targets: Mapping[str, int]
    """Planned units by the zone that their targets belong to, their home."""
    fallbacks: Mapping[str, StandIn] = field(default_factory=dict)
    """By home."""
    stand_in: str = ""
    """Where set, its appliances do everything, whatever the home: there are no others."""

    @property
    def homes(self) -> tuple[str, ...]:
        return tuple(self.targets)

    @property
    def all(self) -> tuple[str, ...]:
        """Every zone in which the run may have attempts."""
        if self.stand_in:
            return (self.stand_in,)
        stand_ins = (self.fallbacks[home].zone for home in self.homes if home in self.fallbacks)
        return tuple(dict.fromkeys((*self.homes, *stand_ins)))

    def size(self, zone: str) -> int:
        """How many units its appliances may be given."""
        if zone == self.stand_in:
            return sum(self.targets.values())
        behind = (n for home, n in self.targets.items() if home in self.fallbacks and self.fallbacks[home].zone == zone)
        return self.targets.get(zone, 0) or sum(behind)


@dataclass(frozen=True)
class ZoneMap:
    """A campaign's zones. Made by `zone_map`."""

    default: str
    parts: tuple[_Part, ...] = ()
    """Sorted, and apart from each other."""
    names: Mapping[str, str] = field(default_factory=dict)
    fallbacks: Mapping[str, StandIn] = field(default_factory=dict)

    @cached_property
    def _firsts(self) -> tuple[int, ...]:
        return tuple(first for first, _, _ in self.parts)

    def of(self, address: str) -> str:
        """The zone of a target, by its address or name."""
        number = number_of(address)
        if number is None:
            return self.names.get(canonical_address(address), self.default)
        n = bisect.bisect_right(self._firsts, number) - 1
        return self.parts[n][2] if n >= 0 and number <= self.parts[n][1] else self.default

    @cached_property
    def _sets(self) -> Mapping[str, AddressSet]:
        """What each zone but the rest has by its entries."""
        spans: dict[str, list[Span]] = {}
        for zone in (*(zone for _, _, zone in self.parts), *self.names.values()):
            spans.setdefault(zone, [])
        for first, last, zone in self.parts:
            spans[zone].append((first, last))
        by_name: dict[str, list[str]] = {}
        for name, zone in self.names.items():
            by_name.setdefault(zone, []).append(name)
        return {zone: AddressSet(merge(own), tuple(sorted(by_name.get(zone, ())))) for zone, own in spans.items()}

    def split(self, addresses: AddressSet) -> Mapping[str, AddressSet]:
        """These addresses by zone, the campaign's own zone first; none of the sets is empty."""
        elsewhere = {zone: own for zone, own in self._sets.items() if zone != self.default}
        rest = addresses
        for own in elsewhere.values():
            rest -= own
        found = {self.default: rest} | {zone: addresses & own for zone, own in elsewhere.items()}
        return {zone: part for zone, part in found.items() if part.count}


def zone_map(default: str, entries: Iterable[tuple[str, Iterable[str]]], fallbacks: Mapping[str, StandIn]) -> ZoneMap:
    """`entries`: of each zone, as the campaign has them. Raises AddressError."""
    spans: list[_Part] = []
    names: dict[str, str] = {}
    for zone, texts in entries:
        for entry in map(parse_entry, texts):
            if isinstance(entry, Name):
                names[entry.text] = zone
            else:
                spans.append((*entry, zone))
    return ZoneMap(default, tuple(_apart(spans)), names, fallbacks)


def _apart(spans: Iterable[_Part]) -> Iterator[_Part]:
    """Entries that lie within each other, as the pieces that each of them is the smallest for."""
    coming = [(first, -last, first - last, zone) for first, last, zone in spans]
    """The third: how large the entry is as the campaign has it, by which it is told from one that it holds, where it
    has been cut down to that one's size.
    """
    heapq.heapify(coming)
    around: list[tuple[int, str]] = []
    """The last address and the zone of those that hold the current address, the largest first."""
    at = 0
    while coming:
        first, minus_last, minus_size, zone = heapq.heappop(coming)
        last = -minus_last
        while around and around[-1][0] < first:
            end, outer = around.pop()
            if at <= end:
                yield at, end, outer
                at = end + 1
        if around and last > around[-1][0]:
            # Two entries of one zone that cross: the second begins where the first one ends.
            heapq.heappush(coming, (around[-1][0] + 1, minus_last, minus_size, zone))
            continue
        if around and at < first:
            yield at, first - 1, around[-1][1]
        at = first
        around.append((last, zone))
    while around:
        end, outer = around.pop()
        if at <= end:
            yield at, end, outer
            at = end + 1
