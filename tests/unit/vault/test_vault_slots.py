"""Requests in flight at once: in order, bounded by a size that changes, nothing lost with who is cancelled."""

from __future__ import annotations

import anyio
from anyio.lowlevel import checkpoint

from appliance.vault.slots import OVERDUE, Slots


class Clients:
    """They take a slot, note it, and keep it until they are let go."""

    def __init__(self, size: int, ceiling: int = 256) -> None:
        self.size = size
        self.now = 0.0
        self.slots = Slots(lambda: self.size, ceiling, lambda: self.now)
        self.inside: list[int] = []
        self.came: list[int] = []
        self._go: dict[int, anyio.Event] = {}

    async def come(self, who: int) -> None:
        self._go[who] = anyio.Event()
        slot = await self.slots.take()
        try:
            self.inside.append(who)
            self.came.append(who)
            await self._go[who].wait()
        finally:
            self.inside.remove(who)
            self.slots.give_back(slot)

    def go(self, *who: int) -> None:
        for one in who:
            self._go[one].set()


async def settled() -> None:
    for _ in range(10):
        await checkpoint()


async def test_in_order_and_as_many_as_the_size_says() -> None:
    clients = Clients(2)
    async with anyio.create_task_group() as tasks:
        for who in range(6):
            tasks.start_soon(clients.come, who)
        await settled()
        assert clients.inside == [0, 1]
        clients.size = 1
        clients.go(0)
        await settled()
        assert clients.inside == [1]
        clients.size = 3
        clients.slots.wake()
        await settled()
        assert clients.inside == [1, 2, 3]
        clients.go(*range(6))
    assert clients.came == list(range(6))
    assert clients.slots.taken == 0


async def test_who_is_cancelled_leaves_its_place_and_its_turn() -> None:
    clients = Clients(1)
    async with anyio.create_task_group() as tasks:
        scopes = [anyio.CancelScope() for _ in range(4)]

        async def cancellable(who: int) -> None:
            with scopes[who]:
                await clients.come(who)

        for who in range(4):
            tasks.start_soon(cancellable, who)
        await settled()
        scopes[1].cancel()
        await settled()
        clients.go(0)
        await checkpoint()  # 2 has been given the slot and has not run yet
        scopes[2].cancel()
        await settled()
        assert clients.inside == [3]
        clients.go(3)
    assert clients.slots.taken == 0


async def test_one_that_is_overdue_keeps_nobody_waiting_below_the_ceiling() -> None:
    clients = Clients(1, ceiling=2)
    async with anyio.create_task_group() as tasks:
        for who in range(4):
            tasks.start_soon(clients.come, who)
        await settled()
        assert clients.inside == [0]
        clients.now = OVERDUE - 0.01
        clients.slots._look()
        await settled()
        assert clients.inside == [0]
        clients.now = OVERDUE
        clients.slots._look()
        await settled()
        assert (clients.inside, clients.slots.taken) == ([0, 1], 1)
        clients.now = 2 * OVERDUE
        clients.slots._look()
        await settled()
        assert (clients.inside, clients.slots.taken) == ([0, 1], 0), "no more at once than the ceiling"
        clients.go(0)
        await settled()
        assert clients.inside == [1, 2]
        clients.go(*range(4))
    assert clients.came == [0, 1, 2, 3]
    assert clients.slots.taken == 0


async def test_it_looks_by_itself_while_somebody_waits() -> None:
    slots = Slots(lambda: 1, 8)
    stuck = await slots.take()
    with anyio.fail_after(10 * OVERDUE):
        following = await slots.take()
    slots.give_back(stuck)
    slots.give_back(following)
    assert slots.taken == 0
