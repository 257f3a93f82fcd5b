"""Approvals at the vault, as the orchestrator asks: whether one is needed, the request for it, and its end.

Rules:
1. Only REQUEST files anything, and a caller looks with APPROVAL first: filing is not repeated here, whatever becomes of
   its answer.
2. The secret's state says whether access is approved now; the request only says what became of it. So an approval that
   came some other way counts, and one whose window has not begun yet does not.
3. The window begins by the vault's clock, where its health page tells it: by ours it could begin too late.
4. Only the REST interface knows requests.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeVar

from appliance.contract import Failure, named
from appliance.questions import VaultAnswer, VaultQuery, VaultQueryKind
from appliance.vault import answers, approval_answers, record_answers, rest, rest_dialect
from appliance.vault.checkouts import secret_id_of, told
from appliance.vault.dialogue import ask
from appliance.vault.exchange import Exchange
from appliance.vault.failures import fail, is_about_the_secret
from appliance.vault.messages import Answer, Request, Why
from appliance.vault.session import Session
from appliance.vault.tokens import TokenSource
from appliance.vault.trip import Trip, within

NEEDS_REST = 'access requests are filed over the REST API alone: approval = "request" needs api = "rest"'

APPROVAL_KINDS = (VaultQueryKind.APPROVAL, VaultQueryKind.REQUEST, VaultQueryKind.CANCEL)

Told = dict[str, str]
"""The facts of an answer."""

T = TypeVar("T")


class VaultApprovals:
    def __init__(
        self, exchange: Exchange, token: TokenSource, patience: float, clock: Callable[[], float] = time.time
    ) -> None:
        self._exchange = exchange
        self._session = Session(exchange, token)
        self._patience = patience
        self._clock = clock

    async def answer(self, query: VaultQuery) -> VaultAnswer:
        """Answer a query of APPROVAL_KINDS."""
        steps = {
            VaultQueryKind.APPROVAL: self._approval,
            VaultQueryKind.REQUEST: self._request,
            VaultQueryKind.CANCEL: self._cancel,
        }
        secret_id = secret_id_of(query.secret)
        if secret_id is None:
            return told(fail("INTERNAL", "an approval needs a secret's id"))
        done = await within(self._patience, lambda trip: steps[query.kind](secret_id, query, trip))
        return told(done) if isinstance(done, Failure) else VaultAnswer(ok=True, facts=done)

    async def look(self, secret_id: int) -> Told | Failure:
        """Of the request that counts, if there is one: see VaultQueryKind.APPROVAL."""
        return await within(self._patience, lambda trip: self._own(secret_id, 0, trip))

    async def _approval(self, secret_id: int, query: VaultQuery, trip: Trip) -> Told | Failure:
        state = await self._read(rest.state(secret_id), answers.read_state, trip)
        if isinstance(state, Failure):
            return state
        if state.reason != "SECRET_NEEDS_APPROVAL":
            until = state.facts.get("approved_until")
            return {"needed": "no"} | ({} if until is None else {"approved_until": until})
        own = await self._own(secret_id, query.request, trip)
        return own if isinstance(own, Failure) else {"needed": "yes", **own}

    async def _own(self, secret_id: int, number: int, trip: Trip) -> Told | Failure:
        if number:
            known = await self._read(rest.access_request(number), approval_answers.read_request, trip)
            return known if isinstance(known, Failure) else known.facts()
        found = await self._read(rest.access_requests(secret_id), approval_answers.read_requests, trip)
        if isinstance(found, Failure):
            return found
        own = [one for one in found if one.secret_id == secret_id]
        counts = approval_answers.that_counts(own)
        return {"newest": str(own[0].id if own else 0)} | ({} if counts is None else counts.facts())

    async def _request(self, secret_id: int, query: VaultQuery, trip: Trip) -> Told | Failure:
        if query.minutes < 1:
            return fail("INTERNAL", "an access request needs a time to ask for")
        now = await self._now(trip)
        start, end = (_date(at) for at in (now, now + query.minutes * 60))
        why = Why(query.comment or "scan", query.ticket)
        made = await self._read(rest.file_request(secret_id, why, start, end), approval_answers.read_request, trip)
        if isinstance(made, Failure):
            about_it = is_about_the_secret(made)
            return Failure(made.phase, named("SECRET_NEEDS_APPROVAL"), made.text, made.facts) if about_it else made
        return made.facts()

    async def _cancel(self, _secret_id: int, query: VaultQuery, trip: Trip) -> Told | Failure:
        done = await self._read(rest.cancel_request(query.request, query.comment), answers.read_done, trip)
        return {} if done is None else done

    async def _now(self, trip: Trip) -> float:
        answer = await self._exchange.send(rest.health(), trip)
        shown = None if isinstance(answer, Failure) else record_answers.read_time(answer)
        return self._clock() if shown is None else shown.utc

    async def _read(self, request: Request, read: Callable[[Answer], T | Failure], trip: Trip) -> T | Failure:
        return await self._session.converse(lambda _rest: ask(rest_dialect.question(request, read)), trip)


def _date(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%S}Z"


def files_none(api: str) -> VaultAnswer | None:
    """Why a vault that is asked over another interface takes no access request."""
    return None if api == "rest" else told(fail("SECRET_NEEDS_APPROVAL", NEEDS_REST))
