"""The appliances that are on a bus now, by their heartbeats: what they run, what they do, and how their clocks go."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field

import anyio

from appliance.bus import OrchestratorBus
from appliance.contract import VERSION, Heartbeat
from orchestrator.appliance_clocks import Clock

LOOK_S = 4.0
"""A beat comes every 3 s, and the second one tells of the clock."""


@dataclass(slots=True)
class Live:
    beat: Heartbeat
    clock: Clock = field(default_factory=Clock)

    @property
    def contract(self) -> str:
        """The contract versions that it reads, and whether they are ours."""
        oldest, newest = self.beat.reads
        versions = str(newest) if oldest == newest else f"{oldest} to {newest}"
        return versions if newest >= VERSION else f"{versions} (older than ours, {VERSION})"

    @property
    def state(self) -> str:
        if not self.beat.draining:
            return "takes jobs"
        return f"draining, {self.beat.in_flight} in hand" if self.beat.in_flight else "drained, empty"


async def look(bus: OrchestratorBus, seconds: float = LOOK_S) -> Mapping[str, Live]:
    """Until the clock of each is known, or that long. Raises BusError."""
    found: dict[str, Live] = {}
    with anyio.move_on_after(seconds):
        async with following(bus) as changes:
            async for found in changes:
                if found and all(one.clock.offset is not None for one in found.values()):
                    break
    return found


@asynccontextmanager
async def following(bus: OrchestratorBus) -> AsyncIterator[AsyncIterator[dict[str, Live]]]:
    """Those that are alive, by name: first as they are, then anew with every beat."""

    async def changes(beats: AsyncIterator[Mapping[str, Heartbeat]]) -> AsyncGenerator[dict[str, Live], None]:
        known: dict[str, Live] = {}
        async for alive in beats:
            known = {name: known.get(name, Live(beat)) for name, beat in alive.items()}
            for name, beat in alive.items():
                live = known[name]
                if live.beat != beat or live.clock == Clock():
                    live.clock.beat(beat.sent_at, time.time())
                live.beat = beat
            yield known

    async with bus.appliances() as beats, aclosing(changes(beats)) as found:
        yield found
