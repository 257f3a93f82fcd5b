"""Check-out, extension and check-in at the vault, as the orchestrator orders them. No secret is viewed.

Rules:
1. The secret's state is asked before and after: an order may have been carried out though its answer never came, and
   what is done already is not done twice.
2. The vault counts check-outs per user: what its user has checked out without us is told as `already`, and is for the
   orchestrator to leave alone.
3. Somebody else's check-out, and a password change that is under way, are reasons of their own; nothing is forced.
"""

from __future__ import annotations

from appliance.contract import CredentialRef, Failure, VaultAnswer, VaultQuery, VaultQueryKind
from appliance.vault import answers, rest
from appliance.vault.answers import State
from appliance.vault.exchange import Trip, within
from appliance.vault.failures import fail, reason_of
from appliance.vault.messages import Request
from appliance.vault.session import Session

FALLBACK_MINUTES = 30
"""What a check-out lasts by default, for a vault that does not say."""


class VaultCheckouts:
    def __init__(self, session: Session, patience: float) -> None:
        self._session = session
        self._patience = patience

    async def obey(self, query: VaultQuery) -> VaultAnswer:
        """Carry out CHECK_OUT, EXTEND or CHECK_IN."""
        secret_id = secret_id_of(query.secret)
        if secret_id is None:
            return told(fail("INTERNAL", "a check-out needs a secret's id"))
        steps = {
            VaultQueryKind.CHECK_OUT: self._check_out,
            VaultQueryKind.EXTEND: self._extend,
            VaultQueryKind.CHECK_IN: self._check_in,
        }
        done = await within(self._patience, lambda trip: steps[query.kind](secret_id, query, trip))
        return told(done) if isinstance(done, Failure) else VaultAnswer(ok=True, facts=done)

    async def _check_out(self, secret_id: int, query: VaultQuery, trip: Trip) -> dict[str, str] | Failure:
        before = await self._state(secret_id, trip)
        if isinstance(before, Failure):
            return before
        if before.ours:
            return {"minutes": _minutes(before), "already": "yes"}
        if before.reason not in ("", "SECRET_NEEDS_CHECKOUT", "SECRET_NEEDS_COMMENT"):
            return _standing(before)
        if "Comment" in before.facts.get("secret_state", ""):
            said = await self._order(rest.view_comment(secret_id, query.comment or "scan"), trip)
            if said is not None:
                return said
        refused = await self._order(rest.check_out(secret_id), trip)
        after = await self._state(secret_id, trip)
        if isinstance(after, Failure):
            return after
        if after.ours:
            return {"minutes": _minutes(after)}
        if after.reason not in ("", "SECRET_NEEDS_CHECKOUT"):
            return _standing(after)
        return refused or fail("SECRET_NEEDS_CHECKOUT", "the vault took the check-out, and does not show it")

    async def _extend(self, secret_id: int, query: VaultQuery, trip: Trip) -> dict[str, str] | Failure:
        refused = await self._order(rest.extend_check_out(secret_id, query.minutes, query.comment), trip)
        after = await self._state(secret_id, trip)
        if isinstance(after, Failure):
            return after
        if not after.ours:
            return refused or _standing(after)
        return {"minutes": _minutes(after)} if refused is None else refused

    async def _check_in(self, secret_id: int, query: VaultQuery, trip: Trip) -> dict[str, str] | Failure:
        before = await self._state(secret_id, trip)
        if isinstance(before, Failure):
            return before
        if not before.ours:
            return {"already": "yes"}
        refused = await self._order(rest.check_in(secret_id, query.comment), trip)
        return {} if refused is None else refused

    async def _state(self, secret_id: int, trip: Trip) -> State | Failure:
        return await self._session.read(rest.state(secret_id), answers.read_state, trip)

    async def _order(self, request: Request, trip: Trip) -> Failure | None:
        return await self._session.read(request, answers.read_done, trip)


def told(failure: Failure) -> VaultAnswer:
    return VaultAnswer(ok=False, reason=reason_of(failure), text=failure.text, facts=failure.facts)


def _standing(state: State) -> Failure:
    return fail(
        state.reason or "SECRET_NEEDS_CHECKOUT", f"checked out by {state.holder}" if state.holder else "", **state.facts
    )


def _minutes(state: State) -> str:
    return str(state.minutes or FALLBACK_MINUTES)


def secret_id_of(ref: CredentialRef | None) -> int | None:
    return int(ref.key) if ref is not None and ref.key.isascii() and ref.key.isdigit() else None
