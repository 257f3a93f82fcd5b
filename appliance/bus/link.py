"""One NATS connection: the only module that imports the client library, and the place where its errors are translated.

What the library does that this module makes up for:
 * it tells a denied permission to a callback only, while the call waits for an answer that cannot come: each call is
   entered in a register, and the callback ends those that it concerns;
 * a call in flight when the connection breaks waits for its whole time-out: it is ended at once and, where it may be,
   repeated;
 * while disconnected it buffers what is published and sends it later, when nobody waits for the answer any more (a
   permit would be granted to nobody): here a call waits for the connection, within its own budget;
 * it goes on in plain text when a server does not ask for TLS: such a server is refused.
"""

from __future__ import annotations

import asyncio
import json
import math
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, Protocol, Self

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from appliance.bus import BusError, BusRefused, BusUnavailable, Timing
from appliance.bus.credentials import credentials_text
from appliance.bus.servers import Redial, is_known, is_loopback, servers_of
from appliance.bus.users import is_seed
from appliance.lean import without
from appliance.logs import get_logger

with without("aiohttp"):  # its WebSocket transport's: as much again as all that we use of the library
    from nats.aio.client import Client, RawCredentials
    from nats.errors import Error as NatsError
    from nats.errors import NoRespondersError

log = get_logger(__name__)

GONE = frozenset({10014, 10059})
"""Error codes: consumer not found, stream not found."""
NAME_IN_USE = 10058
NO_PLACE = frozenset({10005, 10023, 10074})
"""Error codes: no suitable peers, insufficient resources, replicas in a server that is in no cluster."""
OVERLAP = 10100
"""Error code: another consumer of a work queue reads some of these subjects."""
_NOT_NOW = frozenset({10008, 10009, 10039})
"""Error codes: JetStream is starting, has no leader, or is not for this account: a server in operator mode says so too
until it has set the account up.
"""
_PAUSE = 0.2
_TRY = 5.0
"""Seconds for one try of a call that is repeated."""
_SILENCE = 2.0
_MIN_VERSION = (2, 11)


class NoAnswer(BusUnavailable):
    """Nobody listens on the subject: no stream, no consumer, or no process that serves it."""


class Interrupted(BusUnavailable):
    """The connection broke while the answer was awaited; the request may have arrived."""


class ApiError(BusError):
    """JetStream's own refusal, with its error code."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class Message(Protocol):
    """What arrives: the library's message, as far as it is used."""

    subject: str
    reply: str
    data: bytes
    headers: dict[str, str] | None


class _Call:
    """One wait for the server: `cause` says why it was ended early."""

    __slots__ = ("cause", "scope", "subject")

    def __init__(self, subject: str, wait: float) -> None:
        self.subject = subject.lower()
        self.scope = anyio.CancelScope(deadline=anyio.current_time() + wait)
        self.cause: BusError | None = None

    def end(self, cause: BusError) -> None:
        self.cause = self.cause or cause
        self.scope.cancel()


