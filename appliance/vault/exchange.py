"""The one module that speaks HTTP to a vault. aiohttp's exceptions end here: they may quote headers and bodies.

Rules:
1. Only GET is repeated, and a POST that is a mere question, on 408, 429, 500, 502, 503, 504 and connection errors:
   three tries, 200 ms pause, doubled. A Retry-After of up to 5 s is kept; a longer one is the caller's business.
2. No time-out of aiohttp's: the caller's scope bounds everything, waiting for a free slot included, and cancels at any
   await.
3. No redirect is followed, no proxy or netrc taken from the environment (the vault's definition may name a proxy), no
   cookie kept, no body decompressed.
4. The body of an error answer loses the bearer and the request's own secrets before anything reads it.
"""

from __future__ import annotations

import errno
import random
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import Enum
from types import SimpleNamespace
from typing import TypeVar

import aiohttp
import anyio
import yarl

from appliance.contract import Failure
from appliance.vault.definition import Hidden, VaultAccess
from appliance.vault.failures import fail, reason_of
from appliance.vault.messages import Answer, Request, withheld

T = TypeVar("T")

TRIES = 3
FIRST_PAUSE = 0.2
LONGEST_RETRY_AFTER = 5.0
KEEP_ALIVE = 30.0
"""Seconds an idle connection is kept; IIS keeps them for 120."""
REPEATED = frozenset({408, 429, 500, 502, 503, 504})

_TLS_UNUSABLE = "the CA given for this vault (tls.ca) holds no readable certificate"


class Stage(Enum):
    """How far a request has come."""

    SESSION = "session"
    """Waiting for a token."""
    QUEUED = "queued"
    """Waiting for a free slot of our own."""
    CONNECTING = "connecting"
    SENT = "sent"
    """The head is on the wire, so the body may be too."""


@dataclass(slots=True, eq=False)
class Trip:
    """Where a caller's work is: what to say when its time runs out, and whether a password can have arrived."""

    stage: Stage = Stage.QUEUED

    def timed_out(self, patience: float) -> Failure:
        """The failure of one whose time ran out here. Waiting for our own slots is our overload, not the vault's."""
        if self.stage is Stage.QUEUED:
            return fail("OWN_OVERLOAD", f"no free vault request within {patience:g} s (pace.vault_requests)")
        lacking = {Stage.SESSION: "session", Stage.CONNECTING: "connection"}.get(self.stage, "answer")
        return fail("VAULT_TIMEOUT", f"no {lacking} within {patience:g} s", stage=self.stage.value)


async def within(patience: float, work: Callable[[Trip], Awaitable[T | Failure]]) -> T | Failure:
    """Do the work in at most `patience` seconds, or say how far it came."""
    trip = Trip()
    with anyio.move_on_after(patience):
        return await work(trip)
    return trip.timed_out(patience)


