"""A vault that answers each route exactly as scripted, byte for byte, and tells what it was asked.

It is a raw TCP peer and no HTTP library, so that it can hang in any phase, drip, lie about lengths, or talk garbage.
"""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, NoReturn
from urllib.parse import parse_qsl, unquote, urlsplit

import anyio

from appliance.contract import Failure
from appliance.vault.credential import Credential
from appliance.vault.definition import Api, Hidden, VaultAccess, VaultLogin, VaultTls
from appliance.vault.messages import Answer
from appliance.vault.secret_server import SecretServerSource, open_source
from appliance.vault.tokens import Token

BASE = "/SecretServer"
API = "/api/v1"
PASSWORD = 'Gr4nt&me %pass"wörd\\'
TOKEN = "AgJf-token-0001"

EXPIRED = {"message": "Authentication failed or expired token."}
DENIED = {"errorCode": "API_AccessDenied", "message": "Access Denied"}


Spoken = Literal["rest", "soap", "auto"]


@dataclass(frozen=True, slots=True)
class Asked:
    method: str
    path: str
    """Below the base, decoded."""
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def bearer(self) -> str:
        return self.headers.get("authorization", "").removeprefix("Bearer ")

    @property
    def route(self) -> str:
        """The path, or what is called by SOAP: all its operations have one path."""
        return self.headers.get("soapaction", "").strip('"').rpartition("/")[2] or self.path

    @property
    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body.decode(), keep_blank_values=True))


class Peer:
    """The client's end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def receive(self) -> bytes:
        """Raises EOFError at the end."""
        if data := await self._reader.read(65536):
            return data
        raise EOFError


Act = Callable[[Peer], Awaitable[bool]]
"""Answers on the stream; true when the connection may serve another request."""


def raw(data: bytes, *, keep: bool = False) -> Act:
    async def act(stream: Peer) -> bool:
        await stream.send(data)
        return keep

    return act


def reply(status: int = 200, body: Any = b"", /, *, kind: str = "application/json", **headers: str) -> Act:
    """An answer; a body that is no bytes goes out as JSON. Header names are given with underscores."""
    payload = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(payload)}", f"Content-Type: {kind}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return raw("\r\n".join(lines).encode() + b"\r\n\r\n" + payload, keep=True)


def grant(token: str = TOKEN, life: float = 1200, **more: Any) -> Act:
    return reply(200, {"access_token": token, "token_type": "bearer", "expires_in": life, **more})


@dataclass(slots=True)
class Hang:
    """Sends a part of an answer (or nothing), says so, and then waits for ever, or until the client goes."""

    part: bytes = b""
    reached: anyio.Event = field(default_factory=anyio.Event)
    left: anyio.Event = field(default_factory=anyio.Event)

    async def __call__(self, stream: Peer) -> bool:
        if self.part:
            await stream.send(self.part)
        self.reached.set()
        try:
            await stream.receive()
        except (EOFError, OSError):
            self.left.set()
        return False


@dataclass(slots=True)
class Gate:
    """Answers, but only when the test opens it."""

    act: Act
    reached: anyio.Event = field(default_factory=anyio.Event)
    open: anyio.Event = field(default_factory=anyio.Event)

    async def __call__(self, stream: Peer) -> bool:
        self.reached.set()
        await self.open.wait()
        return await self.act(stream)


class ScriptedVault:
    def __init__(self, port: int, tls: ssl.SSLContext | None) -> None:
        self.port = port
        self.asked: list[Asked] = []
        self.connections = 0
        self.in_flight = self.peak = 0
        self.tasks: set[asyncio.Task[None]] = set()
        self._scripts: defaultdict[tuple[str, str], list[Act]] = defaultdict(list)
        self._scheme = "https" if tls else "http"

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self.port}{BASE}"

    def on(self, method: str, path: str, *acts: Act) -> None:
        """What a route (a path, or an operation of SOAP) answers, in order; the last answer is given again and again.

        Replaces an earlier script.
        """
        self._scripts[method, path] = list(acts)

    def access(self, *, requests: int = 8, tls: VaultTls | None = None, api: Spoken = "rest") -> VaultAccess:
        return VaultAccess(title="Vault", url=self.url, user="svc", requests=requests, tls=tls or VaultTls(), api=api)

    def login(self, *, domain: str = "", api: Spoken = "rest") -> VaultLogin:
        return VaultLogin(self.access(api=api), Hidden(PASSWORD), domain)

    def count(self, path: str) -> int:
        return sum(a.route == path for a in self.asked)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if (task := asyncio.current_task()) is not None:
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
        try:
            stream = Peer(reader, writer)
            while (asked := await _read(stream)) is not None:
                self.asked.append(asked)
                self.in_flight += 1
                self.peak = max(self.peak, self.in_flight)
                try:
                    keep = await self._act(asked)(stream)
                finally:
                    self.in_flight -= 1
                if not keep:
                    return
        except (EOFError, OSError):
            return
        except asyncio.CancelledError:
            # Ours, at the end of the test; 3.11's streams complain about a handler that ends cancelled.
            return
        finally:
            writer.close()

    def _act(self, asked: Asked) -> Act:
        script = self._scripts[asked.method, asked.route]
        if not script:
            return reply(404, {"message": "No HTTP resource was found that matches the request URI"})
        return script.pop(0) if len(script) > 1 else script[0]


async def _read(stream: Peer) -> Asked | None:
    head = b""
    while b"\r\n\r\n" not in head:
        try:
            head += await stream.receive()
        except EOFError:
            return None
        if head.startswith(b"\x16\x03"):
            await stream.send(b"HTTP/1.1 400 This is no TLS port\r\n\r\n")
            return None
    text, _, body = head.partition(b"\r\n\r\n")
    first, *lines = text.decode().split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    while len(body) < int(headers.get("content-length", "0")):
        body += await stream.receive()
    parts = urlsplit(target)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    return Asked(method, unquote(parts.path).removeprefix(BASE), query, headers, body)


@asynccontextmanager
async def scripted_vault(tls: ssl.SSLContext | None = None) -> AsyncIterator[ScriptedVault]:
    """No task group of anyio's: pytest ends a fixture in another task than the one that began it."""
    with socket.create_server(("127.0.0.1", 0)) as bound:
        vault = ScriptedVault(bound.getsockname()[1], tls)
        server = await asyncio.start_server(vault.serve, sock=bound, ssl=tls)
        try:
            yield vault
        finally:
            server.close()
            for task in (tasks := set(vault.tasks)):
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


