"""How late our own event loop runs. A time-out that our own load has caused is never blamed on a host."""

from __future__ import annotations

import time
from collections import deque
from itertools import takewhile

import anyio

TICK_S = 0.1
KEEP_S = 120.0


class LoopLag:
    """Measures, ten times a second, by how much a timer is late."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, float]] = deque()

    async def run(self) -> None:
        """Measure until cancelled."""
        while True:
            due = time.monotonic() + TICK_S
            await anyio.sleep(TICK_S)
            now = time.monotonic()
            self._seen.append((now, max(0.0, now - due)))
            while self._seen[0][0] < now - KEEP_S:
                self._seen.popleft()

    def worst(self, seconds: float) -> float:
        """The worst lag over the last `seconds`, in seconds."""
        since = time.monotonic() - seconds
        return max((lag for _, lag in takewhile(lambda seen: seen[0] >= since, reversed(self._seen))), default=0.0)
