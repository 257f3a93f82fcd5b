"""Appliances that are alive, and runs that are open."""

from __future__ import annotations

import math
from typing import Literal

from appliance.contract.wire import OLDEST, Wire

WORTH = 64
"""Targets of a run for which one more scan process is started: it costs as much CPU as some two hundred logins."""


class Heartbeat(Wire):
    """An appliance is alive: how much it can carry and what it is doing."""

    v: Literal[1, 2] = 2
    appliance: str
    zone: str
    capacity: int
    in_flight: int
    runs: tuple[str, ...] = ()
    sent_at: float
    draining: bool = False
    pulling: int = 0
    """Scan processes that take jobs, of all runs."""
    loop_lag_ms: float = 0.0
    """How late their event loops have been of late, the worst of them."""
    release: str = ""
    """Empty for one that speaks version 1."""
    reads: tuple[int, int] = (OLDEST, OLDEST)
    """The contract versions that it reads, the oldest and the newest."""

    def takes(self, contract: int) -> bool:
        """Does it read jobs of this contract version?"""
        return self.reads[0] <= contract <= self.reads[1]


class RunNotice(Wire):
    """A run is open in a zone: appliances start scan processes for it, and end them when the notice is gone."""

    v: Literal[1, 2] = 1
    """The contract version of the run's jobs."""
    run: str
    zone: str
    vaults: tuple[str, ...]
    targets: int
    """That it has been planned for; `processes_for` so many."""
    paused: bool = False
    cut: bool = False
    """Its window is over: what is in hand is not waited for, but cut off within its logoff. Said only where it is so,
    since older appliances do not know it (theirs ends by its deadline).
    """

    def encode(self) -> bytes:
        return self.model_dump_json(exclude=None if self.cut else {"cut"}).encode()


class ZoneOrders(Wire):
    """Which of a zone's appliances take no more jobs, and end what they have in hand."""

    v: Literal[2] = 2
    zone: str
    all: bool = False
    appliances: tuple[str, ...] = ()

    def drains(self, appliance: str) -> bool:
        return self.all or appliance in self.appliances


def capacity_each(capacity: int, processes: int) -> int:
    """Targets that one of an appliance's scan processes has in flight at most."""
    return max(1, capacity // processes)


def processes_for(targets: int, capacity: int, processes: int) -> int:
    """How many a run is worth, of as many as the appliance has; its targets, if they are few, fit into one at once."""
    return min(processes, max(1, math.ceil(targets / min(WORTH, capacity_each(capacity, processes)))))
