"""Where a vault limits its rate, jobs wait before their target is dialled, and not while it waits for us.

Rules:
1. A job enters when it would find its turn within a moment: as long as fewer requests wait than the rate serves in
   QUEUE_S seconds, and with those that have entered and not asked yet no more than in ON_THE_WAY_S. One that has
   entered and has not asked within `slots.OVERDUE` no longer counts: its target may never ask.
2. First come, first served. Where more wait than there is room for, or than are served in PATIENCE_S (once the rate is
   known), the next one is told to come again: its place in the scan process may serve another vault meanwhile, or
   another process serve it.
3. Where no limit is known everybody enters at once.
4. When the run is taken off the appliance (a pause, a drain) nobody waits any longer: neither here nor for a turn.
"""

from __future__ import annotations

from collections.abc import Callable

import anyio

from appliance.contract import Failure
from appliance.vault.pace import Pace
from appliance.vault.slots import Slots
from appliance.vault.turns import Turns, called_off

QUEUE_S = 0.5
ON_THE_WAY_S = 1.0
PATIENCE_S = 6.0
"""Short, so that at the end of a run no process sits on what the others could have had."""
LONGEST_S = 30.0
"""Whatever was reckoned: the vault may have become slower."""
LEAST_WAITING = 32
"""So many may wait, however low the rate."""
UNBOUNDED = 1 << 30


class Entry:
    def __init__(self, pace: Pace, turns: Turns, clock: Callable[[], float], room: int = UNBOUNDED) -> None:
        """`room`: so many may wait at most."""
        self._pace = pace
        self._turns = turns
        self._room = room
        self._places = Slots(self._size, UNBOUNDED, clock)
        self._waiting: dict[anyio.CancelScope, None] = {}
        self._called_off = False
        turns.changed = self._places.wake

    async def enter(self) -> Callable[[], None] | Failure:
        """What to call once the job asks, or ends without; more than once does no harm. Or VAULT_RATE_LIMITED."""
        rate = self._pace.rate
        if rate is None:
            return _nothing
        served = self._room if self._pace.searching else max(LEAST_WAITING, PATIENCE_S * rate)
        if self._places.waiting >= min(served, self._room):
            return self._turns.late(f"{self._places.waiting} jobs wait for it already")
        if self._called_off:
            return called_off()
        with anyio.move_on_after(LONGEST_S) as scope:
            self._waiting[scope] = None
            try:
                place = await self._places.take()
            finally:
                del self._waiting[scope]
            return lambda: self._places.give_back(place)
        if self._called_off:
            return called_off()
        return self._turns.late(f"no turn within {LONGEST_S:g} s")

    def call_off(self) -> None:
        """As `Turns.call_off`: nobody waits to enter any longer."""
        self._called_off = True
        for scope in list(self._waiting):
            scope.cancel()

    def _size(self) -> int:
        rate = self._pace.rate
        if rate is None:
            return UNBOUNDED
        waiting = self._turns.waiting
        return 0 if waiting > QUEUE_S * rate else max(1, int(ON_THE_WAY_S * rate) - waiting)


def _nothing() -> None:
    pass
