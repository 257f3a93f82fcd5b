"""The one module that speaks HTTP to a vault. aiohttp's exceptions end here: they may quote headers and bodies.

Rules:
1. Only GET is repeated, and a POST that is a mere question, on 408, 429, 500, 502, 503, 504 and connection errors:
   three tries, 200 ms pause, doubled, and no other once the breaker is open or in doubt. One that the vault's rate has
   turned away waits for its turn instead, before all others. A Retry-After of more than 5 s is the caller's business,
   who is told of it by `ready`.
2. No time-out of aiohttp's: the caller's scope bounds everything, waiting for a free slot included, and cancels at any
   await.
3. No redirect is followed, no proxy or netrc taken from the environment (the vault's definition may name a proxy), no
   cookie kept, no body decompressed.
4. The body of an error answer loses the bearer and the request's own secrets before anything reads it; one that still
   spells out one of them in a way that cannot be cut out, is dropped as a whole.
5. How many requests are in flight is decided in `window`, how many go out in a second in `pace`, when the vault is left
   alone in `breaker`; all are told here what became of each request. One that is cut off after UNANSWERED seconds was
   not answered, whoever cut it off.
6. Each try of a view is noted where its caller keeps count (`Trip.views`), once its head was on the wire: the vault's
   audit shows those that got their answer, perhaps those that were cut off or met an error, and no refused one.
"""

from __future__ import annotations

import random
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Literal, TypeVar

import aiohttp
import anyio
import yarl

from appliance.contract import Failure, View
from appliance.phases import off_the_clock
from appliance.vault.breaker import LONGEST_REST, LONGEST_WAIT, Breaker, Probe
from appliance.vault.client_certificate import TlsUnusableError
from appliance.vault.definition import Hidden, VaultAccess
from appliance.vault.entry import UNBOUNDED, Entry
from appliance.vault.failures import fail, refusal
from appliance.vault.messages import Answer, Request, retry_after
from appliance.vault.pace import Pace, Turn
from appliance.vault.signs import (
    illness,
    is_ours,
    limits_rate,
    shows_in_audit,
    throttling,
    translated,
    worth_repeating,
)
from appliance.vault.slots import Slots
from appliance.vault.tls import PinningConnector
from appliance.vault.trip import Stage, Trip
from appliance.vault.turns import Rank, Turns
from appliance.vault.window import Sent, Window
from appliance.vault.withholding import without

T = TypeVar("T")

TRIES = 3
FIRST_PAUSE = 0.2
PROBE_PATIENCE = 3.0
"""Seconds for a sign of life: the one who asks may keep others waiting meanwhile."""
UNANSWERED = 4.0
KEEP_ALIVE = 30.0
"""Seconds an idle connection is kept; IIS keeps them for 120."""


_trip: ContextVar[Trip] = ContextVar("trip")
"""The trip of the request that this task is about to send; for the connector, which is given no word of ours."""