class Tokens:
    """A supervisor's end: hands out one token per generation, and tells what was said to be stale."""

    def __init__(self, fresh_for: float = 1000.0, api: Api = "rest") -> None:
        self.api = api
        self.generation = 1
        self.fresh_for = fresh_for
        self.asked: list[int | None] = []

    async def __call__(self, stale: int | None) -> Token | Failure:
        self.asked.append(stale)
        if stale == self.generation:
            self.generation += 1
        return Token(Hidden(f"{TOKEN}-{self.generation}"), self.generation, self.fresh_for, self.api)


@asynccontextmanager
async def source_and_vault(
    *, requests: int = 8, tokens: Tokens | None = None, patience: float = 20.0
) -> AsyncIterator[tuple[SecretServerSource, ScriptedVault]]:
    """A source on a scripted vault; `patience` bounds settle and fetch alike."""
    async with AsyncExitStack() as stack:
        vault = await stack.enter_async_context(scripted_vault())
        source = await stack.enter_async_context(
            open_source(
                vault.access(requests=requests),
                tokens or Tokens(),
                settle_patience=patience,
                fetch_patience=patience,
            )
        )
        yield source, vault


def item(slug: str, value: str | None, **more: Any) -> dict[str, Any]:
    return {"slug": slug, "itemValue": value, "isFile": False, "isPassword": False, **more}


def secret_body(secret_id: int, *items: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"id": secret_id, "name": "n", "secretTemplateName": "T", "active": True, "items": list(items), **more}


def windows_secret(secret_id: int, password: str = "Pa55") -> dict[str, Any]:
    return secret_body(
        secret_id,
        item("machine", "WIN1"),
        item("username", "scan"),
        item("password", password, isPassword=True),
        item("notes", None),
    )


def unix_secret(secret_id: int, *, attachment: int | None = 9, passphrase: str = "") -> dict[str, Any]:
    return secret_body(
        secret_id,
        item("username", "root"),
        item("password", "", isPassword=True),
        item("private-key", "*** Not Valid For Display ***", isFile=True, fileAttachmentId=attachment),
        item("private-key-passphrase", passphrase, isPassword=True),
    )


def page(*records: dict[str, Any], more: bool = False) -> dict[str, Any]:
    return {"records": list(records), "hasNext": more}


def row(secret_id: int, name: str, **extra: Any) -> dict[str, Any]:
    return {"id": secret_id, "name": name, "folderPath": "\\Scan", "active": True, **extra}


def state_body(secret_id: int, state: str = "None", **more: Any) -> dict[str, Any]:
    return {"id": secret_id, "secretState": state, "isActive": True, "isCheckedOut": False, **more}


def ok(body: Any, kind: str = "application/json") -> Answer:
    return Answer(200, kind, "", json.dumps(body).encode())


def error(status: int, body: Any, **more: str) -> Answer:
    return Answer(status, "application/json", more.get("retry_after", ""), json.dumps(body).encode())


def reason(result: object) -> str:
    assert isinstance(result, Failure), result
    return result.signal.name


def credential(result: Credential | Failure) -> Credential:
    assert isinstance(result, Credential), result
    return result


def never(what: str) -> NoReturn:
    raise AssertionError(what)
