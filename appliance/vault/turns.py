"""Requests wait for their turn at a vault that limits their rate (`pace`): first come, first served.

One that the vault has turned away goes before all others, since it has waited for its turn already; then come those
whose answer serves many, and those for whom a target waits. Where more wait than will have their turn within
PATIENCE_S, the next one is told so at once: it would wait in vain. Where no limit is known nobody waits, and a turn
costs no turn of the loop.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from enum import IntEnum

import anyio

from appliance.contract import Failure
from appliance.vault.breaker import AWAY
from appliance.vault.failures import fail
from appliance.vault.pace import Pace, Turn

PACED = "paced"
"""The fact of a failure that is nobody's: the vault answers others, and this one's turn did not come in time."""
SERVED_S = 15.0
"""Seconds in which it must have answered somebody for that: else it is a vault that is away, and says so."""
REST_S = 5.0
PATIENCE_S = 4.0
"""Of a scan whose target waits (`secret_server.FETCH_PATIENCE`), less what the answer takes."""
LEAST_WAITING = 16
"""So many may wait, however low the rate: at first it is but a guess."""


def called_off() -> Failure:
    """What to say of one that need not wait any longer; its job is dispatched again when its run goes on."""
    text = "the vault limits its rate, and the run was taken off this appliance meanwhile"
    return fail("VAULT_RATE_LIMITED", text, **{PACED: "yes"})


class Rank(IntEnum):
    """Whose turn comes first."""

    AGAIN = 0
    """Turned away before."""
    ALL_WAIT = 1
    """What it asks for serves many."""
    TARGET_WAITS = 2
    NOBODY_WAITS = 3


_Waiter = tuple[anyio.Event, list[Turn | Failure], bool]


class Turns:
    def __init__(self, pace: Pace, clock: Callable[[], float] = time.monotonic) -> None:
        self._pace = pace
        self._clock = clock
        self.changed: Callable[[], None] = lambda: None
        """Called whenever the queue has become shorter, or the rate may be another."""
        self._queues: tuple[deque[_Waiter], ...] = tuple(deque() for _ in Rank)
        self._timer: asyncio.TimerHandle | None = None
        self._called_off = False

    @property
    def waiting(self) -> int:
        return sum(map(len, self._queues))

    def free(self) -> Turn | None:
        """The turn of one request, where it need not wait."""
        if self._pace.rate is None:  # nobody waits then, and each fetch pays for what is asked here
            return self._pace.unlimited
        now = self._clock()
        return self._pace.sent(now) if self._pace.due(now) <= now and not self.waiting else None

    def at_once(self) -> Turn:
        """The turn of one that goes out whatever the rate."""
        return self._pace.sent(self._clock())

    def holds(self, turn: Turn) -> bool:
        """May it still go out? Not where a request has been turned away since."""
        return self._pace.holds(turn)

    def give_back(self, turn: Turn) -> None:
        """It was not used."""
        self._pace.unsent(turn)
        self._look()

    async def take(self, rank: Rank, *, whatever: bool = False) -> Turn | Failure:
        """The turn of one request, waited for, or `late`; whoever is cancelled while it waits has used none.
        `whatever`: it waits on when all is called off.
        """
        if self._called_off and not whatever:
            return called_off()
        rate = self._pace.rate
        before = sum(map(len, self._queues[: rank + 1]))
        if rank > Rank.ALL_WAIT and rate is not None and before >= max(LEAST_WAITING, PATIENCE_S * rate):
            return self.late(f"{before} requests wait for it already")
        event, given, _ = waiter = anyio.Event(), list[Turn | Failure](), whatever
        queue = self._queues[rank]
        queue.append(waiter)
        self._look()
        try:
            await event.wait()
        except anyio.get_cancelled_exc_class():
            if not given:
                queue.remove(waiter)
                self._look()
            elif isinstance(given[0], Turn):
                self.give_back(given[0])
            self.changed()
            raise
        return given[0]

    def call_off(self) -> None:
        """The run is taken off this appliance: whoever waits, or would have to, is told so at once. What needs no wait
        still has its turn, since it ends a job in hand; and so has a second look at a secret that was refused, since
        without it the account's breaker would open.
        """
        self._called_off = True
        for queue in self._queues:
            for waiter in [waiter for waiter in queue if not waiter[2]]:
                queue.remove(waiter)
                waiter[1].append(called_off())
                waiter[0].set()
        self._look()
        self.changed()

    def late(self, why: str) -> Failure:
        """What to say of one whose turn did not come in time."""
        facts = {PACED: "yes"} if self._pace.serves(self._clock(), SERVED_S) else {AWAY: f"{REST_S:.1f}"}
        return fail("VAULT_RATE_LIMITED", f"the vault limits its rate: {why}", **facts)

    def answered(self, turn: Turn, now: float) -> None:
        limited = self._pace.rate is not None
        self._pace.answered(turn, now)
        if limited:
            self._look()
            self.changed()

    def turned_away(self, turn: Turn, now: float, pause: float) -> None:
        """`pause`: seconds of Retry-After, 0 where it named none."""
        self._pace.turned_away(turn, now, pause)
        self._look()

    def _look(self) -> None:
        """Let those go whose turn it is, and look again when it is the next one's."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        let_go = False
        while (queue := next(filter(None, self._queues), None)) is not None:
            now = self._clock()
            if (wait := self._pace.due(now) - now) > 0:
                self._timer = asyncio.get_running_loop().call_later(wait, self._look)
                break
            event, given, _ = queue.popleft()
            given.append(self._pace.sent(now, waited=True))
            event.set()
            let_go = True
        if let_go:
            self.changed()