class Exchange:
    """Carries requests to one vault over kept connections, at most `access.requests` at once."""

    def __init__(
        self,
        access: VaultAccess,
        session: aiohttp.ClientSession,
        connector: PinningConnector,
        unusable: Failure | None,
        clock: Callable[[], float],
        room: int,
    ) -> None:
        self._access = access
        self._session = session
        self._connector = connector
        self._unusable = unusable
        self._clock = clock
        self._jitter = random.SystemRandom()
        self._window = Window(access.requests)
        self._slots = Slots(lambda: self._window.size, access.requests, clock)
        self._breaker = Breaker(lambda: self._jitter.uniform(0.8, 1.2))
        self._pace = Pace(self._jitter.random)
        self._turns = Turns(self._pace, clock)
        self.entry = Entry(self._pace, self._turns, clock, room)
        """For jobs that are going to ask."""
        self._complaint = "VAULT_TIMEOUT"
        """What narrowed the window last."""

    async def send(self, request: Request, trip: Trip, token: Hidden | None = None) -> Answer | Failure:
        """The vault's answer, whatever its status, or a Failure: VAULT_UNREACHABLE, VAULT_TLS, VAULT_BAD_RESPONSE, or
        OWN_OVERLOAD for want of descriptors.

        Sent whatever the breaker says: `ready` is for those who can do without an answer.
        """
        if self._unusable is not None:
            return self._unusable
        result = await self._insisted(request, trip, token)
        if (ill := illness(result)) is not None:
            self._breaker.failed(ill)
        elif isinstance(result, Answer):
            self._breaker.alive()
        return result

    @property
    def api(self) -> Literal["rest", "soap", "auto"]:
        """The interface that the vault's definition names."""
        return self._access.api

    @property
    def pin(self) -> str:
        """The pin of the key that the vault has shown last; empty before the first connection, and without TLS."""
        return self._connector.seen

    async def ready(self, probe: Request, trip: Trip) -> Failure | None:
        """None where the vault may be asked; a Failure with the fact `breaker.AWAY` while it is left alone.

        When it is time to look again, one caller does, with `probe`, which needs no token.
        """
        verdict = self._breaker.admit(self._clock())
        if not isinstance(verdict, Probe):
            return verdict
        ill: Failure | None = fail("VAULT_TIMEOUT", f"no answer within {PROBE_PATIENCE:g} s")
        try:
            with anyio.move_on_after(PROBE_PATIENCE):
                # Without a slot: those who hold one may be what is stuck. Nor does it wait for its turn.
                answer = await self._tried(probe, trip, None, self._turns.at_once())
                if isinstance(answer, Failure) and is_ours(answer):
                    self._breaker.probe_given_up()  # it has not been asked
                    return answer
                ill = illness(answer) or throttling(answer)
        except BaseException:  # a cancellation, or a bug: others may look again
            self._breaker.probe_given_up()
            raise
        return self._breaker.probed(self._clock(), ill)

    @property
    def clear(self) -> bool:
        """Would `ready` say so at once? For those who ask it often."""
        return self._breaker.is_clear(self._clock())

    def call_off(self) -> None:
        """Whoever waits for the vault's rate, or would have to, is told so at once: see `Turns.call_off`."""
        self.entry.call_off()
        self._turns.call_off()

    def no_token(self, failure: Failure) -> None:
        """Whoever logs in for us had this failure; it counts as one of ours, if it is one of the vault as a whole."""
        if (ill := illness(failure)) is not None:
            self._breaker.failed(ill)

    async def _insisted(self, request: Request, trip: Trip, token: Hidden | None) -> Answer | Failure:
        pause, again = FIRST_PAUSE, False
        for last in (False,) * (TRIES - 1) + (True,):
            result = await self._once(request, trip, token, again=again)
            if last or not self._may_repeat(request) or not worth_repeating(result):
                break
            wait = result.asked_pause if isinstance(result, Answer) else 0.0
            if wait > LONGEST_WAIT:
                break
            again = isinstance(result, Answer) and limits_rate(result)
            if not again:
                await anyio.sleep(max(wait, pause * self._jitter.uniform(0.8, 1.2)))
            pause *= 2
        return result

    def _may_repeat(self, request: Request) -> bool:
        return (request.method == "GET" or request.question) and self._breaker.is_calm

    async def _once(self, request: Request, trip: Trip, token: Hidden | None, *, again: bool) -> Answer | Failure:
        trip.stage = Stage.QUEUED
        while True:
            turn = self._turns.free() or await self._turn(trip, again=again)
            if isinstance(turn, Failure):
                return turn
            trip.held_up = self._complaint if self._window.narrowed else ""
            try:
                slot = await self._slots.take()
            except anyio.get_cancelled_exc_class():
                self._turns.give_back(turn)
                raise
            try:
                if self._turns.holds(turn):
                    return await self._tried(request, trip, token, turn)
            finally:
                self._slots.give_back(slot)
            again = True  # while it waited for a slot, the vault has turned others away

    async def _turn(self, trip: Trip, *, again: bool) -> Turn | Failure:
        """Wait until the vault's rate allows one more request."""
        began = self._clock()
        try:
            with off_the_clock():
                return await self._turns.take(Rank.AGAIN if again else trip.rank, whatever=trip.second_look)
        except anyio.get_cancelled_exc_class():
            trip.late = self._turns.late(f"no turn within {self._clock() - began:.1f} s")
            raise
        finally:
            trip.paced += self._clock() - began

    async def _tried(self, request: Request, trip: Trip, token: Hidden | None, turn: Turn) -> Answer | Failure:
        trip.stage = Stage.CONNECTING
        sent = self._window.sent(self._clock(), self._slots.taken)
        result: Answer | Failure | None = None
        try:
            result = await self._carry(request, trip, token)
        except (aiohttp.ClientError, OSError, ValueError) as error:  # ValueError: of an address that is none
            # The value replaces the exception, whose request_info and args may hold the bearer or the body.
            result = translated(error, trip.stage)
        except anyio.get_cancelled_exc_class():
            self._cut_off(sent, trip)
            raise
        finally:  # a cut-off view is noted too
            if request.viewed and trip.stage is Stage.SENT:
                self._note_view(request, trip, result)
        self._observe(request, sent, turn, result)
        return result

    def _note_view(self, request: Request, trip: Trip, result: Answer | Failure | None) -> None:
        sure = shows_in_audit(request, result)
        if sure is not None:
            view = View(
                vault=self._access.title,
                secret_id=request.viewed,
                asked=trip.sent_at,
                answered=time.time(),
                sure=sure,
                paced=trip.paced,
            )
            trip.views.append(view)
            trip.paced = 0.0

    def _observe(self, request: Request, sent: Sent, turn: Turn, result: Answer | Failure) -> None:
        now = self._clock()
        if isinstance(result, Failure):
            if not is_ours(result):
                self._complaint = "VAULT_TIMEOUT"
                self._window.refused(sent)
        elif limits_rate(result):
            pause = min(result.asked_pause, LONGEST_REST)
            self._turns.turned_away(turn, now, pause)
            self._breaker.asked_to_wait(now, pause, refusal(result))
        else:
            self._turns.answered(turn, now)
            if result.status == 503:
                self._complaint = "VAULT_RATE_LIMITED"
                self._window.refused(sent)
            else:
                self._window.answered(sent, now, request.kind)
        self._slots.wake()

    def _cut_off(self, sent: Sent, trip: Trip) -> None:
        waited = self._clock() - sent.at
        if waited >= UNANSWERED:
            if self._window.unanswered(sent):
                self._complaint = "VAULT_TIMEOUT"
            self._breaker.failed(trip.timed_out(waited))

    async def _carry(self, request: Request, trip: Trip, token: Hidden | None) -> Answer | Failure:
        headers = {"Accept": "*/*" if "/fields/" in request.path else "application/json", "Accept-Encoding": "identity"}
        if request.content_type:
            headers["Content-Type"] = request.content_type
        headers.update(request.headers)
        if token is not None:
            headers["Authorization"] = f"Bearer {token.reveal()}"
        _trip.set(trip)
        url = yarl.URL(self._access.url + request.target, encoded=True)
        async with self._session.request(
            request.method,
            url,
            headers=headers,
            data=request.body or None,
            allow_redirects=False,
            proxy=self._access.proxy or None,
        ) as response:
            raw = await _body(response, request.limit)
            if raw is None:
                shape = {"status": str(response.status), "length": f"more than {request.limit}"}
                return fail("VAULT_BAD_RESPONSE", f"an answer of more than {request.limit} bytes", **shape)
            secrets = (*request.secrets, *((token,) if token else ()))
            if response.status != 200:
                raw = without(raw, secrets)
            return Answer(
                status=response.status,
                content_type=response.headers.get("Content-Type", ""),
                retry_after=retry_after(
                    response.headers.get("Retry-After", ""), response.headers.get("Date", ""), time.time()
                ),
                body=raw,
                secrets=secrets,
            )


