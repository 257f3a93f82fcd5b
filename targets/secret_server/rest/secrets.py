"""Reading a secret: whole, by field, its standing, its audit; and the writing of values."""

from __future__ import annotations

import base64

import anyio
from aiohttp import web

from targets.secret_server.gate import Ask
from targets.secret_server.reading import Shown
from targets.secret_server.refusal import Refused, Why
from targets.secret_server.rest import records, wire
from targets.secret_server.rest.asking import (
    ask_of_query,
    body_of,
    caller_of,
    look_of,
    place_of,
    query_of,
    refusal,
)
from targets.secret_server.rest.paging import page
from targets.secret_server.rest.query import BadQueryError
from targets.secret_server.service import Vault
from targets.secret_server.templates import BY_ID


class Secrets:
    def __init__(self, service: Vault) -> None:
        self._service = service
        self._reading = service.reading

    def routes(self, version: str) -> list[web.RouteDef]:
        one = f"/{version}/secrets/{{id}}"
        return [
            web.get(f"/{version}/secrets/stub", self.stub),
            web.get(one, self.read),
            web.put(one, self.write),
            web.delete(one, self.deactivate),
            web.put(f"{one}/activate", self.activate),
            web.patch(f"{one}/general", self.patch),
            web.post(f"{one}/restricted", self.read_restricted),
            web.get(f"{one}/fields/{{slug}}", self.read_field),
            web.get(f"{one}/fields/{{slug}}/list", self.no_list),
            web.get(f"{one}/fields/{{slug}}/listdetails", self.no_list),
            web.put(f"{one}/fields/{{slug}}", self.write_field),
            web.post(f"{one}/restricted/fields/{{slug}}", self.read_field_restricted),
            web.get(f"{one}/summary", self.summary),
            web.get(f"{one}/state", self.state),
            web.get(f"{one}/settings", self.settings),
            web.get(f"{one}/preview", self.preview),
            web.get(f"{one}/audits", self.audits),
        ]

    def internals(self) -> list[web.RouteDef]:
        """What the web interface asks for, and scripts with it."""
        return [
            web.get("/secret-detail/{id}/heartbeat-status", self.heartbeat_status),
            web.get("/secret-detail/{id}/password-status", self.password_status),
        ]

    async def stub(self, request: web.Request) -> web.Response:
        query = query_of(request)
        template = BY_ID.get(query.number("secretTemplateId", 0))
        if template is None:
            raise BadQueryError("secretTemplateId")
        return web.json_response(wire.stub(template, query.number("folderId", -1)))

    async def read(self, request: web.Request) -> web.Response:
        return await self._view(request, ask_of_query(request))

    async def read_restricted(self, request: web.Request) -> web.Response:
        return await self._view(request, (await body_of(request)).ask())

    async def read_field(self, request: web.Request) -> web.Response:
        return await self._field(request, ask_of_query(request))

    async def read_field_restricted(self, request: web.Request) -> web.Response:
        return await self._field(request, (await body_of(request)).ask())

    async def summary(self, request: web.Request) -> web.Response:
        secret = self._reading.listed(caller_of(request), place_of(request))
        if isinstance(secret, Refused):
            return refusal(self._service, secret)
        return web.json_response(wire.summary(secret, look_of(self._service, request)))

    async def state(self, request: web.Request) -> web.Response:
        caller = caller_of(request)
        secret = self._reading.listed(caller, place_of(request))
        if isinstance(secret, Refused):
            return refusal(self._service, secret)
        standing, until = self._service.standing(caller, secret), self._service.requests.approved(secret, caller)
        return web.json_response(wire.secret_state(secret, standing, look_of(self._service, request), until))

    async def settings(self, request: web.Request) -> web.Response:
        secret = self._reading.listed(caller_of(request), place_of(request))
        return (
            refusal(self._service, secret) if isinstance(secret, Refused) else web.json_response(wire.settings(secret))
        )

    async def preview(self, request: web.Request) -> web.Response:
        """Everything but its passwords; no view."""
        secret = self._reading.listed(caller_of(request), place_of(request))
        if isinstance(secret, Refused):
            return refusal(self._service, secret)
        return web.json_response(wire.secret_model(Shown(secret, hidden=""), look_of(self._service, request)))

    async def audits(self, request: web.Request) -> web.Response:
        rows = self._reading.audits(caller_of(request), place_of(request))
        if isinstance(rows, Refused):
            return refusal(self._service, rows)
        return web.json_response(page(rows, query_of(request), records.audit_row))

    async def write(self, request: web.Request) -> web.Response:
        """The values of `items`, by slug or field id; the other members are left as they are."""
        items = (await body_of(request)).values.get("items")
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise BadQueryError("items")
        values = {
            str(i.get("slug") or i.get("fieldId")): str(i.get("itemValue") or "") for i in items if not i.get("isFile")
        }
        caller, place = caller_of(request), place_of(request)
        written = self._service.managing.write(caller, place, values, ask_of_query(request))
        if isinstance(written, Refused):
            return refusal(self._service, written)
        return await self._view(request, ask_of_query(request))

    async def patch(self, request: web.Request) -> web.Response:
        """Of `data`, the `secretFields` and `active` that are `dirty`; the data is given back."""
        data = (await body_of(request)).inner("data")
        fields = data.values.get("secretfields") or []
        if not isinstance(fields, list) or not all(isinstance(field, dict) for field in fields):
            raise BadQueryError("secretFields")
        values = {str(f.get("slug")): str(f.get("value") or "") for f in fields if f.get("dirty")}
        caller, place = caller_of(request), place_of(request)
        if values:
            written = self._service.managing.write(caller, place, values, ask_of_query(request))
            if isinstance(written, Refused):
                return refusal(self._service, written)
        if "active" in data.values and (active := data.inner("active")).flag("dirty"):
            done = self._service.managing.set_active(caller, place, active=active.flag("value"))
            if isinstance(done, Refused):
                return refusal(self._service, done)
        return web.json_response({"data": data.given})

    async def write_field(self, request: web.Request) -> web.Response:
        """Text as JSON `value`; a file as `fileName` and base64 `fileAttachment`, or as the part `file` of a form."""
        slug = request.match_info["slug"]
        if request.content_type == "multipart/form-data":
            part = (await request.post()).get("file")
            if not isinstance(part, web.FileField):
                raise BadQueryError("file")
            return self._attach(request, slug, (part.filename, part.file.read()), ask_of_query(request))
        body = await body_of(request)
        if body.text("fileAttachment"):
            try:
                content = base64.b64decode(body.text("fileAttachment"), validate=True)
            except ValueError:
                raise BadQueryError("fileAttachment") from None
            return self._attach(request, slug, (body.text("fileName") or slug, content), body.ask())
        value = str(body.values.get("value") or "")
        values = {slug: value}
        written = self._service.managing.write(caller_of(request), place_of(request), values, body.ask())
        return refusal(self._service, written) if isinstance(written, Refused) else web.json_response(value)

    async def no_list(self, request: web.Request) -> web.Response:
        """None of the templates has a list field."""
        secret = self._reading.listed(caller_of(request), place_of(request))
        return refusal(self._service, secret if isinstance(secret, Refused) else Refused(Why.NO_FIELD))

    async def heartbeat_status(self, request: web.Request) -> web.Response:
        secret = self._reading.listed(caller_of(request), place_of(request))
        if isinstance(secret, Refused):
            return refusal(self._service, secret)
        return web.json_response(wire.heartbeat_status(secret))

    async def password_status(self, request: web.Request) -> web.Response:
        secret = self._reading.listed(caller_of(request), place_of(request))
        if isinstance(secret, Refused):
            return refusal(self._service, secret)
        return web.json_response(wire.password_status(secret))

    async def deactivate(self, request: web.Request) -> web.Response:
        return self._set_active(request, active=False)

    async def activate(self, request: web.Request) -> web.Response:
        return self._set_active(request, active=True)

    def _attach(self, request: web.Request, slug: str, file: tuple[str, bytes], ask: Ask) -> web.Response:
        done = self._service.managing.attach(caller_of(request), place_of(request), slug, file, ask)
        return refusal(self._service, done) if isinstance(done, Refused) else web.json_response(file[0])

    def _set_active(self, request: web.Request, *, active: bool) -> web.Response:
        secret = self._service.managing.set_active(caller_of(request), place_of(request), active=active)
        if isinstance(secret, Refused):
            return refusal(self._service, secret)
        return web.json_response({"id": secret.id, "objectType": "Secret", "responseCodes": []})

    async def _view(self, request: web.Request, ask: Ask) -> web.Response:
        place = place_of(request)
        await anyio.sleep(self._reading.delay(place))
        shown = self._reading.view(caller_of(request), place, ask)
        if isinstance(shown, Refused):
            return refusal(self._service, shown)
        return web.json_response(wire.secret_model(shown, look_of(self._service, request)))

    async def _field(self, request: web.Request, ask: Ask) -> web.Response:
        place = place_of(request)
        await anyio.sleep(self._reading.delay(place))
        value = self._reading.field(caller_of(request), place, request.match_info["slug"], ask)
        if isinstance(value, Refused):
            return refusal(self._service, value)
        if isinstance(value, bytes):
            return web.Response(body=value, content_type="application/octet-stream")
        return web.json_response(value)
