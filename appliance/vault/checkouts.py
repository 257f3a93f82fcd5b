"""Check-out, extension and check-in at the vault, as the orchestrator orders them.

By REST no secret is viewed. By SOAP a check-out is a view whose values are dropped unread: the vault's audit shows
it, and the answer's bytes are in this process for as long as that takes. A secret that turns out to be none that is
checked out is told as `needless`. A check-out cannot be made longer there: how long it lasts still is told.

Rules:
1. The secret's state is asked before and after: an order may have been carried out though its answer never came, and
   what is done already is not done twice.
2. The vault counts check-outs per user: what its user has checked out without us is told as `already`, and is for the
   orchestrator to leave alone.
3. Somebody else's check-out, and a password change that is under way, are reasons of their own; nothing is forced.
"""

from __future__ import annotations

from appliance.contract import CredentialRef, Failure
from appliance.questions import VaultAnswer, VaultQuery, VaultQueryKind
from appliance.vault.answers import State
from appliance.vault.dialect import Dialect, standing
from appliance.vault.dialogue import Dialogue
from appliance.vault.failures import fail, reason_of
from appliance.vault.messages import Why
from appliance.vault.session import Session
from appliance.vault.trip import within

FALLBACK_MINUTES = 30
"""What a check-out lasts by default, for a vault that does not say."""


Told = dict[str, str]
"""The facts of an answer."""


class VaultCheckouts:
    def __init__(self, session: Session, patience: float) -> None:
        self._session = session
        self._patience = patience

    async def obey(self, query: VaultQuery) -> VaultAnswer:
        """Carry out CHECK_OUT, EXTEND or CHECK_IN."""
        secret_id = secret_id_of(query.secret)
        if secret_id is None:
            return told(fail("INTERNAL", "a check-out needs a secret's id"))
        order = _ORDERS[query.kind]
        done = await within(
            self._patience,
            lambda trip: self._session.converse(lambda dialect: order(dialect, secret_id, query), trip),
        )
        return told(done) if isinstance(done, Failure) else VaultAnswer(ok=True, facts=done)


def _check_out(dialect: Dialect, secret_id: int, query: VaultQuery) -> Dialogue[Told | Failure]:
    before = yield from dialect.state(secret_id)
    if isinstance(before, Failure):
        return before
    if before.ours:
        return {"minutes": _minutes(before), "already": "yes"}
    if before.reason not in ("", "SECRET_NEEDS_CHECKOUT", "SECRET_NEEDS_COMMENT"):
        return standing(before)
    refused = yield from dialect.check_out(secret_id, _why(query), before, told=query.told)
    after = yield from dialect.state(secret_id)
    if isinstance(after, Failure):
        return after
    if after.ours:
        return {"minutes": _minutes(after)}
    if after.reason not in ("", "SECRET_NEEDS_CHECKOUT"):
        return standing(after)
    if refused is None and dialect.views_check_out:
        return {"needless": "yes"}
    return refused or fail("SECRET_NEEDS_CHECKOUT", "the vault took the check-out, and does not show it")


def _extend(dialect: Dialect, secret_id: int, query: VaultQuery) -> Dialogue[Told | Failure]:
    refused = yield from dialect.extend(secret_id, query.minutes, query.comment)
    after = yield from dialect.state(secret_id)
    if isinstance(after, Failure):
        return after
    if not after.ours:
        return refused or standing(after)
    return {"minutes": _minutes(after)} if refused is None else refused


def _check_in(dialect: Dialect, secret_id: int, query: VaultQuery) -> Dialogue[Told | Failure]:
    before = yield from dialect.state(secret_id)
    if isinstance(before, Failure):
        return before
    if not before.ours:
        return {"already": "yes"}
    refused = yield from dialect.check_in(secret_id, _why(query))
    return {} if refused is None else refused


_ORDERS = {
    VaultQueryKind.CHECK_OUT: _check_out,
    VaultQueryKind.EXTEND: _extend,
    VaultQueryKind.CHECK_IN: _check_in,
}


def _why(query: VaultQuery) -> Why:
    return Why(query.comment or "scan", query.ticket)


def told(failure: Failure) -> VaultAnswer:
    return VaultAnswer(ok=False, reason=reason_of(failure), text=failure.text, facts=failure.facts)


def _minutes(state: State) -> str:
    return str(state.minutes or FALLBACK_MINUTES)


def secret_id_of(ref: CredentialRef | None) -> int | None:
    return int(ref.key) if ref is not None and ref.key.isascii() and ref.key.isdigit() else None
