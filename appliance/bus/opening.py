"""The appliance's bus, opened and closed: the one adapter that a supervisor needs, too."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from appliance.bus import ApplianceBus
from appliance.bus.appliance_side import connect_appliance

CLOSE_S = 2.0


@asynccontextmanager
async def open_bus(url: str, appliance: str, zone: str, seed: str) -> AsyncIterator[ApplianceBus]:
    bus = await connect_appliance(url, name=appliance, zone=zone, seed=seed)
    try:
        yield bus
    finally:
        with anyio.move_on_after(CLOSE_S, shield=True):
            await bus.close()
