"""The SOAP interface's route: one address for WSDL, SOAP 1.1 and 1.2, and the HTTP GET form, its path in any case."""

from __future__ import annotations

import re
from html import escape

from aiohttp import web

from targets.secret_server.orders import SOAP_PATH, canned, on_order
from targets.secret_server.soap import answering, envelope, errors, forms, wsdl
from targets.secret_server.soap.contract import GRANTS, OPERATIONS
from targets.secret_server.soap.envelope import Call, Code, Fault, Version
from targets.secret_server.soap.values import Values
from targets.vault_faults import UNAVAILABLE, Scope
from targets.world import World

_FAILED = "Server was unable to process request. ---> "


class Soap:
    def __init__(self, world: World) -> None:
        self._world = world
        self._service = world.service

    def routes(self, mount: str) -> list[web.RouteDef]:
        path = f"/{{asmx:(?i:{re.escape((mount + SOAP_PATH).lstrip('/'))})}}"
        return [
            web.get(path, self.describe),
            web.post(path, self.call),
            web.get(f"{path}/{{operation}}", self.call_form),
        ]

    async def describe(self, request: web.Request) -> web.Response:
        """The WSDL, or a page that names the operations."""
        if instead := self._instead(None):
            return instead
        if request.query_string.lower() != "wsdl":
            names = "".join(f"<li>{escape(name)}</li>" for name in OPERATIONS)
            page = f'<h1>{wsdl.SERVICE}</h1><ul>{names}</ul><a href="?WSDL">Service Description</a>'
            return web.Response(text=f"<!DOCTYPE html><html><body>{page}</body></html>", content_type="text/html")
        location = str(request.url.origin().join(request.rel_url.with_query(None)))
        return _xml(wsdl.document(location), "text/xml")

    async def call(self, request: web.Request) -> web.Response:
        version = next((v for v in Version if v.content_type == request.content_type), None)
        if version is None:
            return self._instead(None) or _plain(f"Request format is invalid: {request.content_type}.")
        try:
            call = envelope.read(await request.read(), version, _action(request, version))
        except web.HTTPRequestEntityTooLarge:
            call = Fault("Maximum request length exceeded.", Code.SERVER)
        if instead := self._instead(call, version):
            return instead
        if isinstance(call, Fault):
            return _fault(version, call)
        result = await answering.result(self._service, call, request.remote or "")
        return _unavailable() if result is None else _answer(version, call, result)

    async def call_form(self, request: web.Request) -> web.Response:
        call = forms.read(request.match_info["operation"], request.query.items())
        if isinstance(call, str):
            return self._instead(None) or _plain(call)
        if instead := self._instead(call):
            return instead
        result = await answering.result(self._service, call, request.remote or "")
        return _unavailable() if result is None else _form_answer(call, result)

    def _instead(self, call: Call | Fault | None, version: Version | None = None) -> web.Response | None:
        """What a fault on order answers; `version` None: outside of an envelope.

        What REST refuses with an object is an error of the operation here, and its 500 is a fault. What is no call
        (None) meets only what stands before the whole vault.
        """
        asks_for_grant = isinstance(call, Call) and call.operation.name in GRANTS
        scope = Scope.GRANT if asks_for_grant else Scope.API
        if (found := on_order(self._world, scope)) is None:
            return None
        _, reply = found
        if reply.status in {400, 403, 500} and call is None:
            return None
        if reply.status in {400, 403}:
            if not isinstance(call, Call):
                return None
            if asks_for_grant:
                self._service.counters.failed_grants += 1
            result = errors.failed(errors.of_reply(reply))
            return _form_answer(call, result) if version is None else _answer(version, call, result)
        if reply.status == 500:
            text = _FAILED + errors.of_reply(reply)
            return _plain(text) if version is None else _fault(version, Fault(text, Code.SERVER))
        return canned(self._world, scope)


def _action(request: web.Request, version: Version) -> str | None:
    """As the headers name it; None where they don't. Quotes are not part of it."""
    if version is Version.SOAP_11:
        action = request.headers.get("SOAPAction")
    else:
        found = re.search(r';\s*action="?([^";]*)', request.headers.get("Content-Type", ""), re.IGNORECASE)
        action = found[1] if found else None
    return None if action is None else action.strip().strip('"')


def _answer(version: Version, call: Call, result: Values) -> web.Response:
    return _xml(envelope.answer(version, call.operation, result), version.content_type)


def _fault(version: Version, fault: Fault) -> web.Response:
    return _xml(envelope.fault(version, fault), version.content_type, status=500)


def _form_answer(call: Call, result: Values) -> web.Response:
    return _xml(forms.answer(call.operation, result), "text/xml")


def _unavailable() -> web.Response:
    return web.Response(status=503, text=UNAVAILABLE, content_type="text/html")


def _plain(text: str) -> web.Response:
    return web.Response(status=500, text=text)


def _xml(body: bytes, content_type: str, status: int = 200) -> web.Response:
    return web.Response(status=status, body=body, content_type=content_type, charset="utf-8")
