"""The REST interface as an application of its own, to be mounted: who calls, and errors in the vault's own shape."""

from __future__ import annotations

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from targets.secret_server.logins import Barred
from targets.secret_server.orders import LAB
from targets.secret_server.rest import errors
from targets.secret_server.rest.asking import CALLER
from targets.secret_server.rest.checkouts import Checkouts
from targets.secret_server.rest.listings import Listings
from targets.secret_server.rest.query import BadQueryError
from targets.secret_server.rest.secrets import Secrets
from targets.secret_server.rest.sessions import Sessions, bearer
from targets.secret_server.service import Vault
from targets.secret_server.tokens import TokenState
from targets.vault_faults import EXPIRED

OPEN = ("/healthcheck", "/sdk-client-accounts")
"""What needs no token."""


def api(service: Vault) -> web.Application:
    """`/v1/...` and `/v2/...`, to be mounted at `/api`."""
    app = web.Application(middlewares=[in_our_shape, authorized(service)])
    for version in ("v1", "v2"):
        # Fixed paths go before those with an id in their place.
        for part in (Listings(service), Checkouts(service), Secrets(service), Sessions(service)):
            app.add_routes(part.routes(version))
    return app


def internals(service: Vault) -> web.Application:
    """To be mounted at `/internals`."""
    app = web.Application(middlewares=[in_our_shape, authorized(service)])
    app.add_routes(Secrets(service).internals())
    return app


def authorized(service: Vault) -> Middleware:
    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.lower().endswith(OPEN):
            return await handler(request)
        match service.logins.caller(bearer(request), address=request.remote or ""):
            case TokenState.EXPIRED:
                return web.Response(status=403, text=EXPIRED, content_type="application/json")
            case TokenState():
                return web.json_response(errors.NO_AUTHORIZATION, status=401)
            case Barred():
                return web.json_response(errors.NOT_FROM_HERE, status=403)
            case caller:
                request[CALLER] = caller
                return await handler(request)

    return check


@web.middleware
async def in_our_shape(request: web.Request, handler: Handler) -> web.StreamResponse:
    """What the framework or a parser refuses: every error body is an object, outside of the lab's own API."""
    if request.path.startswith(f"{LAB}/"):
        return await handler(request)
    try:
        return await handler(request)
    except BadQueryError as error:
        return web.json_response(errors.bad_request(str(error)), status=400)
    except web.HTTPMethodNotAllowed as error:
        return web.json_response(errors.not_allowed(request.method), status=error.status)
    except web.HTTPException as error:
        return web.json_response(errors.not_found(str(request.url)), status=error.status)
