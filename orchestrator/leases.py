"""Which leases may be taken over. Pure: what was read of the store, and when, comes from outside.

The rules, stated here and nowhere else:

 T1 life      A holder counts its leases up every BEAT_S. One that has not been counted up for LOST_S, as somebody saw
              who looked all that time, has lost its holder, and whoever sees it so first may take it.
 T2 own eyes  No clocks are compared, the store's neither: each looks with its own monotonic clock. Whoever has not
              looked for GAP_S begins anew: it slept, or could not read, and perhaps the holder could not write.
 T3 heir      Of two processes with one name, the lock on their state directory lets one live: it has what the other
              held, at once.
 T4 silence   Is one not counted up for SILENT_S, its holder may be frozen in the middle of a statement to the store,
              with rows locked that others wait for, and its lease's among them: such sessions are ended.
 T5 fence     Whether a holder still holds a lease, each of its writes asks the store (`store/leases.py`): a frozen one
              that wakes up writes nothing, however long it thinks that it holds it.

So a killed holder is taken over from in LOST_S to LOST_S + LOOK_S + a look of the successor's, 12 s at most; one that
gives its lease back, at the next look.

The bus has no part in it, though it has leases too (keys that expire): a key's holder could not be asked about in the
transaction that it fences, and a bus may come back empty, or as it was a while ago. The store is the truth already;
whoever cannot reach it can do nothing that matters, and holds what it holds.
"""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.store.frozen import SILENT_S
from orchestrator.store.leases import LeaseRow

BEAT_S = 2.0
LOOK_S = 1.5
LOST_S = 9.0
COMMAND = "command-"
"""Begins the name of a command that holds a run for as long as it gives it an order."""
GAP_S = 4.0
KNOWN_S = 3 * LOST_S
"""By then the sessions of a frozen holder have been ended; its lease may stay for long, where nobody wants it."""


class LeaseWatch:
    """What one process has seen of all leases."""

    def __init__(self, owner: str) -> None:
        self._owner = owner
        self._rows: dict[str, LeaseRow] = {}
        self._since: dict[str, float] = {}
        self._looked = float("-inf")

    @property
    def rows(self) -> Mapping[str, LeaseRow]:
        """As of the last look."""
        return self._rows

    def look(self, rows: Mapping[str, LeaseRow], now: float) -> None:
        """`now`: when that was read, by a monotonic clock, in seconds."""
        kept = self._since if now - self._looked <= GAP_S else {}  # T2
        self._since = {name: kept.get(name, now) if self._rows.get(name) == row else now for name, row in rows.items()}
        self._rows, self._looked = dict(rows), now

    def is_free(self, row: LeaseRow | None, now: float) -> bool:
        """May it be taken, as it was read just now?"""
        if row is None or row.owner == self._owner:  # T3
            return True
        unchanged = self._rows.get(row.name) == row and now - self._looked <= GAP_S
        return unchanged and now - self._since[row.name] >= LOST_S  # T1

    def is_one_silent(self, now: float) -> bool:
        """Has a holder shown no life for so long that it may be frozen, and not for so long that it is known to be?"""
        others = (name for name, row in self._rows.items() if row.owner != self._owner)
        return any(SILENT_S <= now - self._since[name] <= KNOWN_S for name in others)  # T4
