"""As much of a Delinea Platform tenant as a client needs to find its vault: health, a token, the list of vaults.

Its users are the vault's, and its tokens the vault's tokens. It is mounted at `/platform`, so that the `/health` by
which clients tell a tenant from a Secret Server is not found on the latter.
"""

from __future__ import annotations

from aiohttp import web

from targets.secret_server.rest.application import authorized, in_our_shape
from targets.secret_server.rest.sessions import grant_body
from targets.secret_server.service import Vault
from targets.vault_faults import REFUSED

SCOPE = "xpmheadless"


def platform(service: Vault, mount: str) -> web.Application:
    """`mount`: where the vault is on this server."""

    async def health(_request: web.Request) -> web.Response:
        return web.json_response({"healthy": True, "Healthy": True})

    async def grant(request: web.Request) -> web.Response:
        form = {name.lower(): str(value) for name, value in (await request.post()).items()}
        if form.get("grant_type") != "client_credentials" or form.get("scope") != SCOPE:
            return web.json_response({"error": "invalid_request"}, status=400)
        address = request.remote or ""
        given = service.logins.login(form.get("client_id", ""), form.get("client_secret", ""), "", address=address)
        if given is None:
            return web.Response(status=400, text=REFUSED, content_type="application/json")
        service.counters.grants += 1
        return web.json_response(grant_body(given))

    async def vaults(request: web.Request) -> web.Response:
        vault = {
            "vaultId": "vault-1",
            "name": "Secret Server",
            "isDefault": True,
            "isActive": True,
            "connection": {"url": f"{request.scheme}://{request.host}{mount}"},
        }
        return web.json_response({"vaults": [vault]})

    broker = web.Application(middlewares=[authorized(service)])
    broker.add_routes([web.get("/api/vaults", vaults)])
    app = web.Application(middlewares=[in_our_shape])
    app.add_routes([web.get("/health", health), web.post("/identity/api/oauth2/token/xpmplatform", grant)])
    app.add_subapp("/vaultbroker", broker)
    return app
