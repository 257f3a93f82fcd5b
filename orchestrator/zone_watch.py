"""Which zones of a run are there, and where the targets of one that is not go. Pure; time comes from outside.

The rules, stated here and nowhere else:

 Z1 there      A zone is there while its appliances have room for jobs. Those that are gone, that are being drained, and
               that are too old for the run's jobs, have none.
 Z2 fallback   Once a zone has not been there for its `fallback_after`, and the fallback that the campaign names for it
               is there, new attempts at its targets go to the fallback.
 Z3 one step   The fallback of a fallback is nobody's but its own.
 Z4 back       As soon as the zone is there again, new attempts at its targets are its own again. What the fallback has
               been given by then ends there.
 Z5 recall     What lies in the queue of a zone that is not there, given to no appliance, is taken back once some of it
               could go elsewhere; that is no retry. What an appliance had been given is lost once the zone has not
               been there for the attempts' deadline and a grace: till then it may be at work behind a cut line.
 Z6 alone      A zone that has not been there for `zone_patience`, nor whoever stands in for it, is given up. The run
               goes on with the others; when only such zones have anything left it stops, to be resumed.

A run begins with all its zones taken for there, so that each has its time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from orchestrator.zones import Zoning


@dataclass(slots=True)
class ZoneWatch:
    zones: Zoning
    patience: float
    route: dict[str, str] = field(default_factory=dict)
    """Who stands in, by home; homes that have their own targets are left out."""
    _seen_at: dict[str, float] = field(default_factory=dict)
    _recalled: set[str] = field(default_factory=set)
    """Zones whose queues have been emptied since they have not been there."""

    def __post_init__(self) -> None:
        if self.zones.stand_in:
            self.route = dict.fromkeys(self.zones.homes, self.zones.stand_in)

    def note(self, capacity: Mapping[str, int], now: float) -> tuple[str, ...]:
        """What each zone has room for; the homes whose targets go elsewhere from now on, or their own way again."""
        for zone in self.zones.all:
            if capacity.get(zone, 0) or zone not in self._seen_at:
                self._seen_at[zone] = now
                self._recalled.discard(zone)
        if self.zones.stand_in:
            return ()
        before = dict(self.route)
        for home, fallback in self.zones.fallbacks.items():
            gone = now - self._seen_at.get(home, now)
            if capacity.get(home, 0):
                self.route.pop(home, None)  # Z4
            elif gone >= fallback.after and capacity.get(fallback.zone, 0):
                self.route[home] = fallback.zone  # Z2
        return tuple(home for home in self.zones.homes if self.route.get(home) != before.get(home))

    def worked_in(self, home: str) -> str:
        return self.route.get(home, home)

    def to_recall(self, out: Iterable[tuple[str, str]], capacity: Mapping[str, int]) -> tuple[str, ...]:
        """The zones whose queues are to be emptied now. `out`: zone and home of the attempts that are out."""
        found: dict[str, None] = {}
        for zone, home in out:
            elsewhere = self.worked_in(home)
            if zone != elsewhere and not capacity.get(zone, 0) and capacity.get(elsewhere, 0):
                found[zone] = None
        new = tuple(zone for zone in found if zone not in self._recalled)
        self._recalled.update(new)
        return new

    def gone(self, now: float, wait: float) -> tuple[str, ...]:
        """Zones that have not been there for so long."""
        return tuple(zone for zone in self.zones.all if now - self._seen_at.get(zone, now) >= wait)

    def overdue(self, now: float, wait: float) -> tuple[str, ...]:
        """Zones that have been emptied, and have not been there for so long (Z5)."""
        return tuple(zone for zone in self.gone(now, wait) if zone in self._recalled)

    def given_up(self, now: float) -> tuple[str, ...]:
        """Homes (Z6)."""
        gone = self.gone(now, self.patience)

        def stand_ins(home: str) -> tuple[str, ...]:
            if self.zones.stand_in:
                return (self.zones.stand_in,)
            fallback = self.zones.fallbacks.get(home)
            return (home,) if fallback is None else (home, fallback.zone)

        return tuple(home for home in self.zones.homes if all(zone in gone for zone in stand_ins(home)))

    def alone(self, left: Mapping[str, int], now: float) -> str:
        """Why the run is to stop; empty while some zone that is there, or may come back, has anything left."""
        lost = self.given_up(now)
        waiting = [home for home in self.zones.homes if left.get(home)]
        if not waiting or any(home not in lost for home in waiting):
            return ""
        names = [self.zones.stand_in] if self.zones.stand_in else waiting
        listed = ", ".join(map(repr, names))
        text = f"no appliance of zone {listed} has been alive to take its jobs for {self.patience:g} s"
        return text if self.zones.stand_in else f"{text} (drained ones take none until `keymuster fleet resume`)"
