"""The vault's own record, for the orchestrator's questions WHO, AUDIT and RIGHTS. No secret is viewed.

Rules:
1. Only the REST interface gives it whole, so it is asked there.
2. The vault's clock is taken in the middle of a request: half of what that took is how wrong it may be taken.
3. A page of audit rows is one question: who asks goes on from where the last page ended.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from appliance.contract import Failure
from appliance.questions import VaultAnswer, VaultQuery, VaultQueryKind
from appliance.vault import record_answers, rest, rest_dialect
from appliance.vault.catalogue import Catalogue
from appliance.vault.checkouts import secret_id_of, told
from appliance.vault.dialogue import ask
from appliance.vault.exchange import Exchange
from appliance.vault.failures import fail
from appliance.vault.messages import Answer, Request
from appliance.vault.secret_server import SecretServerSource
from appliance.vault.session import Session
from appliance.vault.tokens import TokenSource
from appliance.vault.trip import Trip, within

NEEDS_REST = 'the vault\'s record is to be had over the REST API alone: it needs api = "rest"'

RECORD_KINDS = (VaultQueryKind.WHO, VaultQueryKind.AUDIT, VaultQueryKind.RIGHTS)

Told = VaultAnswer | Failure

T = TypeVar("T")


class VaultRecord:
    def __init__(
        self,
        exchange: Exchange,
        token: TokenSource,
        patience: float,
        clock: Callable[[], float] = time.time,
        *,
        catalogue: Catalogue | None = None,
    ) -> None:
        self._exchange = exchange
        self._session = Session(exchange, token)
        self._source = SecretServerSource(exchange, token, catalogue=catalogue)
        self._patience = patience
        self._clock = clock

    async def answer(self, query: VaultQuery) -> VaultAnswer:
        """Answer a query of RECORD_KINDS."""
        steps = {
            VaultQueryKind.WHO: self._who,
            VaultQueryKind.AUDIT: self._audit,
            VaultQueryKind.RIGHTS: self._rights,
        }
        answered = await within(self._patience, lambda trip: steps[query.kind](query, trip))
        return told(answered) if isinstance(answered, Failure) else answered

    async def _who(self, _query: VaultQuery, trip: Trip) -> Told:
        user = await self._read(rest.current_user(), record_answers.read_user, trip)
        if isinstance(user, Failure):
            return user
        clock = await self._offset(trip)
        if isinstance(clock, Failure):
            return clock
        named = {"user": user.name, "display_name": user.display_name, "permissions": "\n".join(user.permissions)}
        return VaultAnswer(ok=True, facts=named | clock)

    async def _offset(self, trip: Trip) -> dict[str, str] | Failure:
        before = self._clock()
        answer = await self._exchange.send(rest.health(), trip)
        after = self._clock()
        if isinstance(answer, Failure):
            return answer
        shown = record_answers.read_time(answer)
        if shown is None:
            return {}
        offset, error = shown.utc - (before + after) / 2, (after - before) / 2
        return {"offset": f"{offset:.3f}", "offset_error": f"{error:.3f}", "local": f"{shown.local:.0f}"}

    async def _audit(self, query: VaultQuery, trip: Trip) -> Told:
        secret_id = secret_id_of(query.secret)
        if secret_id is None or query.skip < 0:
            return fail("INTERNAL", "an audit needs a secret's id, and a place to go on from")
        page = await self._read(rest.audits(secret_id, query.skip), record_answers.read_audits, trip)
        return page if isinstance(page, Failure) else VaultAnswer(ok=True, rows=page.rows, more=page.more)

    async def _rights(self, query: VaultQuery, trip: Trip) -> Told:
        if query.secret is None:
            return fail("INTERNAL", "rights are those to a secret")
        handle = await self._source.settle(query.secret)
        if isinstance(handle, Failure):
            return handle
        standing = await self._read(rest.state(handle.secret_id), record_answers.read_standing, trip)
        if isinstance(standing, Failure):
            return standing
        place = await self._read(rest.summary(handle.secret_id), record_answers.read_place, trip)
        if isinstance(place, Failure):
            return place
        facts = {"secret_id": str(handle.secret_id), "role": standing.role, "folder": place.folder}
        if standing.approval:
            facts["approval"] = standing.approval
        if place.hides_password is not None:
            facts["hides_password"] = "yes" if place.hides_password else "no"
        return VaultAnswer(ok=True, facts=facts)

    async def _read(self, request: Request, read: Callable[[Answer], T | Failure], trip: Trip) -> T | Failure:
        return await self._session.converse(lambda _rest: ask(rest_dialect.question(request, read)), trip)


def needs_rest(api: str) -> VaultAnswer | None:
    """Why a vault that is asked over another interface cannot tell its record."""
    return None if api == "rest" else told(fail("VAULT_ERROR", NEEDS_REST))
