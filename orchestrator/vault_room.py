"""How many attempts may be open for a vault that limits its rate. Pure; time comes from outside.

The rules, stated here and nowhere else:

 R1 full      A deferral whose attempt found no room at the vault shows that more attempts are open than its appliances
              can keep waiting there. The limit is the number that was open, and one less for each such deferral.
              It is never less than LEAST.
 R2 room      Each attempt that ended in another way adds a part of a place, so that as many of them as there are places
              add one; a whole place when none found the vault full for CALM_S, since it may serve more by now.
 R3 forgotten When none found the vault full for FORGET_S there is no limit.
"""

from __future__ import annotations

from dataclasses import dataclass

LEAST = 64
CALM_S = 5.0
FORGET_S = 60.0


@dataclass(slots=True)
class _Limit:
    places: float
    full_at: float


class VaultRoom:
    """Counts the attempts that are open by vault; those that several vaults could serve are none of its business."""

    def __init__(self) -> None:
        self._open: dict[str, int] = {}
        self._limits: dict[str, _Limit] = {}

    def count(self, vault: str, step: int) -> None:
        """An attempt is opened (1) or closed (-1)."""
        self._open[vault] = self._open.get(vault, 0) + step

    def full(self, vault: str, now: float) -> None:
        """An attempt that is still counted has found no room."""
        limit = self._limits.setdefault(vault, _Limit(float(self._open.get(vault, 0)), now))
        limit.places, limit.full_at = max(float(LEAST), limit.places - 1.0), now

    def ended(self, vault: str, now: float) -> None:
        """An attempt ended, and not for that."""
        if (limit := self._limits.get(vault)) is not None:
            limit.places += 1 / limit.places if now - limit.full_at < CALM_S else 1.0

    def forget(self, now: float) -> None:
        for vault in [vault for vault, limit in self._limits.items() if now - limit.full_at >= FORGET_S]:
            del self._limits[vault]

    def limit(self, vault: str) -> int | None:
        """Attempts that may be open there; None where there is no limit."""
        limit = self._limits.get(vault)
        return None if limit is None else int(limit.places)

    def has_room(self, vault: str) -> bool:
        limit = self._limits.get(vault)
        return limit is None or self._open.get(vault, 0) < int(limit.places)
