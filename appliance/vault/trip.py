"""How far one caller's work at the vault has come, and what to say when its time runs out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeVar

from appliance.contract import Failure, View
from appliance.vault.failures import fail
from appliance.vault.turns import Rank

T = TypeVar("T")


class Stage(Enum):
    """How far a request has come."""

    SESSION = "session"
    """Waiting for a token."""
    QUEUED = "queued"
    """Waiting for a free slot of our own."""
    CONNECTING = "connecting"
    SENT = "sent"
    """There is a connection, so head and body may be on the wire."""


@dataclass(slots=True, eq=False)
class Trip:
    """Where a caller's work is: what to say when its time runs out, and whether a password can have arrived."""

    stage: Stage = Stage.QUEUED
    held_up: str = ""
    """While it is queued: the reason, where it is the vault's doing that it must wait."""
    rank: Rank = Rank.NOBODY_WAITS
    """Whose turn comes first, where the vault limits its rate."""
    second_look: bool = False
    """The secret was refused, and this tells whether it has changed: the answer is wanted whatever happens."""
    late: Failure | None = None
    """What to say of one that was cut off while it waited for the vault's rate."""
    paced: float = 0.0
    """Seconds for which it has waited for the vault's rate, since its latest view."""
    views: list[View] = field(default_factory=list)
    """Of all its requests, in order."""
    sent_at: float = 0.0
    """Unix time at which the latest request's head was on the wire."""

    def timed_out(self, patience: float) -> Failure:
        """The failure of one whose time ran out here. Waiting for our own slots is our overload, not the vault's."""
        if self.late is not None:
            return self.late
        if self.stage is Stage.QUEUED and self.held_up:
            return fail(self.held_up, f"the vault lets so few requests in that none was free within {patience:g} s")
        if self.stage is Stage.QUEUED:
            return fail("OWN_OVERLOAD", f"no free vault request within {patience:g} s (pace.vault_requests)")
        lacking = {Stage.SESSION: "session", Stage.CONNECTING: "connection"}.get(self.stage, "answer")
        return fail("VAULT_TIMEOUT", f"no {lacking} within {patience:g} s", stage=self.stage.value)


async def within(
    patience: float, work: Callable[[Trip], Awaitable[T | Failure]], views: list[View] | None = None
) -> T | Failure:
    """Do the work in at most `patience` seconds, or say how far it came. Its views are added to `views`."""
    trip = Trip() if views is None else Trip(views=views)
    try:
        async with asyncio.timeout(patience):  # every fetch pays for it: a third of what an anyio scope costs
            return await work(trip)
    except TimeoutError:
        return trip.timed_out(patience)
