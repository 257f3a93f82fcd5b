"""The appliance's bus, opened and closed: the one adapter that a supervisor needs, too."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from appliance.bus.appliance_side import JetStreamAppliance, connect_appliance
from appliance.bus.credentials import BusLogin

CLOSE_S = 2.0


@asynccontextmanager
async def open_bus(login: BusLogin, appliance: str, zone: str) -> AsyncIterator[JetStreamAppliance]:
    """Raises BusError, CredentialsError."""
    seed, tls = login.seed.get_secret_value(), login.tls()
    bus = await connect_appliance(login.url, name=appliance, zone=zone, seed=seed, token=login.token, tls=tls)
    try:
        yield bus
    finally:
        with anyio.move_on_after(CLOSE_S, shield=True):
            await bus.close()
