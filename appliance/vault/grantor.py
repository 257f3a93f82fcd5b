"""The vault's login in the hands of the supervisor, who alone may use it: one grant at a time, shared by all.

When a grant may be asked for is decided in `tokens`; here it is asked. The grant runs in a task of the grantor's own:
no caller's deadline can cut off a login that the vault may be judging already, which would count as an unanswered one.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
from anyio.abc import TaskGroup

from appliance.contract import CredentialRef, Failure, VaultAnswer, VaultQuery, VaultQueryKind
from appliance.vault import answers, rest
from appliance.vault.checkouts import VaultCheckouts, told
from appliance.vault.definition import VaultLogin
from appliance.vault.exchange import Exchange, Stage, Trip, open_exchange, within
from appliance.vault.failures import fail, reason_of, refusal
from appliance.vault.messages import Answer
from appliance.vault.record import RECORD_KINDS, VaultRecord, needs_rest
from appliance.vault.secret_server import SecretServerSource
from appliance.vault.session import Session
from appliance.vault.tokens import Token, TokenBook

GRANT_PATIENCE = 30.0
"""Seconds for one renewal, however many requests it takes."""


class Grantor:
    """One version of one vault login: a changed login gets a new grantor, which starts without this one's refusal."""

    def __init__(
        self,
        login: VaultLogin,
        exchange: Exchange,
        tasks: TaskGroup,
        *,
        patience: float = GRANT_PATIENCE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._login = login
        self._exchange = exchange
        self._tasks = tasks
        self._patience = patience
        self._clock = clock
        self._book = TokenBook()
        self._renewal: anyio.Event | None = None
        self._closed = False

    async def token(self, after_generation: int | None = None) -> Token | Failure:
        """A `TokenSource`: a token of another generation than the given one, which the vault has refused.

        Fails with VAULT_LOGIN_REFUSED (for ever), VAULT_TOKEN_EXPIRED, or what kept the grant from being made.
        """
        while not self._closed:
            step = self._book.step(self._clock(), after_generation)
            if step.renew and self._renewal is None:
                self._renewal = anyio.Event()
                self._tasks.start_soon(self._renew, self._renewal, name=f"vault grant {self._login.access.title}")
            if step.give is not None:
                return step.give
            if self._renewal is not None:
                await self._renewal.wait()
        return fail("APPLIANCE_LOST")

    async def answer(self, query: VaultQuery) -> VaultAnswer:
        """Any VaultQuery for this vault."""
        if query.kind is VaultQueryKind.CHECK:
            return await self.check()
        if query.kind is VaultQueryKind.SECRET and query.secret is not None:
            return await self.look(query.secret)
        if query.kind in RECORD_KINDS:
            record = VaultRecord(self._exchange, self.token, self._patience)
            return needs_rest(self._login.access.api) or await record.answer(query)
        return await VaultCheckouts(Session(self._exchange, self.token), self._patience).obey(query)

    async def check(self) -> VaultAnswer:
        """Can the vault be reached (asked without a password first), and does it take the login?"""
        ill = await within(self._patience, self._ill)
        if ill is not None:
            return told(ill)
        token = await self.token()
        return (
            told(token) if isinstance(token, Failure) else VaultAnswer(ok=True, facts={"user": self._login.access.user})
        )

    async def look(self, ref: CredentialRef) -> VaultAnswer:
        """Does the secret resolve, and could it be read now? No value is fetched, nothing remembered."""
        source = SecretServerSource(self._exchange, self.token)
        handle = await source.settle(ref)
        if isinstance(handle, Failure):
            return told(handle)
        state = await source.state(handle)
        if isinstance(state, Failure):
            return told(state)
        facts = {**state.facts, "secret_id": str(handle.secret_id)}
        # A comment is no obstacle: the fetch sends one.
        if state.reason in ("", "SECRET_NEEDS_COMMENT"):
            return VaultAnswer(ok=True, facts=facts)
        holder = f"checked out by {state.holder}" if state.holder else ""
        return told(fail(state.reason, holder, **facts))

    def close(self) -> None:
        """From now on everybody is told APPLIANCE_LOST, those who wait for a grant included."""
        self._closed = True
        if self._renewal is not None:
            self._renewal.set()

    async def _renew(self, done: anyio.Event) -> None:
        try:
            await self._ask()
        finally:
            self._renewal = None
            done.set()

    async def _ask(self) -> None:
        """One renewal, whose end is always written to the book."""
        trip, password_sent = Trip(), False
        with anyio.move_on_after(self._patience):
            if self._book.doubtful and (ill := await self._ill(trip)) is not None:
                self._book.failed(self._clock(), ill, submitted=False)
                return
            if (refresh := self._book.take_refresh()) is not None:
                born = self._clock()
                reply = await self._exchange.send(rest.refresh_grant(refresh), trip)
                grant = reply if isinstance(reply, Failure) else answers.read_grant(reply)
                if isinstance(grant, answers.Grant):
                    self._book.granted(born, grant)
                    return
            trip.stage, password_sent, born = Stage.QUEUED, True, self._clock()
            answer = await self._exchange.send(rest.password_grant(self._login), trip)
            self._judge(answer, born, sent=trip.stage is Stage.SENT)
            return
        sent = password_sent and trip.stage is Stage.SENT
        self._book.failed(self._clock(), trip.timed_out(self._patience), submitted=sent)

    def _judge(self, answer: Answer | Failure, born: float, *, sent: bool) -> None:
        grant = answer if isinstance(answer, Failure) else answers.read_grant(answer)
        if isinstance(grant, answers.Grant):
            self._book.granted(born, grant)
        elif reason_of(grant) == "VAULT_LOGIN_REFUSED":
            self._book.refused(grant)
        else:
            # 429 and 503 are said by what stands before the judgement; all else may come after it.
            turned_away = isinstance(answer, Answer) and answer.status in (429, 503)
            self._book.failed(self._clock(), grant, submitted=sent and not turned_away)

    async def _ill(self, trip: Trip) -> Failure | None:
        """Why no password should go there now.

        The health page's wording differs by version: any answer but 5xx and 429 is a sign of life.
        """
        answer = await self._exchange.send(rest.health(), trip)
        if isinstance(answer, Failure):
            return answer
        return refusal(answer) if answer.status >= 500 or answer.status == 429 else None


@asynccontextmanager
async def open_grantor(login: VaultLogin, *, patience: float = GRANT_PATIENCE) -> AsyncIterator[Grantor]:
    """A grantor with its connections and its task; both end on the way out, a grant under way included."""
    async with open_exchange(login.access) as exchange, anyio.create_task_group() as tasks:
        grantor = Grantor(login, exchange, tasks, patience=patience)
        try:
            yield grantor
        finally:
            grantor.close()
            tasks.cancel_scope.cancel()
