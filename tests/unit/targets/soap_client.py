"""A plain SOAP client for tests of the simulated vault: an operation and its arguments in, its result's members out.

And the estate that they ask about: a secret for each thing that may stand before its values.
"""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from xml.etree.ElementTree import Element
from xml.sax.saxutils import escape

from defusedxml.ElementTree import fromstring

from tests.unit.targets.targets_lab import Clock, Vault, vault

PATH = "/webservices/SSWebService.asmx"
NAMESPACE = "urn:thesecretserver.com"
SOAP_11 = "http://schemas.xmlsoap.org/soap/envelope/"
SOAP_12 = "http://www.w3.org/2003/05/soap-envelope"
NIL = "{http://www.w3.org/2001/XMLSchema-instance}nil"

ESTATE = """
seed = 7
[vault]
local_always_allowed = false
[[vault.users]]
name = "boss"
permissions = ["View Secret", "Force Check In", "View Secret Audit", "View Launcher Password"]
access = { '\\' = "owner" }
[[vault.users]]
name = "lister"
access = { '\\' = "list" }
[[vault.users]]
name = "roleless"
permissions = []
[[vault.users]]
name = "coded"
one_time_code = "123456"
[[vault.users]]
name = "elsewhere"
addresses = ["127.9.9.9"]
[[vault.users]]
name = "abroad"
domain = "CORP"
[[hosts]]
login = "key"
secret_name = "key {address}"
[[secrets]]
name = "plain"
template = "windows"
machine = "dc1.corp.example"
folder = '\\Scan\\Windows'
[[secrets]]
name = "out"
security = { checkout = true, checkout_interval = "10m" }
[[secrets]]
name = "why"
security = { comment = true }
[[secrets]]
name = "ask"
security = { approvers = ["boss"] }
[[secrets]]
name = "locked"
security = { double_lock = "KMS-second" }
[[secrets]]
name = "shy"
security = { hide_password = true }
[[secrets]]
name = "gone"
state = "inactive"
[[secrets]]
name = "hidden"
state = "forbidden"
"""
KEY = "key 127.20.0.1"
"""The one secret with a key."""
DENIED = ["Access Denied"]


def request(operation: str, arguments: dict[str, Any], soap: str = SOAP_11) -> bytes:
    """Arguments are text, or dictionaries (structures) and lists of them (arrays)."""
    inner = "".join(written(name, value) for name, value in arguments.items())
    body = f'<{operation} xmlns="{NAMESPACE}">{inner}</{operation}>'
    return f'<s:Envelope xmlns:s="{soap}"><s:Body>{body}</s:Body></s:Envelope>'.encode()


def written(name: str, value: Any) -> str:
    if isinstance(value, list):
        return f"<{name}>{''.join(written(*pair) for one in value for pair in one.items())}</{name}>"
    if isinstance(value, dict):
        return f"<{name}>{''.join(written(*pair) for pair in value.items())}</{name}>"
    said = str(value).lower() if isinstance(value, bool) else str(value)
    return f"<{name}>{escape(said)}</{name}>"


def members(element: Element) -> Any:
    """What an element holds: text, None (nil), a list of its array's items, or a dictionary of its members."""
    if element.get(NIL) == "true":
        return None
    children = list(element)
    tags = [child.tag.removeprefix(f"{{{NAMESPACE}}}") for child in children]
    if local(element) in {"Errors", "Items", "SecretSummaries", "SecretAudits", "Secrets", "Permissions", "Approvers"}:
        return [members(child) for child in children]
    return dict(zip(tags, map(members, children), strict=True)) if children else element.text or ""


def local(element: Element) -> str:
    return element.tag.rpartition("}")[2]


@dataclass(frozen=True)
class Fault:
    code: str
    text: str


class Soap:
    """A client of a vault, logged in or not."""

    def __init__(self, vault: Vault) -> None:
        self.vault = vault
        self.token = ""

    async def login(self, user: str = "", **changed: str) -> dict[str, Any]:
        users = self.vault.world.service.users
        known = users.named(user) or users.first
        login = {"username": known.name, "password": known.password, "organization": "", "domain": known.domain}
        result = await self.call("Authenticate", **(login | changed))
        self.token = result.get("Token", "")
        return result

    async def ask(self, operation: str, **arguments: Any) -> dict[str, Any]:
        """With the token."""
        return await self.call(operation, token=self.token, **arguments)

    async def errors(self, operation: str, **arguments: Any) -> list[str]:
        """The errors of an operation that must have failed: no other member is there."""
        result = await self.ask(operation, **arguments)
        assert list(result) == ["Errors"], result
        found = result["Errors"]
        assert isinstance(found, list)
        return found

    async def call(self, operation: str, *, soap: str = SOAP_11, **arguments: Any) -> dict[str, Any]:
        status, root = await self.post(request(operation, arguments, soap), operation, soap)
        assert status == 200, root
        result = root.find(f"./{{{soap}}}Body/{{{NAMESPACE}}}{operation}Response/{{{NAMESPACE}}}{operation}Result")
        assert result is not None
        return {local(child): members(child) for child in result}

    async def fault(self, body: bytes | io.BytesIO, action: str | None, soap: str = SOAP_11) -> Fault:
        """The fault that a request must have ended in."""
        status, root = await self.post(body, action, soap)
        assert status == 500
        fault = root.find(f"./{{{soap}}}Body/{{{soap}}}Fault")
        assert fault is not None
        if soap == SOAP_11:
            return Fault(fault.findtext("faultcode", ""), fault.findtext("faultstring", ""))
        code = fault.findtext(f"{{{soap}}}Code/{{{soap}}}Value", "")
        return Fault(code, fault.findtext(f"{{{soap}}}Reason/{{{soap}}}Text", ""))

    async def post(self, body: bytes | io.BytesIO, action: str | None, soap: str = SOAP_11) -> tuple[int, Element]:
        """`action`: an operation, or a whole action where it has a colon; None: it is not named."""
        full = action if action is None or ":" in action else f"{NAMESPACE}/{action}"
        kind = "text/xml" if soap == SOAP_11 else "application/soap+xml"
        headers = {"Content-Type": f"{kind}; charset=utf-8"}
        if full is not None and soap == SOAP_11:
            headers["SOAPAction"] = f'"{full}"'
        elif full is not None:
            headers["Content-Type"] += f'; action="{full}"'
        async with self.vault.client.post(self.vault.mount + PATH, data=body, headers=headers) as response:
            assert response.content_type == kind
            return response.status, fromstring(await response.read())


@asynccontextmanager
async def soap(clock: Clock | None = None, estate: str = ESTATE) -> AsyncIterator[Soap]:
    """A client that is logged in as the scanner's user."""
    async with vault(estate, clock) as v:
        client = Soap(v)
        assert (await client.login())["Errors"] == []
        yield client


async def other(client: Soap, user: str) -> Soap:
    made = Soap(client.vault)
    await made.login(user)
    assert made.token
    return made
