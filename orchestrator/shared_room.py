"""Room that the runs of a holder share: in subnets that a campaign caps, and at vaults that limit their rate. Pure.

The rules, stated here and nowhere else:

 N1 cap      In a place at most as many attempts are open, of all runs together, as the smallest cap of those runs that
             want to be there. A run without a cap on subnets neither counts nor waits there.
 N2 share    While others want to be in a place too, a run begins nothing there beyond its part by priority. What it has
             begun before ends by itself.
 N3 turns    Where a run's part is less than one, it does not begin there twice in a row while another wants to.
 N4 wanting  Whoever has an attempt open in a place wants to be there, and whoever found no room within WANTS_S.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from orchestrator.vault_room import VaultRoom

WANTS_S = 3.0


@dataclass(slots=True)
class _Place:
    open: dict[str, int] = field(default_factory=dict)
    """By run."""
    caps: dict[str, int] = field(default_factory=dict)
    """Of the runs that have asked."""
    refused: dict[str, float] = field(default_factory=dict)
    """When a run found no room."""
    last: str = ""
    """The run that began here last."""

    def others(self, run: str, now: float) -> list[str]:
        """Those that want to be here beside the run (N4)."""
        lately = (one for one, at in self.refused.items() if now - at < WANTS_S)
        return [one for one in dict.fromkeys((*self.open, *lately)) if one != run]


class Neighbourhood:
    """All runs of one holder. A run's `RoomOf` is what its dispatcher asks."""

    def __init__(self) -> None:
        self.vaults = VaultRoom()
        self.priorities: dict[str, int] = {}
        """Of the runs that are open; whoever opens them keeps it."""
        self._places: dict[str, _Place] = {}
        self.now = 0.0

    def may_begin(self, run: str, name: str, cap: int, *, asks: bool = True) -> bool:
        """`asks`: it would, and waits if it may not."""
        place = self._places.setdefault(name, _Place())
        place.caps[run] = cap
        others = place.others(run, self.now)
        allowed = self._allowed(run, place, others, cap)
        if asks and not allowed:
            place.refused[run] = self.now
        return allowed

    def _allowed(self, run: str, place: _Place, others: list[str], cap: int) -> bool:
        least = min(cap, *(place.caps.get(other, cap) for other in others)) if others else cap  # N1
        if sum(place.open.values()) >= least:
            return False
        if not others:
            return True
        total = sum(self.priorities.get(one, 1) for one in (*others, run))
        part = least * self.priorities.get(run, 1) // total
        return place.open.get(run, 0) < part if part else place.last != run  # N2, N3

    def count(self, run: str, name: str, step: int) -> None:
        """An attempt is opened (1) or closed (-1)."""
        place = self._places.setdefault(name, _Place())
        number = max(0, place.open.get(run, 0) + step)
        if step > 0:
            place.last = run
            place.refused.pop(run, None)
        if number:
            place.open[run] = number
            return
        place.open.pop(run, None)
        if not place.open and not place.refused:
            del self._places[name]

    def leave(self, run: str) -> None:
        """The run has nothing open any more."""
        for name, place in list(self._places.items()):
            for of in (place.open, place.caps, place.refused):
                of.pop(run, None)
            if not place.open and not place.refused:
                del self._places[name]


class RoomOf:
    """One run's view."""

    def __init__(self, run: str = "", neighbourhood: Neighbourhood | None = None, per_subnet: int = 0) -> None:
        self._run = run
        self._all = neighbourhood if neighbourhood is not None else Neighbourhood()
        self._per_subnet = per_subnet
        self._vaults: dict[str, int] = {}
        self._left = False

    def at(self, now: float) -> None:
        self._all.now = now
        self._all.vaults.forget(now)

    def subnet_has_room(self, subnet: str) -> bool:
        return not self._per_subnet or self._all.may_begin(self._run, f"subnet {subnet}", self._per_subnet)

    def count_subnet(self, subnet: str, step: int) -> None:
        if self._per_subnet and not self._left:
            self._all.count(self._run, f"subnet {subnet}", step)

    def vault_has_room(self, vault: str, *, asks: bool = True) -> bool:
        """`vault`: what tells it from all others, in every campaign."""
        limit = self._all.vaults.limit(vault)
        return limit is None or self._all.may_begin(self._run, f"vault {vault}", limit, asks=asks)

    def count_vault(self, vault: str, step: int) -> None:
        if self._left:
            return
        self._vaults[vault] = self._vaults.get(vault, 0) + step
        self._all.vaults.count(vault, step)
        self._all.count(self._run, f"vault {vault}", step)

    def vault_full(self, vault: str, now: float) -> None:
        self._all.vaults.full(vault, now)

    def vault_ended(self, vault: str, now: float) -> None:
        self._all.vaults.ended(vault, now)

    def leave(self) -> None:
        """The run's attempts that are still open count no longer: nobody here waits for them, and a report of one may
        come all the same.
        """
        self._left = True
        for vault, number in self._vaults.items():
            self._all.vaults.count(vault, -number)
        self._vaults.clear()
        self._all.leave(self._run)