class Link:
    """Made by `Link.open`, ended by `close`. All its errors are BusErrors."""

    def __init__(self, url: str, timing: Timing, inbox: str, *, encrypted: bool) -> None:
        self.timing = timing
        self._url = url
        self._inbox = inbox
        self._encrypted = encrypted
        self._client = Client()
        # Keyed by id in order of entry: ending calls in an order that can be repeated.
        self._calls: dict[int, _Call] = {}
        self._sinks: dict[int, MemoryObjectSendStream[Message]] = {}
        self._subscriptions: dict[int, Any] = {}
        """The library's, by the id of the stream that `listen` gave out."""
        self._last_error = ""
        self._denied = ""
        self._redial = Redial()
        self.connection = 0
        """The number of the present connection: it rises whenever one breaks."""

    @classmethod
    async def open(
        cls,
        url: str,
        *,
        name: str,
        inbox: str,
        seed: str | None,
        token: str,
        tls: ssl.SSLContext | None,
        timing: Timing,
    ) -> Self:
        """Connect. Raises BusRefused (login, TLS, version) or BusUnavailable."""
        if strange := [one for one in servers_of(url) if not is_known(one)]:
            raise BusRefused(f"{', '.join(strange)} is no address of a bus: write nats://HOST:PORT or tls://HOST:PORT")
        if tls is None and not is_loopback(url):
            raise BusRefused(f"{url} is not on this machine, and jobs would go there in plain text: set up TLS for it")
        if seed is not None and not is_seed(seed):
            raise BusRefused("the nkey seed is none: it must be the line that begins with SU")
        link = cls(url, timing, inbox, encrypted=tls is not None)
        connecting = _Call("", timing.retry)
        try:
            with link._watched(connecting):
                await link._client.connect(
                    servers=servers_of(url),
                    name=name,
                    inbox_prefix=inbox,
                    nkeys_seed_str=None if token else seed,
                    user_credentials=RawCredentials(credentials_text(seed, token)) if seed and token else None,
                    tls=tls,
                    error_cb=link._on_error,
                    disconnected_cb=link._on_disconnected,
                    reconnected_cb=link._on_reconnected,
                    closed_cb=link._on_closed,
                    max_reconnect_attempts=-1,
                    reconnect_time_wait=0.1,
                    reconnect_to_server_handler=link._redial,
                    connect_timeout=2,
                    ping_interval=5,
                    max_outstanding_pings=2,
                )
            link._check_server()
        except BaseException:
            await link.close()
            raise
        return link

    @property
    def clustered(self) -> bool:
        """Is the server one of a cluster, as it says itself?"""
        return bool(self._client._server_info.get("cluster"))  # noqa: SLF001 - as in _check_server

    @property
    def connected(self) -> bool:
        return bool(self._client.is_connected)

    def new_inbox(self) -> str:
        return str(self._client.new_inbox())

    def _check_server(self) -> None:
        # The library keeps what the server said of itself in a private attribute only.
        info: dict[str, Any] = self._client._server_info  # noqa: SLF001
        if self._encrypted and not info.get("tls_required"):
            raise BusRefused(f"the server at {self._url} does not use TLS: set it up there, or name another server")
        version = self._client.connected_server_version
        if (version.major, version.minor) < _MIN_VERSION:
            raise BusRefused(f"the server at {self._url} is nats-server {info.get('version')}; 2.11 or later is needed")

    async def _on_error(self, error: Exception) -> None:
        text = str(error)
        self._last_error = text or type(error).__name__
        lowered = text.lower()
        if "permissions violation" in lowered:
            log.warning("bus.permission_denied", text=text)
            refused = BusRefused(f"the bus does not permit this: {text.removeprefix('nats: ')}")
            for call in list(self._calls.values()):
                if f'"{call.subject}"' in lowered:
                    call.end(refused)
        elif _refuses_login(text):
            self._deny(self._refusal)
        elif isinstance(error, ssl.SSLCertVerificationError):
            self._deny(f"the certificate of {self._url} is not trusted ({error.verify_message}): name its CA")

    @property
    def _refusal(self) -> str:
        return f"the server at {self._url} refuses this login: its key is not known there"

    def _deny(self, text: str) -> None:
        self._denied = text
        for call in list(self._calls.values()):
            call.end(BusRefused(text))

    async def _on_disconnected(self) -> None:
        self.connection += 1
        for call in list(self._calls.values()):
            call.end(Interrupted("the connection to the bus broke"))

    async def _on_reconnected(self) -> None:
        self._redial.connected()
        try:
            self._check_server()
            self._denied = ""
        except BusRefused as refused:
            self._denied = str(refused)
            await self._client.close()

    async def _on_closed(self) -> None:
        """For good: by `close`, or by an error after which the library does not come back. It tells of a login that is
        revoked by this alone, where that ends a connection.
        """
        if _refuses_login(str(self._client.last_error or "")):
            self._deny(self._refusal)
        for sink in list(self._sinks.values()):
            sink.close()

    @contextmanager
    def _watched(self, call: _Call) -> Iterator[None]:
        """Translate whatever ends the call's body."""
        self._calls[id(call)] = call
        try:
            with call.scope:
                yield
        except NoRespondersError:
            raise NoAnswer(f"nobody answers on {call.subject}") from None
        except (NatsError, OSError, ssl.SSLError) as error:
            raise BusUnavailable(
                f"no answer from the bus at {self._url}: {str(error) or type(error).__name__}"
            ) from error
        finally:
            del self._calls[id(call)]
        if call.cause is not None:
            raise call.cause
        if call.scope.cancelled_caught:
            raise self._unavailable()

    def _unavailable(self) -> BusError:
        if self._denied:
            return BusRefused(self._denied)
        if self.connected:
            return BusUnavailable(f"no answer from the bus at {self._url} in time")
        why = f" ({self._last_error})" if self._last_error else ""
        return BusUnavailable(f"no NATS server answers at {self._url}{why}: check that it runs and can be reached")

    async def _ready(self) -> None:
        # Polled: a broken connection is rare, and the library has no awaitable for its return.
        while not self._client.is_connected:
            if self._client.is_closed:
                raise self._unavailable()
            await anyio.sleep(0.02)

    @contextmanager
    def patience(self, subject: str, wait: float) -> Iterator[None]:
        """Bound a body that awaits messages from the subject. Raises BusRefused, Interrupted, BusUnavailable."""
        with self._watched(_Call(subject, wait)):
            yield

    async def request(
        self, subject: str, body: bytes, *, wait: float, headers: dict[str, str] | None = None
    ) -> Message:
        """Ask once. Raises NoAnswer, Interrupted, BusRefused, BusUnavailable."""
        call = _Call(subject, wait)
        with self._watched(call):
            await self._ready()
            reply: Message = await self._client.request(subject, body, timeout=None, headers=headers)
        return reply

    async def publish(self, subject: str, body: bytes, reply: str = "", headers: dict[str, str] | None = None) -> None:
        """Hand to the connection, without confirmation. Raises BusUnavailable when there is none."""
        if not self.connected:
            raise self._unavailable()
        try:
            await self._client.publish(subject, body, reply=reply, headers=headers)
        except NatsError as error:
            raise BusUnavailable(f"the bus at {self._url} took nothing: {error}") from error

    async def insist(
        self,
        subject: str,
        body: bytes,
        headers: dict[str, str] | None = None,
        unheard: Callable[[], Awaitable[None]] | None = None,
    ) -> dict[str, Any]:
        """Ask JetStream until it answers, at most `timing.retry` seconds; a request that may be repeated.

        `unheard` is awaited when nobody listens, and may raise to end the attempts.
        Raises ApiError (its own refusal), NoAnswer (no such stream), BusRefused, BusUnavailable.
        """
        end = anyio.current_time() + self.timing.retry
        while True:
            try:
                left = max(end - anyio.current_time(), 0.001)
                return await self._ask_once(subject, body, min(left, _TRY), headers)
            except ApiError as refusal:
                if refusal.code not in _NOT_NOW:
                    raise
                failure: BusError = refusal
            except BusUnavailable as unavailable:
                failure = unavailable
                if unheard is not None and isinstance(unavailable, NoAnswer):
                    await unheard()
            if anyio.current_time() + _PAUSE >= end:
                raise failure
            await anyio.sleep(_PAUSE)

    async def _ask_once(self, subject: str, body: bytes, wait: float, headers: dict[str, str] | None) -> dict[str, Any]:
        reply = await self.request(subject, body, wait=wait, headers=headers)
        answer: dict[str, Any] = json.loads(reply.data)
        if "error" in answer:
            raise _api_error(answer["error"])
        return answer

    async def api(self, verb: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """JetStream's own interface, e.g. `STREAM.INFO.JOBS_z`. Raises as `insist`."""
        return await self.insist(f"$JS.API.{verb}", json.dumps(body or {}).encode())

    async def store_job(self, subject: str, body: bytes, msg_id: str, stream: str) -> dict[str, Any]:
        """As `store`, but an absent stream is an ApiError at once. (The right to ask for it is the orchestrator's.)"""

        async def unheard() -> None:
            # A stream without a leader and no stream at all look alike to a publisher.
            with suppress(BusUnavailable):
                await self._ask_once(f"$JS.API.STREAM.INFO.{stream}", b"", _TRY, None)

        return await self.insist(subject, body, {"Nats-Msg-Id": msg_id}, unheard)

    async def store(self, subject: str, body: bytes, msg_id: str = "", **headers: str) -> dict[str, Any]:
        """Publish into a stream; the server's confirmation (`seq`, perhaps `duplicate`). Raises as `insist`."""
        if msg_id:
            headers["Nats-Msg-Id"] = msg_id
        return await self.insist(subject, body, headers or None)

    @asynccontextmanager
    async def listen(self, subject: str, queue: str = "") -> AsyncIterator[MemoryObjectReceiveStream[Message]]:
        """Messages on a subject while the context is open, over reconnections. Raises BusRefused, BusUnavailable."""
        sink, source = anyio.create_memory_object_stream[Message](math.inf)

        async def take(message: Message) -> None:
            if source.statistics().open_receive_streams:
                sink.send_nowait(message)

        subscription: Any = None
        self._sinks[id(sink)] = sink
        try:
            with self._watched(_Call(subject, self.timing.retry)):
                await self._ready()
                subscription = await self._client.subscribe(subject, queue=queue, cb=take)
                # A refusal arrives before the answer to a ping that follows the subscription; the library sends the
                # first ping past its own queue, and so before it.
                await self._client.flush()
                await self._client.flush()
            self._subscriptions[id(source)] = subscription
            yield source
        finally:
            del self._sinks[id(sink)]
            self._subscriptions.pop(id(source), None)
            sink.close()
            source.close()
            if subscription is not None:
                with anyio.move_on_after(2, shield=True):
                    # An error means that the connection is closed, and the subscription with it.
                    with suppress(NatsError):
                        await subscription.unsubscribe()

    async def silence(self, source: MemoryObjectReceiveStream[Message]) -> None:
        """Have no more sent to a stream of `listen`; what the server had sent before is in it then."""
        with anyio.move_on_after(_SILENCE, shield=True), suppress(NatsError, asyncio.TimeoutError):
            await self._subscriptions[id(source)].drain()

    async def close(self) -> None:
        """End the connection; at most 3 seconds."""
        with anyio.move_on_after(3, shield=True):
            await self._client.close()
            # A connect that was cancelled leaves its socket open, and `close` then believes it has been closed before.
            transport: Any = self._client._transport  # noqa: SLF001 - see above
            if transport is not None:
                transport.close()
            # Its attempt to reconnect may have missed the one cancellation that `close` gives it, and would not end.
            attempt: asyncio.Task[None] | None = self._client._reconnection_task  # noqa: SLF001 - see above
            if attempt is not None and attempt is not asyncio.current_task():
                while not attempt.done():
                    attempt.cancel()
                    await asyncio.wait([attempt], timeout=0.1)


def _api_error(error: dict[str, Any]) -> ApiError:
    code = int(error.get("err_code", 0))
    text = str(error.get("description", "unknown error"))
    if code in GONE:
        return ApiError(code, f"{text}: the bus has lost its store or it was never opened; open zone and run again")
    if "insufficient" in text or "maximum bytes" in text or "no space" in text:
        return ApiError(code, f"the bus's store is full ({text}): free disk space where its state directory is")
    return ApiError(code, f"the bus refuses: {text}")


def _refuses_login(said: str) -> bool:
    """Does an error of the server's say so?"""
    lowered = said.lower()
    return "authorization violation" in lowered or "authentication" in lowered
