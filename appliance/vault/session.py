"""Requests with a token. A scan process holds no vault password: its tokens come from a `TokenSource`.

A new token is asked for on the two answers that mean it (`failures.wants_new_token`), and the request is sent once
more: the vault has not looked at it yet. Where the vault hides why it refuses, the secret's state is asked, which is
no view.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from appliance.contract import Failure, named
from appliance.vault import rest
from appliance.vault.answers import read_state
from appliance.vault.exchange import Exchange, Stage, Trip
from appliance.vault.failures import fail, is_about_the_secret, reason_of, refusal, wants_new_token
from appliance.vault.flight import SingleFlight
from appliance.vault.messages import Answer, Request
from appliance.vault.tokens import Token, TokenSource

T = TypeVar("T")


class Session:
    """The token in hand, and requests that carry it."""

    def __init__(self, exchange: Exchange, token: TokenSource, clock: Callable[[], float] = time.monotonic) -> None:
        self._exchange = exchange
        self._source = token
        self._clock = clock
        self._token: Token | None = None
        self._until = 0.0
        self._asking: SingleFlight[Token | Failure] = SingleFlight()

    async def ready(self, trip: Trip) -> Failure | None:
        """May the vault be asked now? See `Exchange.ready`."""
        return await self._exchange.ready(rest.health(), trip)

    @property
    def clear(self) -> bool:
        return self._exchange.clear

    async def call(self, request: Request, trip: Trip) -> Answer | Failure:
        """Any answer but the two that ask for a new token: VAULT_TOKEN_EXPIRED, when a new one did not help."""
        token = await self._bearer(None, trip)
        if isinstance(token, Failure):
            return token
        answer = await self._exchange.send(request, trip, token.value)
        if isinstance(answer, Failure) or not wants_new_token(answer):
            return answer
        token = await self._bearer(token.generation, trip)
        if isinstance(token, Failure):
            return token
        answer = await self._exchange.send(request, trip, token.value)
        return refusal(answer) if isinstance(answer, Answer) and wants_new_token(answer) else answer

    async def read(self, request: Request, parse: Callable[[Answer], T | Failure], trip: Trip) -> T | Failure:
        answer = await self.call(request, trip)
        return answer if isinstance(answer, Failure) else parse(answer)

    async def explained(self, failure: Failure, where: int | str, trip: Trip) -> Failure:
        """The refusal with the reason that the secret's state gives, where the refusal itself hides it."""
        if not is_about_the_secret(failure):
            return failure
        state = await self.read(rest.state(where), read_state, trip)
        if isinstance(state, Failure):
            return replace(failure, facts={**failure.facts, "state": reason_of(state)})
        facts = {**failure.facts, **state.facts}
        if not state.reason:
            return replace(failure, facts=facts)
        if state.reason == "SECRET_CHECKED_OUT_BY" and state.holder:
            return fail(state.reason, f"checked out by {state.holder}", **facts)
        return Failure(failure.phase, named(state.reason), failure.text, facts)

    async def _bearer(self, stale: int | None, trip: Trip) -> Token | Failure:
        held = self._token
        if held is not None and (self._clock() < self._until if stale is None else held.generation != stale):
            return held
        trip.stage = Stage.SESSION
        return await self._asking.share(stale, lambda: self._ask(stale))

    async def _ask(self, stale: int | None) -> Token | Failure:
        token = await self._source(stale)
        if isinstance(token, Token):
            self._token, self._until = token, self._clock() + token.fresh_for
        else:
            self._exchange.no_token(token)
        return token
