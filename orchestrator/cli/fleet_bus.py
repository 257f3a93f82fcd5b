"""The bus of a fleet, for a command: as one of its orchestrators."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pydantic import SecretStr

from appliance.bus import BusError
from appliance.bus.credentials import BusLogin, read_credentials
from appliance.bus.orchestrator_side import JetStreamOrchestrator, connect_orchestrator
from orchestrator.cli.errors import Unreachable
from orchestrator.cli.waiting import told_of_bus
from orchestrator.fleet.founding import orchestrator_credentials
from orchestrator.fleet.keys import FleetKeys


@asynccontextmanager
async def fleet_bus(keys: FleetKeys, url: str) -> AsyncIterator[JetStreamOrchestrator]:
    """Raises Unreachable."""
    seed, word = read_credentials(orchestrator_credentials(keys, time.time()))
    login = BusLogin(url=url, seed=SecretStr(seed), token=word, ca=keys.ca)
    try:
        with told_of_bus(url):
            bus = await connect_orchestrator(url, seed=seed, token=word, tls=login.tls())
    except (BusError, ValueError) as error:
        raise Unreachable(f"the bus at {url} cannot be used: {error}") from None
    async with bus:
        yield bus
