"""Check-out and check-in, password changes, heartbeat, expiry, security settings, access requests and comments."""

from __future__ import annotations

from dataclasses import replace

from aiohttp import web

from targets.secret_server.access_requests import AccessRequest, Status
from targets.secret_server.refusal import Refused
from targets.secret_server.rest import records, wire
from targets.secret_server.rest.asking import (
    body_of,
    caller_of,
    look_of,
    number_in,
    place_of,
    query_of,
    refusal,
)
from targets.secret_server.rest.paging import page
from targets.secret_server.rest.query import BadQueryError
from targets.secret_server.secrets import StoredSecret
from targets.secret_server.service import Vault

_SETTINGS = {
    "checkOutEnabled": "checkout",
    "checkOutChangePasswordEnabled": "change_on_checkin",
    "checkOutIntervalMinutes": "checkout_interval",
    "requiresComment": "comment",
    "hideLauncherPassword": "hide_password",
}
"""Of the Security tab, by the names of REST."""


class Checkouts:
    def __init__(self, service: Vault) -> None:
        self._service = service

    def routes(self, version: str) -> list[web.RouteDef]:
        one, requests = f"/{version}/secrets/{{id}}", f"/{version}/secret-access-requests"
        return [
            web.post(f"{one}/check-out", self.check_out),
            web.post(f"{one}/check-in", self.check_in),
            web.post(f"{one}/extend-check-out", self.extend),
            web.post(f"{one}/change-password", self.change_password),
            web.post(f"{one}/stop-password-change", self.stop_change),
            web.post(f"{one}/heartbeat", self.heartbeat),
            web.post(f"{one}/expire", self.expire),
            web.patch(f"{one}/security-checkout", self.security),
            web.patch(f"{one}/security-general", self.security),
            web.get(requests, self.requests),
            web.post(requests, self.file),
            web.put(requests, self.answer),
            web.get(f"{requests}/{{request}}", self.request),
            web.get(f"{requests}/secrets/{{id}}", self.requests_for),
            web.post(f"{requests}/secrets/{{id}}/view-comment", self.view_comment),
            web.get(f"{requests}/secrets/{{id}}/options", self.options),
        ]

    async def check_out(self, request: web.Request) -> web.Response:
        done = self._service.check_out(caller_of(request), place_of(request), (await body_of(request)).ask())
        return refusal(self._service, done) if isinstance(done, Refused) else web.json_response({"responseCodes": []})

    async def check_in(self, request: web.Request) -> web.Response:
        done = self._service.check_in(caller_of(request), place_of(request), (await body_of(request)).ask())
        return self._summary(request, done)

    async def extend(self, request: web.Request) -> web.Response:
        data = (await body_of(request)).inner("data")
        found = self._service.reading.listed(caller_of(request), place_of(request))
        if isinstance(found, Refused):
            return refusal(self._service, found)
        minutes, notes = data.number("minutesToAdd"), data.text("notes")
        end = self._service.checkouts.extend(found, caller_of(request), minutes, notes)
        if isinstance(end, Refused):
            return refusal(self._service, end)
        return web.json_response({"checkOutEndTime": wire.date(self._service.clock.at(end))})

    async def change_password(self, request: web.Request) -> web.Response:
        body = await body_of(request)
        caller, place = caller_of(request), place_of(request)
        done = self._service.managing.change_password(caller, place, body.ask(), body.text("newPassword"))
        return self._summary(request, done)

    async def stop_change(self, request: web.Request) -> web.Response:
        stopped = self._service.managing.stop_change(caller_of(request), place_of(request))
        return (
            refusal(self._service, stopped) if isinstance(stopped, Refused) else web.json_response({"success": stopped})
        )

    async def heartbeat(self, request: web.Request) -> web.Response:
        return self._summary(request, self._service.managing.heartbeat(caller_of(request), place_of(request)))

    async def expire(self, request: web.Request) -> web.Response:
        return self._summary(request, self._service.managing.expire(caller_of(request), place_of(request)))

    async def security(self, request: web.Request) -> web.Response:
        """Only members with `dirty: true` are changed; the settings are given back."""
        data = (await body_of(request)).inner("data")
        found = self._service.reading.listed(caller_of(request), place_of(request))
        if isinstance(found, Refused):
            return refusal(self._service, found)
        changed: dict[str, float] = {}
        for name, setting in _SETTINGS.items():
            if name.lower() not in data.values or not (field := data.inner(name)).flag("dirty"):
                continue
            if name != "checkOutIntervalMinutes":
                changed[setting] = field.flag("value")
            elif field.number("value") < 1:
                raise BadQueryError(name)
            else:
                changed[setting] = field.number("value") * 60.0
        security = found.security.model_copy(update=changed)
        if not security.checkout:
            security = security.model_copy(update={"change_on_checkin": False})
        refused = self._service.checkouts.secure(found, caller_of(request), security)
        return refusal(self._service, refused) if refused else web.json_response(wire.settings(found))

    async def requests(self, request: web.Request) -> web.Response:
        """`filter.status` and `filter.isMyRequest` narrow it."""
        query, caller = query_of(request), caller_of(request)
        found = self._service.requests.all(caller)
        if status := query.text("filter.status"):
            found = [r for r in found if r.status.lower() == status.lower()]
        if query.flag("filter.isMyRequest"):
            found = [r for r in found if r.user_id == caller.user.id]
        return web.json_response(page(found, query, records.access_request))

    async def requests_for(self, request: web.Request) -> web.Response:
        """The caller's own for one secret. UNSURE: as a page, and with those that are over."""
        caller = caller_of(request)
        secret = self._service.reading.listed(caller, place_of(request))
        if isinstance(secret, Refused):
            return refusal(self._service, secret)
        own = [r for r in self._service.requests.all(caller) if r.user_id == caller.user.id and r.secret is secret]
        return web.json_response(page(own, query_of(request), records.access_request))

    async def request(self, request: web.Request) -> web.Response:
        return self._request(self._service.requests.get(number_in(request, "request"), caller_of(request)))

    async def file(self, request: web.Request) -> web.Response:
        body = await body_of(request)
        secret = self._service.reading.listed(caller_of(request), body.number("secretId"))
        if isinstance(secret, Refused):
            return refusal(self._service, secret)
        return self._request(
            self._service.requests.file(
                secret,
                caller_of(request),
                replace(body.ask(), comment=body.text("requestComment")),
                start=body.date("startDate"),
                end=body.date("expirationDate"),
            )
        )

    async def answer(self, request: web.Request) -> web.Response:
        body = await body_of(request)
        try:
            status = Status(body.text("status").capitalize())
        except ValueError:
            raise BadQueryError("status") from None
        return self._request(
            self._service.requests.answer(
                body.number("secretAccessRequestId"),
                caller_of(request),
                status,
                body.text("responseComment"),
                start=body.date("startDate"),
                end=body.date("expirationDate"),
            )
        )

    async def view_comment(self, request: web.Request) -> web.Response:
        done = self._service.view_comment(caller_of(request), place_of(request), (await body_of(request)).ask())
        return refusal(self._service, done) if isinstance(done, Refused) else web.json_response({"success": True})

    async def options(self, request: web.Request) -> web.Response:
        secret = self._service.reading.listed(caller_of(request), place_of(request))
        if isinstance(secret, Refused):
            return refusal(self._service, secret)
        return web.json_response(records.access_options(secret, look_of(self._service, request)))

    def _summary(self, request: web.Request, done: StoredSecret | Refused) -> web.Response:
        if isinstance(done, Refused):
            return refusal(self._service, done)
        return web.json_response(wire.summary(done, look_of(self._service, request)))

    def _request(self, done: AccessRequest | Refused) -> web.Response:
        if isinstance(done, Refused):
            return refusal(self._service, done)
        return web.json_response(records.access_request(done))
