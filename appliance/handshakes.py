"""How many handshakes a scan process has under way at once.

A handshake is CPU (a millisecond of key exchange) and waiting for the host. Too many that are all CPU make the event
loop late, and hosts would seem slow that are not; too few that are all waiting leave the processor idle: with 64 slots
and hosts that take 0.7 s for their key exchange, a process begins 93 logins a second at most. So their number follows
what the event loop says of itself.
"""

from __future__ import annotations

from collections.abc import Callable

import anyio

FEWEST = 64
EVERY_S = 0.25
EASY_S, LATE_S = 0.03, 0.15
"""Up to so much lag more are let in; from so much on, fewer."""
GROWTH = 1.5


def slots(now: int, waiting: int, lag: float, most: int) -> int:
    """How many there are to be, after an interval in which the loop was at worst `lag` seconds late."""
    fewest = min(FEWEST, most)
    if lag >= LATE_S:
        return max(fewest, now // 2)
    if waiting and lag <= EASY_S:
        return min(most, int(now * GROWTH))
    return now


async def follow_load(limiter: anyio.CapacityLimiter, lag: Callable[[float], float], most: int) -> None:
    """Set the limiter's slots by the loop's lag (its worst of so many seconds) until cancelled."""
    while True:
        due = anyio.current_time() + EVERY_S
        await anyio.sleep(EVERY_S)
        late = anyio.current_time() - due  # of a stall that the other meter, whose timer comes next, has not seen yet
        worst = max(lag(EVERY_S), late)
        wanted = slots(int(limiter.total_tokens), limiter.statistics().tasks_waiting, worst, most)
        if wanted != limiter.total_tokens:
            limiter.total_tokens = wanted
