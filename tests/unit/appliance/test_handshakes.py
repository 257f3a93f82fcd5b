"""Handshake slots: they follow the loop's lag between the fewest and the capacity."""

from __future__ import annotations

import time
from itertools import pairwise

import anyio
import pytest

from appliance.handshakes import EASY_S, EVERY_S, FEWEST, LATE_S, follow_load, slots


@pytest.mark.parametrize(
    ("now", "waiting", "lag", "most", "then"),
    [
        (64, 1, 0.0, 500, 96),
        (64, 0, 0.0, 500, 64),  # nobody waits
        (64, 1, 0.1, 500, 64),  # neither easy nor late
        (400, 1, EASY_S, 500, 500),
        (500, 9, 0.0, 500, 500),
        (500, 9, LATE_S, 500, 250),
        (100, 9, 1.0, 500, FEWEST),
        (20, 9, 1.0, 20, 20),  # a small process has no more than its capacity
    ],
)
def test_slots(now: int, waiting: int, lag: float, most: int, then: int) -> None:
    assert slots(now, waiting, lag, most) == then


async def test_those_who_wait_are_let_in_while_the_loop_is_easy_and_no_more_when_it_is_late() -> None:
    limiter, lag = anyio.CapacityLimiter(FEWEST), 0.0

    async def one() -> None:
        async with limiter:
            await anyio.sleep_forever()

    seen = []
    async with anyio.create_task_group() as tasks:
        for _ in range(300):
            tasks.start_soon(one)
        tasks.start_soon(follow_load, limiter, lambda _: lag, 250)
        for _ in range(6):
            await anyio.sleep(EVERY_S)
            seen.append(limiter.borrowed_tokens)
        assert seen[-1] == 250
        assert all(earlier <= later for earlier, later in pairwise(seen))
        lag = 1.0
        for _ in range(6):
            await anyio.sleep(EVERY_S)
        assert limiter.total_tokens == FEWEST
        assert limiter.borrowed_tokens == 250, "who is under way goes on"
        tasks.cancel_scope.cancel()


async def test_a_stall_that_the_other_meter_has_not_seen_yet_lets_nobody_in() -> None:
    limiter = anyio.CapacityLimiter(256)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(follow_load, limiter, lambda _: 0.0, 500)
        await anyio.sleep(EVERY_S / 2)
        time.sleep(EVERY_S / 2 + 2 * LATE_S)  # noqa: ASYNC251 - the stall
        await anyio.sleep(EVERY_S / 2)
        assert limiter.total_tokens == 128
        tasks.cancel_scope.cancel()
