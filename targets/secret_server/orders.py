"""The outermost middleware: counts every request, and lets faults and weather answer in a route's place.

The lab's own API (`LAB`) is neither counted nor hit by any of them. SOAP gives the canned answers by itself, since its
refusals are answers of the operation that was asked for.
"""

from __future__ import annotations

from datetime import UTC
from email.utils import format_datetime

import anyio
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from targets.secret_server.mangling import mangled
from targets.secret_server.weather import TurnedAway
from targets.vault_faults import VAULT_FAULTS, Mangle, Reply, Scope, VaultFault
from targets.world import World

GRANT_PATH = "/oauth2/token"
LAB = "/_lab"
SOAP_PATH = "/webservices/SSWebService.asmx"


def orders(world: World) -> Middleware:
    in_flight = 0
    weather = world.weather

    @web.middleware
    async def obey(request: web.Request, handler: Handler) -> web.StreamResponse:
        nonlocal in_flight
        if request.path.startswith(f"{LAB}/"):
            return await handler(request)
        seen = world.metrics.vault
        seen.requests += 1
        in_flight += 1
        world.service.tick()
        seen.in_flight_peak = max(seen.in_flight_peak, in_flight)
        path = request.path.lower()
        scope = Scope.GRANT if path.endswith(GRANT_PATH) else Scope.API
        try:
            turned_away = weather.turned_away()
            slow = any(VAULT_FAULTS[name].slow for name in world.vault_faults)
            await anyio.sleep(weather.delay() + (world.estate.vault.slow if slow else 0.0))
            await world.servers.settled()  # no password is shown that its hosts do not take yet
            instead = None if SOAP_PATH.lower() in path else canned(world, scope)
            response = instead or (turned(turned_away) if turned_away else await handler(request))
        finally:
            in_flight -= 1
        seen.answers[str(response.status)] += 1
        if scope is Scope.GRANT and response.status == 400:
            seen.failed_grants += 1
        if world.service.clock.skew:
            response.headers["Date"] = format_datetime(world.service.clock.now().replace(tzinfo=UTC), usegmt=True)
        how = ordered_mangle(world) or weather.mangle()
        if how is None:
            return response
        seen.mangled[how] += 1
        return await mangled(request, response, how)

    return obey


def ordered_mangle(world: World) -> Mangle | None:
    """How the faults on order mangle every answer."""
    return next((f.mangles for name, f in VAULT_FAULTS.items() if f.mangles and name in world.vault_faults), None)


def turned(away: TurnedAway) -> web.Response:
    headers = {"Retry-After": away.retry_after} if away.retry_after else None
    return web.Response(status=away.status, text=away.body, content_type=away.content_type, headers=headers)


def canned(world: World, scope: Scope) -> web.Response | None:
    """What the faults on order answer to a request of this scope."""
    if (found := on_order(world, scope)) is None:
        return None
    fault, reply = found
    headers = {"Retry-After": str(world.estate.vault.retry_after)} if fault.throttled else None
    return web.Response(status=reply.status, text=reply.body, content_type=reply.content_type, headers=headers)


def on_order(world: World, scope: Scope) -> tuple[VaultFault, Reply] | None:
    """The fault that answers requests of this scope, and its answer; of several, the first in the table's order."""
    for name, fault in VAULT_FAULTS.items():
        for reply in fault.replies if name in world.vault_faults else ():
            if reply.scope in {Scope.ALL, scope}:
                return fault, reply
    return None
