"""Which key a vault shows: asked before anything is trusted, and without anything being sent."""

from __future__ import annotations

from appliance.vault.definition import VaultAccess
from appliance.vault.exchange import open_exchange
from appliance.vault.rest import health
from appliance.vault.tls import NO_KEY
from appliance.vault.trip import Trip


async def shown_pin(access: VaultAccess, trip: Trip) -> str:
    """The pin of the key that a vault shows, trusted or not; empty where it shows none. No key has the pin that this
    connection wants, so the request that it is made for is never sent.
    """
    tls = access.tls.model_copy(update={"verify": False, "pins": (NO_KEY,)})
    async with open_exchange(access.model_copy(update={"tls": tls})) as exchange:
        await exchange.send(health(), trip)
        return exchange.pin
