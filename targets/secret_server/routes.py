"""The routes of the simulated Secret Server, mounted at /SecretServer.

Order of refusals for a secret: token, then request, then existence and permission, then what its state asks for. A view
is counted and audited exactly when values leave.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime

import anyio
from aiohttp import web
from aiohttp.typedefs import Handler

from targets.faults import SecretState
from targets.secret_server import wire
from targets.secret_server.orders import GRANT_PATH, orders
from targets.secret_server.query import TAKE, BadQueryError, Query
from targets.secret_server.store import StoredSecret
from targets.secret_server.tokens import Grant, TokenState
from targets.vault_faults import EXPIRED, REFUSED, UNAVAILABLE
from targets.world import World

MOUNT = "/SecretServer"
VERSION = "11.2.000002"
SLOW_S = 60.0
"""Seconds that a slow secret takes."""


def application(world: World) -> web.Application:
    vault = _Vault(world)
    api = web.Application(middlewares=[vault.errors, vault.bearer])
    for version in ("v1", "v2"):
        api.add_routes(
            [
                web.get(f"/{version}/healthcheck", vault.healthcheck),
                web.get(f"/{version}/version", vault.version),
                web.get(f"/{version}/secrets", vault.search),
                web.get(f"/{version}/secrets/{{id}}", vault.read),
                web.post(f"/{version}/secrets/{{id}}/restricted", vault.read_restricted),
                web.get(f"/{version}/secrets/{{id}}/fields/{{slug}}", vault.read_field),
                web.post(f"/{version}/secrets/{{id}}/restricted/fields/{{slug}}", vault.read_field_restricted),
                web.get(f"/{version}/secrets/{{id}}/state", vault.state),
                web.get(f"/{version}/secrets/{{id}}/audits", vault.audits),
            ]
        )
    app = web.Application(middlewares=[orders(world), vault.errors])
    app.add_routes([web.post(MOUNT + GRANT_PATH, vault.grant)])
    app.add_subapp(f"{MOUNT}/api", api)
    return app


class _Vault:
    def __init__(self, world: World) -> None:
        self._world = world
        self._store = world.vault
        self._seen = world.metrics.vault

    @web.middleware
    async def errors(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """What the framework or a parser refuses, in the vault's own shape: every error body is an object."""
        try:
            return await handler(request)
        except BadQueryError as error:
            return web.json_response(wire.bad_request(str(error)), status=400)
        except web.HTTPException as error:
            return web.json_response(wire.not_found(str(request.url)), status=error.status)

    @web.middleware
    async def bearer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.lower().endswith("/healthcheck"):
            return await handler(request)
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        match self._world.logins.state(token.strip()) if kind.lower() == "bearer" else TokenState.FOREIGN:
            case TokenState.ALIVE:
                return await handler(request)
            case TokenState.EXPIRED:
                return web.Response(status=403, text=EXPIRED, content_type="application/json")
            case TokenState.FOREIGN:
                # UNSURE: the body is ASP.NET's default.
                return web.json_response({"message": "Authorization has been denied for this request."}, status=401)

    async def grant(self, request: web.Request) -> web.Response:
        form = {name.lower(): str(value) for name, value in (await request.post()).items()}
        match form.get("grant_type"):
            case "password":
                given = self._world.logins.login(
                    form.get("username", ""), form.get("password", ""), form.get("domain", "")
                )
            case "refresh_token":
                given = self._world.logins.refresh(form.get("refresh_token", ""))
            case _:
                return web.json_response({"error": "unsupported_grant_type"}, status=400)
        if given is None:
            return web.Response(status=400, text=REFUSED, content_type="application/json")
        self._seen.grants += 1
        return web.json_response(_grant_body(given))

    async def healthcheck(self, _request: web.Request) -> web.Response:
        now = datetime.now(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds")
        # Releases differ in the case of this key, and clients in which one they read.
        return web.json_response({"Healthy": True, "healthy": True, "databaseHealthy": True, "utcNow": now})

    async def version(self, _request: web.Request) -> web.Response:
        return web.json_response({"model": {"version": VERSION}, "success": True, "errors": None, "severity": "None"})

    async def search(self, request: web.Request) -> web.Response:
        query = Query(request.query.items())
        self._seen.searches += 1
        found = self._store.search(query.text("filter.searchText"), exact=query.flag("filter.isExactMatch"))
        shown = [
            wire.summary(secret)
            for secret in found
            if (secret.active or query.flag("filter.includeInactive"))
            and (secret.state is not SecretState.COMMENT or query.flag("filter.includeRestricted"))
        ]
        return web.json_response(wire.page(shown, skip=query.number("skip", 0), take=query.number("take", TAKE)))

    async def read(self, request: web.Request) -> web.Response:
        return self._view(await self._readable(request, comment=None), "", comment=None)

    async def read_restricted(self, request: web.Request) -> web.Response:
        comment = await _comment(request)
        return self._view(await self._readable(request, comment=comment), "", comment=comment)

    async def read_field(self, request: web.Request) -> web.Response:
        return self._view(await self._readable(request, comment=None), request.match_info["slug"], comment=None)

    async def read_field_restricted(self, request: web.Request) -> web.Response:
        comment = await _comment(request)
        return self._view(await self._readable(request, comment=comment), request.match_info["slug"], comment=comment)

    async def state(self, request: web.Request) -> web.Response:
        secret = self._named(request)
        return self._denied() if secret is None else web.json_response(wire.secret_state(secret))

    async def audits(self, request: web.Request) -> web.Response:
        secret, query = self._named(request), Query(request.query.items())
        if secret is None:
            return self._denied()
        rows = [wire.audit_row(secret, row) for row in reversed(secret.audits)]
        return web.json_response(wire.page(rows, skip=query.number("skip", 0), take=query.number("take", TAKE)))

    def _named(self, request: web.Request) -> StoredSecret | None:
        """The secret of the route's id; id 0 asks for `secretPath`."""
        raw = request.match_info["id"]
        if not (raw.isascii() and raw.isdigit()):
            raise BadQueryError("id")
        path = Query(request.query.items()).text("secretPath")
        return self._store.at_path(path) if int(raw) == 0 else self._store.get(int(raw))

    async def _readable(self, request: web.Request, *, comment: str | None) -> StoredSecret | web.Response:
        secret = self._named(request)
        if secret is not None and secret.state is SecretState.UNAVAILABLE:
            return web.Response(status=503, text=UNAVAILABLE, content_type="text/html")
        if secret is not None and secret.state is SecretState.SLOW:
            await anyio.sleep(SLOW_S)
        if secret is None or secret.state is SecretState.FORBIDDEN:
            return self._denied()
        if not secret.active and not Query(request.query.items()).flag("includeInactive"):
            return self._denied()
        if secret.state is SecretState.COMMENT and not comment:
            return web.json_response(wire.comment_required(), status=400)
        return secret

    def _view(self, secret: StoredSecret | web.Response, slug: str, *, comment: str | None) -> web.Response:
        """Hand out a whole secret, or the one field that `slug` names."""
        if isinstance(secret, web.Response):
            return secret
        if not slug:
            self._seen.views += 1
            self._seen.views_by_secret[secret.name] += 1
            self._store.audit(secret, self._world.logins.user, "VIEW", comment or "")
            return web.json_response(wire.secret_model(secret))
        value = wire.field_value(secret, slug)
        if value is None:
            return web.json_response(wire.no_field(), status=400)
        self._seen.views += 1
        self._seen.field_reads += 1
        self._seen.views_by_secret[secret.name] += 1
        action = "WEBSERVICE PASSWORD DISPLAYED" if "pass" in slug.lower() else "VIEW"
        self._store.audit(secret, self._world.logins.user, action, comment or "")
        if isinstance(value, bytes):
            return web.Response(body=value, content_type="application/octet-stream")
        return web.json_response(value)

    def _denied(self) -> web.Response:
        return web.json_response(wire.access_denied(), status=self._world.estate.vault.access_denied_status)


async def _comment(request: web.Request) -> str:
    """The comment of a restricted read's body. Raises BadQueryError for a body that is no object."""
    try:
        body = await request.json() if request.can_read_body else {}
    except json.JSONDecodeError:
        raise BadQueryError("args") from None
    if not isinstance(body, dict):
        raise BadQueryError("args")
    return str(body.get("comment") or "").strip()


def _grant_body(grant: Grant) -> wire.Json:
    body: wire.Json = {
        "access_token": grant.access_token,
        "token_type": "bearer",
        "expires_in": grant.expires_in,
    }
    return body | ({"refresh_token": grant.refresh_token} if grant.refresh_token else {})
