"""Requests in flight at once: first come, first served, and never more than the window allows at that moment.

A request that has been in flight for OVERDUE seconds no longer counts, as long as others wait and the total stays
within the ceiling: a vault may choke on one secret while it is well, and a window of one or two would have that secret
keep all others waiting.

anyio's CapacityLimiter does the first half; it costs a fetch a tenth of its time, for a limit that has to be told of
changes.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

import anyio

OVERDUE = 1.0


class Slot:
    """One request in flight."""

    __slots__ = ("since",)

    def __init__(self, since: float) -> None:
        self.since = since


class Slots:
    """`size` is asked whenever somebody comes or goes; where it has grown in between, `wake` says so."""

    def __init__(self, size: Callable[[], int], ceiling: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._size = size
        self._ceiling = ceiling
        self._clock = clock
        self._queue: deque[tuple[anyio.Event, list[Slot]]] = deque()
        self._counted: dict[Slot, None] = {}
        """Oldest first."""
        self._overdue: set[Slot] = set()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def taken(self) -> int:
        """Those that count."""
        return len(self._counted)

    @property
    def waiting(self) -> int:
        return len(self._queue)

    async def take(self) -> Slot:
        """A free slot costs no turn of the loop. Whoever is cancelled while it waits has none."""
        if not self._queue and self._is_free():
            return self._given()
        turn, given = waiter = anyio.Event(), list[Slot]()
        self._queue.append(waiter)
        self._watch()
        try:
            await turn.wait()
        except anyio.get_cancelled_exc_class():
            if given:
                self.give_back(given[0])
            else:
                self._queue.remove(waiter)
            raise
        return given[0]

    def give_back(self, slot: Slot) -> None:
        self._counted.pop(slot, None)
        self._overdue.discard(slot)
        self.wake()

    def wake(self) -> None:
        while self._queue and self._is_free():
            turn, given = self._queue.popleft()
            given.append(self._given())
            turn.set()
        self._watch()

    def _given(self) -> Slot:
        slot = Slot(self._clock())
        self._counted[slot] = None
        return slot

    def _is_free(self) -> bool:
        return len(self._counted) < self._size() and len(self._counted) + len(self._overdue) < self._ceiling

    def _watch(self) -> None:
        """Look again when the oldest that counts is overdue, as long as somebody waits."""
        if self._timer is None and self._queue and self._counted:
            due = next(iter(self._counted)).since + OVERDUE - self._clock()
            self._timer = asyncio.get_running_loop().call_later(max(due, 0.0), self._look)

    def _look(self) -> None:
        self._timer = None
        if self._queue:
            before = self._clock() - OVERDUE
            for slot in [slot for slot in self._counted if slot.since <= before]:
                del self._counted[slot]
                self._overdue.add(slot)
            self.wake()
