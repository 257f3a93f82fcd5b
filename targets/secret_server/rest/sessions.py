"""Tokens, SDK clients, health and version, the current user, restrictions by address."""

from __future__ import annotations

from aiohttp import web

from targets.secret_server.refusal import Refused, Why
from targets.secret_server.rest.asking import body_of, caller_of, number_in, query_of, refusal
from targets.secret_server.rest.paging import page
from targets.secret_server.rest.records import current_user
from targets.secret_server.rest.wire import Json, date
from targets.secret_server.service import Vault
from targets.secret_server.tokens import Grant
from targets.vault_faults import REFUSED

VERSION = "11.2.000002"


class Sessions:
    def __init__(self, service: Vault) -> None:
        self._service = service
        self._logins = service.logins

    def routes(self, version: str) -> list[web.RouteDef]:
        return [
            web.get(f"/{version}/healthcheck", self.healthcheck),
            web.get(f"/{version}/version", self.version),
            web.post(f"/{version}/oauth-expiration", self.expire),
            web.post(f"/{version}/sdk-client-accounts", self.onboard),
            web.get(f"/{version}/users/current", self.user),
            web.get(f"/{version}/users/{{user}}/ipaddress-restrictions", self.restrictions_of_user),
            web.get(f"/{version}/ipaddress-restrictions", self.restrictions),
            web.get(f"/{version}/ipaddress-restrictions/{{restriction}}/users", self.users_of_restriction),
        ]

    async def grant(self, request: web.Request) -> web.Response:
        form = {name.lower(): str(value) for name, value in (await request.post()).items()}
        address = request.remote or ""
        match form.get("grant_type"):
            case "password":
                given = self._logins.login(
                    form.get("username", ""),
                    form.get("password", ""),
                    form.get("domain", ""),
                    code=request.headers.get("OTP", ""),
                    address=address,
                )
            case "refresh_token":
                given = self._logins.refresh(form.get("refresh_token", ""), address=address)
            case "client_credentials":
                client, secret = form.get("client_id", ""), form.get("client_secret", "")
                given = self._logins.client_login(client, secret, address=address)
            case _:
                return web.json_response({"error": "unsupported_grant_type"}, status=400)
        if given is None:
            return web.Response(status=400, text=REFUSED, content_type="application/json")
        self._service.counters.grants += 1
        return web.json_response(grant_body(given))

    async def expire(self, request: web.Request) -> web.Response:
        """The caller's own token is dead from now on."""
        self._logins.tokens.expire(bearer(request))
        return web.json_response(True)  # UNSURE: no public source gives the body

    async def onboard(self, request: web.Request) -> web.Response:
        body = await body_of(request)
        made = self._logins.onboard(
            body.text("clientId"), body.text("ruleName"), body.text("onboardingKey"), address=request.remote or ""
        )
        if made is None:
            return web.json_response({"message": "The client could not be registered."}, status=400)
        return web.json_response({"id": made.id, "clientId": made.client_id, "clientSecret": made.client_secret})

    async def healthcheck(self, _request: web.Request) -> web.Response:
        now = date(self._service.clock.now())
        return web.json_response(
            {
                # Releases differ in the case of this key, and clients in which one they read.
                "Healthy": True,
                "healthy": True,
                "databaseHealthy": True,
                "databaseMismatch": False,
                "now": now,
                "utcNow": now,
                "readOnlyMode": self._service.mode.read_only,
                "scheduledForDeletion": False,
                "provisionDeletionDateTime": None,
                "serviceBusHealthy": True,
                "storageAccountHealthy": True,
            }
        )

    async def version(self, _request: web.Request) -> web.Response:
        return web.json_response({"model": {"version": VERSION}, "success": True, "errors": None, "severity": "None"})

    async def user(self, request: web.Request) -> web.Response:
        return web.json_response(current_user(caller_of(request).user))

    async def restrictions_of_user(self, request: web.Request) -> web.Response:
        """One's own; another's, for unlimited administrators."""
        user = self._service.users.get(number_in(request, "user"))
        asking = caller_of(request).user
        if user is None or (user is not asking and not asking.unlimited):
            return refusal(self._service, Refused(Why.ACCESS_DENIED))
        texts = {r.text for r in user.addresses}
        mine = {number: text for number, text in self._service.users.ranges().items() if text in texts}
        return web.json_response(page(mine.items(), query_of(request), _restriction))

    async def restrictions(self, request: web.Request) -> web.Response:
        if not caller_of(request).user.unlimited:
            return refusal(self._service, Refused(Why.ROLE_MISSING))
        return web.json_response(page(self._service.users.ranges().items(), query_of(request), _restriction))

    async def users_of_restriction(self, request: web.Request) -> web.Response:
        users = self._service.users
        if not caller_of(request).user.unlimited:
            return refusal(self._service, Refused(Why.ROLE_MISSING))
        text = users.ranges().get(number_in(request, "restriction"))
        if text is None:
            return refusal(self._service, Refused(Why.ACCESS_DENIED))
        bound = [user for user in users.all() if text in {r.text for r in user.addresses}]
        return web.json_response(page(bound, query_of(request), lambda u: {"id": u.id, "userName": u.name}))


def _restriction(row: tuple[int, str]) -> Json:
    number, text = row
    return {"id": number, "name": text, "range": text}


def bearer(request: web.Request) -> str:
    """The token of a request; empty where there is none."""
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" else ""


def grant_body(grant: Grant) -> Json:
    body: Json = {"access_token": grant.access_token, "token_type": "bearer", "expires_in": grant.expires_in}
    return body | ({"refresh_token": grant.refresh_token} if grant.refresh_token else {})