async def _body(response: aiohttp.ClientResponse, limit: int) -> bytes | None:
    """None where it is longer than `limit`; no more than that is read."""
    if response.content_length is not None and response.content_length <= limit:
        return await response.read()
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > limit:
            response.close()
            return None
    return bytes(body)


@asynccontextmanager
async def open_exchange(
    access: VaultAccess, clock: Callable[[], float] = time.monotonic, room: int = UNBOUNDED
) -> AsyncIterator[Exchange]:
    """An exchange and its connections, closed on the way out. `room`: see `Entry`."""
    unusable: Failure | None = None
    try:
        context = access.tls.context()
    except TlsUnusableError as error:
        context, unusable = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), fail("VAULT_TLS", str(error))
    connector = _Connector(limit=access.requests + 1, keepalive_timeout=KEEP_ALIVE, ssl=context, pins=access.tls.pins)
    session = aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None),
        auto_decompress=False,
        trust_env=False,
        headers={"User-Agent": "keymuster"},
    )
    async with session:
        yield Exchange(access, session, connector, unusable, clock, room)


class _Connector(PinningConnector):
    """Notes on the caller's trip when it has its connection: from then on the request may be on the wire.

    aiohttp's own tracing says the same, at the price of half a bare GET.
    """

    async def connect(
        self, req: aiohttp.ClientRequest, traces: list[aiohttp.tracing.Trace], timeout: aiohttp.ClientTimeout
    ) -> aiohttp.connector.Connection:
        connection = await super().connect(req, traces, timeout)
        trip = _trip.get()
        trip.stage, trip.sent_at = Stage.SENT, time.time()
        return connection
