"""Which faults, when and for how long: drawn from a seed, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from random import Random

FIRST_S, LAST_S = 2.0, 24.0
"""Faults begin within these seconds after the run has been planned."""
FEWEST, MOST = 4, 7
SERVERS, ZONES, APPLIANCES, ORCHESTRATORS = 3, 2, 2, 2
"""Of appliances so many are in each zone."""


class Kind(StrEnum):
    KILL_APPLIANCE = "kill an appliance"
    FREEZE_APPLIANCE = "freeze an appliance"
    KILL_SCAN_PROCESS = "kill a scan process"
    KILL_ORCHESTRATOR = "kill an orchestrator"
    FREEZE_ORCHESTRATOR = "freeze an orchestrator"
    KILL_SERVER = "kill a NATS server"
    KILL_LEADER = "kill the NATS server that leads the outcomes"
    FREEZE_SERVER = "freeze a NATS server"
    FILL_DISK = "fill the disk of a NATS server"
    RESTART_STORE = "restart PostgreSQL"
    CUT_ZONE = "cut a zone off"
    VAULT_DOWN = "a zone's vault is down"


LASTS = {
    Kind.KILL_APPLIANCE: (0.0, 0.0),
    Kind.FREEZE_APPLIANCE: (3.0, 20.0),
    Kind.KILL_SCAN_PROCESS: (0.0, 0.0),
    Kind.KILL_ORCHESTRATOR: (0.0, 0.0),
    Kind.FREEZE_ORCHESTRATOR: (3.0, 20.0),
    Kind.KILL_SERVER: (1.0, 10.0),
    Kind.KILL_LEADER: (1.0, 10.0),
    Kind.FREEZE_SERVER: (2.0, 12.0),
    Kind.FILL_DISK: (2.0, 10.0),
    Kind.RESTART_STORE: (0.0, 3.0),
    Kind.CUT_ZONE: (2.0, 15.0),
    Kind.VAULT_DOWN: (2.0, 10.0),
}
"""Shortest and longest, in seconds; what is killed comes back a moment later, unless it stays away so long."""

REST_S = 4.0
"""For a server to catch up before another is hit."""
_AT_SERVERS = {Kind.KILL_SERVER, Kind.KILL_LEADER, Kind.FREEZE_SERVER, Kind.FILL_DISK}


@dataclass(frozen=True, slots=True)
class Fault:
    at: float
    """Seconds after the run has been planned."""
    lasts: float
    kind: Kind
    which: int
    """Of those that it can hit; taken modulo their number."""

    @property
    def ends(self) -> float:
        return self.at + self.lasts

    def __str__(self) -> str:
        return f"{self.at:5.1f} s: {self.kind}, number {self.which}, for {self.lasts:.1f} s"


def timetable(seed: int) -> list[Fault]:
    """In order of their beginnings. Of the three servers at most one is hit at a time: two are the cluster."""
    random = Random(seed)  # noqa: S311 - a seeded source is the point
    drawn: list[Fault] = []
    for _ in range(random.randint(FEWEST, MOST)):
        kind = random.choice(list(Kind))
        at, lasts = random.uniform(FIRST_S, LAST_S), random.uniform(*LASTS[kind])
        drawn.append(Fault(at, lasts, kind, random.randrange(SERVERS * ZONES * APPLIANCES)))
    faults: list[Fault] = []
    servers_busy_until = 0.0
    for fault in sorted(drawn, key=lambda one: one.at):
        if fault.kind in _AT_SERVERS:
            if fault.at < servers_busy_until:
                continue
            servers_busy_until = fault.ends + REST_S
        faults.append(fault)
    return faults
