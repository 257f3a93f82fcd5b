"""The outermost middleware: counts every request, and lets the faults on order answer in a route's place."""

from __future__ import annotations

import anyio
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from targets.vault_faults import VAULT_FAULTS, Scope
from targets.world import World

GRANT_PATH = "/oauth2/token"


def orders(world: World) -> Middleware:
    in_flight = 0

    @web.middleware
    async def obey(request: web.Request, handler: Handler) -> web.StreamResponse:
        nonlocal in_flight
        seen = world.metrics.vault
        seen.requests += 1
        in_flight += 1
        world.service.tick()
        seen.in_flight_peak = max(seen.in_flight_peak, in_flight)
        scope = Scope.GRANT if request.path.lower().endswith(GRANT_PATH) else Scope.API
        try:
            if any(VAULT_FAULTS[name].slow for name in world.vault_faults):
                await anyio.sleep(world.estate.vault.slow)
            response = canned(world, scope) or await handler(request)
        finally:
            in_flight -= 1
        seen.answers[str(response.status)] += 1
        if scope is Scope.GRANT and response.status == 400:
            seen.failed_grants += 1
        return response

    return obey


def canned(world: World, scope: Scope) -> web.Response | None:
    """What the faults on order answer to a request of this scope; of several, the first in the table's order."""
    for name, fault in VAULT_FAULTS.items():
        for reply in fault.replies if name in world.vault_faults else ():
            if reply.scope in {Scope.ALL, scope}:
                headers = {"Retry-After": str(world.estate.vault.retry_after)} if fault.throttled else None
                return web.Response(
                    status=reply.status, text=reply.body, content_type=reply.content_type, headers=headers
                )
    return None