class Exchange:
    """Carries requests to one vault over kept connections, at most `access.requests` at once."""

    def __init__(self, access: VaultAccess, session: aiohttp.ClientSession, unusable: Failure | None) -> None:
        self._access = access
        self._session = session
        self._unusable = unusable
        self._slots = anyio.Semaphore(access.requests)
        self._jitter = random.SystemRandom()

    async def send(self, request: Request, trip: Trip, token: Hidden | None = None) -> Answer | Failure:
        """The vault's answer, whatever its status, or a Failure: VAULT_UNREACHABLE, VAULT_TLS or VAULT_BAD_RESPONSE."""
        if self._unusable is not None:
            return self._unusable
        pause = FIRST_PAUSE
        for last in (False,) * (TRIES - 1) + (True,):
            result = await self._once(request, trip, token)
            if last or not (request.method == "GET" or request.question) or not _worth_repeating(result):
                break
            wait = result.asked_pause if isinstance(result, Answer) else 0.0
            if wait > LONGEST_RETRY_AFTER:
                break
            await anyio.sleep(max(wait, pause * self._jitter.uniform(0.8, 1.2)))
            pause *= 2
        return result

    async def _once(self, request: Request, trip: Trip, token: Hidden | None) -> Answer | Failure:
        trip.stage = Stage.QUEUED
        async with self._slots:
            trip.stage = Stage.CONNECTING
            try:
                return await self._carry(request, trip, token)
            except (aiohttp.ClientError, OSError) as error:
                # The value replaces the exception, whose request_info and args may hold the bearer or the body.
                return _translated(error, trip.stage)

    async def _carry(self, request: Request, trip: Trip, token: Hidden | None) -> Answer | Failure:
        headers = {"Accept": "*/*" if "/fields/" in request.path else "application/json", "Accept-Encoding": "identity"}
        if request.content_type:
            headers["Content-Type"] = request.content_type
        headers.update(request.headers)
        if token is not None:
            headers["Authorization"] = f"Bearer {token.reveal()}"
        url = yarl.URL(self._access.url + request.target, encoded=True)
        async with self._session.request(
            request.method,
            url,
            headers=headers,
            data=request.body or None,
            allow_redirects=False,
            proxy=self._access.proxy or None,
            trace_request_ctx=trip,
        ) as response:
            body = bytearray()
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > request.limit:
                    response.close()
                    shape = {"status": str(response.status), "length": f"more than {request.limit}"}
                    return fail("VAULT_BAD_RESPONSE", f"an answer of more than {request.limit} bytes", **shape)
            raw, secrets = bytes(body), (*request.secrets, *((token,) if token else ()))
            if response.status != 200:
                raw = _without(raw, secrets)
            return Answer(
                status=response.status,
                content_type=response.headers.get("Content-Type", ""),
                retry_after=response.headers.get("Retry-After", ""),
                body=raw,
                secrets=secrets,
            )


@asynccontextmanager
async def open_exchange(access: VaultAccess) -> AsyncIterator[Exchange]:
    """An exchange and its connections, closed on the way out."""
    unusable: Failure | None = None
    try:
        context = access.tls.context()
    except (ssl.SSLError, ValueError):
        context, unusable = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), fail("VAULT_TLS", _TLS_UNUSABLE)
    connector = aiohttp.TCPConnector(limit=access.requests, keepalive_timeout=KEEP_ALIVE, ssl=context)
    session = aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None),
        auto_decompress=False,
        trust_env=False,
        headers={"User-Agent": "keymuster"},
        trace_configs=[_watch()],
    )
    async with session:
        yield Exchange(access, session, unusable)


def _watch() -> aiohttp.TraceConfig:
    async def head_sent(
        _session: aiohttp.ClientSession,
        context: SimpleNamespace,
        _params: aiohttp.TraceRequestHeadersSentParams,
    ) -> None:
        context.trace_request_ctx.stage = Stage.SENT

    trace = aiohttp.TraceConfig()
    trace.on_request_headers_sent.append(head_sent)
    return trace


def _worth_repeating(result: Answer | Failure) -> bool:
    if isinstance(result, Answer):
        return result.status in REPEATED
    return reason_of(result) == "VAULT_UNREACHABLE"


def _translated(error: aiohttp.ClientError | OSError, stage: Stage) -> Failure:
    """The exception's kind and errno; never its text, which may quote the request."""
    facts = {"error": type(error).__name__, "stage": stage.value}
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return fail("VAULT_TLS", getattr(error.certificate_error, "verify_message", ""), **facts)
    if isinstance(error, aiohttp.ClientSSLError | ssl.SSLError):
        return fail("VAULT_TLS", getattr(error, "reason", None) or "the TLS handshake failed", **facts)
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return fail("VAULT_UNREACHABLE", "the vault's name does not resolve", **facts)
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return fail("VAULT_UNREACHABLE", f"the proxy refuses the way to the vault: {error.status}", **facts)
    if isinstance(error, OSError | aiohttp.ClientConnectionError):
        number = getattr(error, "errno", None)
        name = errno.errorcode.get(number, "") if isinstance(number, int) else ""
        if name:
            facts["errno"] = name
        lost = "the vault closed the connection before its answer"
        return fail("VAULT_UNREACHABLE", name if stage is not Stage.SENT else lost, **facts)
    return fail("VAULT_BAD_RESPONSE", "the answer is no HTTP, or was cut short", **facts)


def _without(body: bytes, secrets: tuple[Hidden, ...]) -> bytes:
    """An error page without the secrets that it repeats; what is no UTF-8 in it stays as it is."""
    return withheld(body.decode("utf-8", "surrogateescape"), secrets).encode("utf-8", "surrogateescape")
