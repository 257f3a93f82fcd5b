"""A call to its result: who calls, what the operation gives, what a refusal becomes. It knows no HTTP."""

from __future__ import annotations

import anyio

from targets.secret_server.refusal import Refused, Why
from targets.secret_server.service import Vault
from targets.secret_server.soap import checkouts, searches, secrets, sessions
from targets.secret_server.soap.asking import Arguments
from targets.secret_server.soap.envelope import Call
from targets.secret_server.soap.errors import failed, no_caller, text
from targets.secret_server.soap.values import Values
from targets.secret_server.users import Caller

HANDLERS = sessions.HANDLERS | secrets.HANDLERS | searches.HANDLERS | checkouts.HANDLERS


async def result(service: Vault, call: Call, address: str) -> Values | None:
    """The members of the operation's result. None: the secret is one that the vault cannot answer for (503)."""
    name, asked = call.operation.name, Arguments(call.arguments, address)
    if not call.operation.has_token:
        return sessions.OPEN[name](service, asked)
    caller = service.logins.caller(asked.text("token"), address=address)
    if not isinstance(caller, Caller):
        return failed(no_caller(caller))
    if name in secrets.VIEWS:
        await anyio.sleep(service.reading.delay(asked.number("secretId")))
    given = HANDLERS[name](service, caller, asked)
    if not isinstance(given, Refused):
        return given
    return None if given.why is Why.UNAVAILABLE else failed(text(given, service.spec.error_text))
