"""Conversations with a token. A scan process holds no vault password: its tokens come from a `TokenSource`, and each
says which interface it is for.

A new token is asked for where the dialect says that this one is dead, and the request is sent once more: the vault has
not looked at it yet. Where an answer leaves that open, the vault is asked, which is no view.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import anyio.to_thread

from appliance.contract import Failure, named
from appliance.vault import dialects
from appliance.vault.dialect import ALIVE, Dialect
from appliance.vault.dialogue import Dialogue, Question
from appliance.vault.exchange import Exchange
from appliance.vault.flight import SingleFlight
from appliance.vault.messages import Answer, Request
from appliance.vault.tokens import Token, TokenSource
from appliance.vault.trip import Stage, Trip

T = TypeVar("T")

READ_AT_ONCE = 64 * 1024
"""Bytes of an answer that are read in the loop: beyond it (a search over half a vault) a thread does it."""


@dataclass(frozen=True, slots=True)
class _Said(Generic[T]):
    """What the vault said under one token."""

    value: T | Failure
    token_is_dead: bool = False


class Session:
    """The token in hand, and conversations under it."""

    def __init__(self, exchange: Exchange, token: TokenSource, clock: Callable[[], float] = time.monotonic) -> None:
        self._exchange = exchange
        self._source = token
        self._clock = clock
        self._token: Token | None = None
        self._until = 0.0
        self._asking: SingleFlight[Token | Failure] = SingleFlight()

    async def ready(self, trip: Trip) -> Failure | None:
        """May the vault be asked now? See `Exchange.ready`."""
        return await self._exchange.ready(self._probe(), trip)

    def _probe(self) -> Request:
        """The health question of the dialect in use; before that is known, any answer to REST's is a sign of life."""
        api = self._exchange.api if self._token is None else self._token.api
        return dialects.of("rest" if api == "auto" else api).health()

    def call_off(self) -> None:
        """See `Exchange.call_off`."""
        self._exchange.call_off()

    @property
    def clear(self) -> bool:
        return self._exchange.clear

    async def converse(self, begin: Callable[[Dialect], Dialogue[T | Failure]], trip: Trip) -> T | Failure:
        """Carry a dialogue to its end. Fails without a token, too."""
        token = await self._bearer(None, trip)
        if isinstance(token, Failure):
            return token
        dialect = dialects.of(token.api)
        dialogue = begin(dialect)
        held: Token | None = token
        read: Any = None
        while True:
            try:
                question = dialogue.send(read)
            except StopIteration as end:
                result: T | Failure = end.value
                return result
            read = await self._ask(held, dialect, question, trip)
            held = None

    async def _ask(self, held: Token | None, dialect: Dialect, question: Question[T], trip: Trip) -> T | Failure:
        """What the vault says; VAULT_TOKEN_EXPIRED, when a new token did not help."""
        token = held or await self._bearer(None, trip)
        if isinstance(token, Failure):
            return token
        first = await self._under(token, dialect, question, trip)
        if not first.token_is_dead:
            return first.value
        token = await self._bearer(token.generation, trip)
        if isinstance(token, Failure):
            return token
        again = await self._under(token, dialect, question, trip)
        if again.token_is_dead and isinstance(again.value, Failure):
            return replace(again.value, signal=named("VAULT_TOKEN_EXPIRED"))
        return again.value

    async def _under(self, token: Token, dialect: Dialect, question: Question[T], trip: Trip) -> _Said[T]:
        answer = await self._send(token, dialect, question, trip)
        if isinstance(answer, Failure):
            return _Said(answer)
        read = await _read(question, answer)
        doubt = dialect.is_dead(answer, read)
        if isinstance(doubt, bool):
            return _Said(read, doubt)
        reply = await self._send(token, dialect, doubt, trip)
        lives = reply if isinstance(reply, Failure) else doubt.read(reply)
        if lives is True and isinstance(read, Failure):
            return _Said(replace(read, facts={**read.facts, **ALIVE}))
        return _Said(read, lives is False)

    async def _send(self, token: Token, dialect: Dialect, question: Question[Any], trip: Trip) -> Answer | Failure:
        return await self._exchange.send(question.request(token.value), trip, token.value if dialect.bears else None)

    async def _bearer(self, stale: int | None, trip: Trip) -> Token | Failure:
        held = self._token
        if held is not None and (self._clock() < self._until if stale is None else held.generation != stale):
            return held
        trip.stage = Stage.SESSION
        return await self._asking.share(stale, lambda: self._new(stale))

    async def _new(self, stale: int | None) -> Token | Failure:
        token = await self._source(stale)
        if isinstance(token, Token):
            self._token, self._until = token, self._clock() + token.fresh_for
        else:
            self._exchange.no_token(token)
        return token


async def _read(question: Question[T], answer: Answer) -> T | Failure:
    if len(answer.body) <= READ_AT_ONCE:
        return question.read(answer)
    return await anyio.to_thread.run_sync(question.read, answer, abandon_on_cancel=True)
