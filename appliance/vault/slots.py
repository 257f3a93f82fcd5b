"""Requests in flight at once: first come, first served, and never more than the window allows at that moment.

anyio's CapacityLimiter does the same; it costs a fetch a tenth of its time, for a limit that has to be told of changes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import anyio


class Slots:
    """`size` is asked whenever somebody comes or goes; where it has grown in between, `wake` says so."""

    def __init__(self, size: Callable[[], int]) -> None:
        self._size = size
        self._queue: deque[anyio.Event] = deque()
        self.taken = 0

    async def take(self) -> None:
        """A free slot costs no turn of the loop. Whoever is cancelled while it waits has none."""
        if not self._queue and self.taken < self._size():
            self.taken += 1
            return
        turn = anyio.Event()
        self._queue.append(turn)
        try:
            await turn.wait()
        except anyio.get_cancelled_exc_class():
            if turn.is_set():
                self.give_back()
            else:
                self._queue.remove(turn)
            raise

    def give_back(self) -> None:
        self.taken -= 1
        self.wake()

    def wake(self) -> None:
        while self._queue and self.taken < self._size():
            self.taken += 1
            self._queue.popleft().set()
