"""The vault's login in the hands of the supervisor, who alone may use it: one grant at a time, shared by all.

When a grant may be asked for is decided in `tokens`; here it is asked. The grant runs in a task of the grantor's own:
no caller's deadline can cut off a login that the vault may be judging already, which would count as an unanswered one.
Where the vault's definition leaves open which interface it has, the first who asks finds out, and that is remembered.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import anyio
from anyio.abc import TaskGroup

from appliance.contract import CredentialRef, Failure
from appliance.questions import VaultAnswer, VaultQuery, VaultQueryKind
from appliance.vault import answers, dialects, rest
from appliance.vault.approvals import APPROVAL_KINDS, VaultApprovals, files_none
from appliance.vault.catalogue import Catalogue
from appliance.vault.checkouts import VaultCheckouts, told
from appliance.vault.definition import VaultLogin
from appliance.vault.dialect import Dialect, standing
from appliance.vault.exchange import Exchange, open_exchange
from appliance.vault.failures import fail, reason_of
from appliance.vault.grantors import GrantorState
from appliance.vault.messages import Answer
from appliance.vault.record import RECORD_KINDS, VaultRecord, needs_rest
from appliance.vault.secret_server import SecretServerSource
from appliance.vault.session import Session
from appliance.vault.shown import shown_pin
from appliance.vault.tokens import Token, TokenBook
from appliance.vault.trip import Stage, Trip, within
from appliance.vault.unforeseen import unforeseen

GRANT_PATIENCE = 30.0
"""Seconds for one renewal, however many requests it takes."""
LISTING_AGE = 15.0
"""Seconds: one question about every secret of a plan is one listing; who asks again has had time to mend something."""


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
        api = login.access.api
        self._catalogue = Catalogue(LISTING_AGE, clock)
        self._dialect = None if api == "auto" else dialects.of(api)
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
                return self._labelled(step.give)
            if self._renewal is not None:
                await self._renewal.wait()
        return fail("APPLIANCE_LOST")

    @property
    def state(self) -> GrantorState:
        return GrantorState(self._book.is_refused, not self._exchange.clear)

    async def answer(self, query: VaultQuery) -> VaultAnswer:
        """Any VaultQuery for this vault."""
        if query.kind is VaultQueryKind.CHECK:
            return await self.check()
        if query.kind is VaultQueryKind.SECRET and query.secret is not None:
            return await self.look(query.secret)
        if query.kind in RECORD_KINDS:
            dialect = await within(self._patience, self._spoken)
            if isinstance(dialect, Failure):
                return told(dialect)
            record = VaultRecord(self._exchange, self.token, self._patience, catalogue=self._catalogue)
            return needs_rest(dialect.api) or await record.answer(query)
        if query.kind in APPROVAL_KINDS:
            dialect = await within(self._patience, self._spoken)
            if isinstance(dialect, Failure):
                return told(dialect)
            return files_none(dialect.api) or await self._approvals().answer(query)
        return await VaultCheckouts(Session(self._exchange, self.token), self._patience).obey(query)

    async def check(self) -> VaultAnswer:
        """Can the vault be reached (asked without a password first), and does it take the login? With the URL that was
        asked: an appliance's own word on it goes before the campaign's.
        """
        answer = await self._checked()
        return answer.model_copy(update={"facts": {"url": self._login.access.url, **answer.facts}})

    async def _checked(self) -> VaultAnswer:
        ill = await within(self._patience, self._ill)
        if ill is not None:
            return told(await self._with_pin(ill))
        token = await self.token()
        if isinstance(token, Failure):
            return told(token)
        pin = {"pin": self._exchange.pin} if self._exchange.pin else {}
        return VaultAnswer(ok=True, facts={"user": self._login.access.user, "api": token.api, **pin})

    async def _with_pin(self, failure: Failure) -> Failure:
        """A failure of TLS, with the pin of the key that the vault shows, trusted or not: who is asked about it needs
        to compare it with something.
        """
        if reason_of(failure) != "VAULT_TLS" or "pin" in failure.facts:
            return failure
        pin = await within(self._patience, lambda trip: shown_pin(self._login.access, trip))
        return replace(failure, facts={**failure.facts, "pin": pin}) if isinstance(pin, str) and pin else failure

    async def look(self, ref: CredentialRef) -> VaultAnswer:
        """Does the secret resolve, and could it be read now? No value is fetched, and nothing remembered but a listing,
        for a moment.
        """
        source = SecretServerSource(self._exchange, self.token, catalogue=self._catalogue)
        handle = await source.settle(ref)
        if isinstance(handle, Failure):
            return told(handle)
        state = await source.state(handle)
        if isinstance(state, Failure):
            return told(state)
        facts = {**state.facts, "secret_id": str(handle.secret_id)}
        if state.reason == "SECRET_NEEDS_APPROVAL":
            asked = await self._approvals().look(handle.secret_id)
            facts |= {} if isinstance(asked, Failure) else asked
        # A comment is no obstacle: the fetch sends one.
        if state.reason in ("", "SECRET_NEEDS_COMMENT"):
            return VaultAnswer(ok=True, facts=facts)
        return told(standing(replace(state, facts=facts)))

    def _approvals(self) -> VaultApprovals:
        return VaultApprovals(self._exchange, self.token, self._patience)

    def close(self) -> None:
        """From now on everybody is told APPLIANCE_LOST, those who wait for a grant included."""
        self._closed = True
        if self._renewal is not None:
            self._renewal.set()

    def _labelled(self, given: Token | Failure) -> Token | Failure:
        """A token as its dialect's, which is known since there is one."""
        if isinstance(given, Failure) or self._dialect is None:
            return given
        return replace(given, api=self._dialect.api)

    async def _renew(self, done: anyio.Event) -> None:
        try:
            await self._ask()
        finally:
            self._renewal = None
            done.set()

    async def _ask(self) -> None:
        """One renewal, whose end is always written to the book."""
        trip, password_sent = Trip(), False
        try:
            with anyio.move_on_after(self._patience):
                dialect = await self._spoken(trip)
                if isinstance(dialect, Failure):
                    self._book.failed(self._clock(), dialect, submitted=False)
                    return
                if self._book.doubtful and (ill := await self._ill(trip)) is not None:
                    self._book.failed(self._clock(), ill, submitted=False)
                    return
                if (refresh := self._book.take_refresh()) is not None:  # which REST alone gives
                    born = self._clock()
                    reply = await self._exchange.send(rest.refresh_grant(refresh), trip)
                    grant = reply if isinstance(reply, Failure) else answers.read_grant(reply)
                    if isinstance(grant, answers.Grant):
                        self._book.granted(born, grant)
                        return
                request = dialect.grant(self._login)
                if isinstance(request, Failure):
                    self._book.refused(request)
                    return
                trip.stage, password_sent, born = Stage.QUEUED, True, self._clock()
                answer = await self._exchange.send(request, trip)
                self._judge(answer, dialect, born, sent=trip.stage is Stage.SENT)
                return
            failure = trip.timed_out(self._patience)
        except Exception as error:  # noqa: BLE001 - the boundary of one grant: above its task there is the supervisor
            failure = unforeseen(error, "grant", self._login.access.title)
        sent = password_sent and trip.stage is Stage.SENT
        self._book.failed(self._clock(), failure, submitted=sent)

    def _judge(self, answer: Answer | Failure, dialect: Dialect, born: float, *, sent: bool) -> None:
        grant = answer if isinstance(answer, Failure) else dialect.read_grant(answer)
        if isinstance(grant, answers.Grant):
            self._book.granted(born, grant)
        elif reason_of(grant) == "VAULT_LOGIN_REFUSED":
            self._book.refused(grant)
        else:
            # 429 and 503 are said by what stands before the judgement; all else may come after it.
            # A vault that refuses our certificate, which by TLS 1.3 comes after the request, reads none of it.
            turned_away = isinstance(answer, Answer) and answer.status in (429, 503)
            turned_away = turned_away or reason_of(grant) == "VAULT_TLS"
            self._book.failed(self._clock(), grant, submitted=sent and not turned_away)

    async def _ill(self, trip: Trip) -> Failure | None:
        """Why no password should go there now."""
        dialect = await self._spoken(trip)
        if isinstance(dialect, Failure):
            return dialect
        answer = await self._exchange.send(dialect.health(), trip)
        return answer if isinstance(answer, Failure) else dialect.ill(answer)

    async def _spoken(self, trip: Trip) -> Dialect | Failure:
        if self._dialect is None:
            found = await dialects.detect(self._exchange, trip)
            if isinstance(found, Failure):
                return found
            self._dialect = found
        return self._dialect


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
