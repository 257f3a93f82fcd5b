"""Secret Server as a scan process uses it: settle references, fetch credentials. It never has the vault's password.

Each call is bounded here, whatever hangs: `SETTLE_PATIENCE` before a target is dialled, `FETCH_PATIENCE` while one
waits.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

from appliance.contract import AccessTerms, CredentialRef, Failure, SecretLookup, View
from appliance.reasons import REASONS
from appliance.vault import DEFAULT_TERMS, SecretHandle, answers
from appliance.vault.answers import Summary
from appliance.vault.catalogue import Catalogue
from appliance.vault.choice import Machine, chosen, only
from appliance.vault.credential import Credential
from appliance.vault.definition import VaultAccess
from appliance.vault.dialect import Dialect, Found, standing
from appliance.vault.dialogue import Dialogue, said
from appliance.vault.entry import UNBOUNDED
from appliance.vault.exchange import Exchange, open_exchange
from appliance.vault.failures import fail, reason_of
from appliance.vault.flight import SingleFlight
from appliance.vault.messages import UNTOLD, Why
from appliance.vault.reading import credential
from appliance.vault.session import Session
from appliance.vault.tokens import TokenSource
from appliance.vault.trip import Trip, within
from appliance.vault.turns import Rank

SETTLE_PATIENCE = 30.0
"""Seconds for settling a reference: nobody is connected to a target meanwhile."""
FETCH_PATIENCE = 4.5
"""Seconds for a read, while a target waits. Below the 5 s of a scan's own bound: we know where the time went."""

MOST_SETTLED = 20_000
"""References that are remembered: more than a scan process has targets."""

_SEARCHED = (SecretLookup.NAME, SecretLookup.MACHINE)

_UNTOLD = {"untold": "by SOAP only a read tells whether it wants a check-out, a comment, an approval or nothing"}
"""The fact of a refusal to view what a view might check out."""


class SecretServerSource:
    """A CredentialSource (see there) over an exchange that is already open."""

    def __init__(
        self,
        exchange: Exchange,
        token: TokenSource,
        *,
        settle_patience: float = SETTLE_PATIENCE,
        fetch_patience: float = FETCH_PATIENCE,
        catalogue: Catalogue | None = None,
    ) -> None:
        """`catalogue`: what others have read of this vault, where it is to serve for longer than this source."""
        self._session = Session(exchange, token)
        self._entry = exchange.entry
        self._catalogue = catalogue if catalogue is not None else Catalogue()
        self._settle_patience = settle_patience
        self._fetch_patience = fetch_patience
        self._settling: SingleFlight[SecretHandle | Failure] = SingleFlight()
        self._settled: dict[CredentialRef, SecretHandle | Failure] = {}
        self._commented: dict[int, str] = {}
        """Secrets that have asked for a comment, and by which code: they get it at once the next time."""
        self._open: set[int] = set()
        """Secrets that want no check-out: a search or a view has said so. They are viewed without asking first."""
        self._ungated: set[int] = set()
        """Secrets that nobody has to approve now, as far as is known."""
        self._gating: SingleFlight[Failure | None] = SingleFlight()

    # -- the seam ------------------------------------------------------------------------------------------------------

    async def turn(self, ref: CredentialRef) -> Callable[[], None] | Failure:  # noqa: ARG002 - each is read anew
        return await self._entry.enter()

    async def settle(self, ref: CredentialRef) -> SecretHandle | Failure:
        if not self._session.clear and (away := await within(self._settle_patience, self._session.ready)) is not None:
            return away
        known = self._settled.get(ref)
        return known if known is not None else await self._settling.share(ref, lambda: self._settle(ref))

    async def approval(self, handle: SecretHandle) -> Failure | None:
        if handle.secret_id in self._ungated:
            return None
        return await self._gating.share(handle.secret_id, lambda: self._gate(handle))

    async def _gate(self, handle: SecretHandle) -> Failure | None:
        state = await self.state(handle)
        if isinstance(state, Failure):
            return state
        if state.reason == "SECRET_NEEDS_APPROVAL":
            return standing(state)
        self._ungated.add(handle.secret_id)
        return None

    async def fetch(
        self,
        handle: SecretHandle,
        *,
        private_key: bool,
        purpose: str,
        terms: AccessTerms = DEFAULT_TERMS,
        checked_out: bool = False,
        anew: bool = False,
        views: list[View] | None = None,
    ) -> Credential | Failure:
        def begin(dialect: Dialect) -> Dialogue[Credential | Failure]:
            why = Why(terms.comment or purpose or "scan", terms.ticket)
            told = dialect.tells_unasked and bool(terms.comment or terms.ticket)
            secret_id = handle.secret_id
            return self._fetch(dialect, secret_id, why, told=told, private_key=private_key, checked_out=checked_out)

        async def work(trip: Trip) -> Credential | Failure:
            trip.rank, trip.second_look = Rank.TARGET_WAITS, anew
            away = await self._session.ready(trip)
            return away if away is not None else await self._session.converse(begin, trip)

        got = await within(self._fetch_patience, work, views)
        if isinstance(got, Failure) and reason_of(got) == "SECRET_NEEDS_APPROVAL":
            self._ungated.discard(handle.secret_id)
        return got

    async def state(self, handle: SecretHandle) -> answers.State | Failure:
        """Could the secret be read now? No view."""
        return await within(
            self._settle_patience,
            lambda trip: self._session.converse(lambda dialect: self._state(dialect, handle), trip),
        )

    def call_off(self) -> None:
        """Nobody waits for the vault's rate any longer: the run is taken off this appliance."""
        self._session.call_off()

    # -- settle --------------------------------------------------------------------------------------------------------

    async def _settle(self, ref: CredentialRef) -> SecretHandle | Failure:
        found = await within(self._settle_patience, lambda trip: self._looked_for(ref, trip))
        if not isinstance(found, Failure) or not REASONS[reason_of(found)].transient:
            if len(self._settled) >= MOST_SETTLED:
                del self._settled[next(iter(self._settled))]
            self._settled[ref] = found
        return found

    async def _looked_for(self, ref: CredentialRef, trip: Trip) -> SecretHandle | Failure:
        if ref.by not in _SEARCHED:
            return await self._session.converse(lambda dialect: self._find(dialect, ref), trip)
        one = await (self._named(ref.key, trip) if ref.by is SecretLookup.NAME else self._of_machine(ref, trip))
        if isinstance(one, Failure):
            return one
        return await self._session.converse(lambda dialect: self._handle(ref, dialect.free(one)), trip)

    async def _named(self, name: str, trip: Trip) -> Summary | Failure:
        hits = await self._catalogue.names.hits(name, self._session, trip)
        return hits if isinstance(hits, Failure) else only(hits)

    async def _of_machine(self, ref: CredentialRef, trip: Trip) -> Summary | Failure:
        machine = Machine(ref.key, ref.template, ref.folder)
        hits = await self._catalogue.machines.hits(machine, self._session, trip)
        return hits if isinstance(hits, Failure) else chosen(hits, machine)

    def _find(self, dialect: Dialect, ref: CredentialRef) -> Dialogue[SecretHandle | Failure]:
        if ref.by is SecretLookup.PATH:
            return self._handle(ref, dialect.by_path(ref.key))
        if ref.key.isascii() and ref.key.isdigit() and len(ref.key) <= 18 and int(ref.key) > 0:
            return self._handle(ref, dialect.by_id(int(ref.key)))
        return said(fail("SECRET_NOT_FOUND", f"{ref.key!r} is no secret id"))

    def _handle(self, ref: CredentialRef, lookup: Dialogue[Found | Failure]) -> Dialogue[SecretHandle | Failure]:
        found = yield from lookup
        if isinstance(found, Failure):
            return found
        if found.open:
            self._open.add(found.id)
        if found.ungated:
            self._ungated.add(found.id)
        return SecretHandle(ref, found.id)

    def _state(self, dialect: Dialect, handle: SecretHandle) -> Dialogue[answers.State | Failure]:
        """Where a search alone can tell what stands before a view, and has found something, it may be a check-out."""
        state = yield from dialect.state(handle.secret_id)
        searched = dialect.views_check_out and handle.ref.by in _SEARCHED
        if isinstance(state, Failure) or state.reason or state.ours or not searched:
            return state
        return (
            state if handle.secret_id in self._open else replace(state, reason="SECRET_NEEDS_CHECKOUT", facts=_UNTOLD)
        )

    # -- fetch ---------------------------------------------------------------------------------------------------------

    def _fetch(
        self, dialect: Dialect, secret_id: int, purpose: Why, *, told: bool, private_key: bool, checked_out: bool
    ) -> Dialogue[Credential | Failure]:
        if dialect.views_check_out and not checked_out and secret_id not in self._open:
            barred = yield from _barred(dialect, secret_id)
            if barred is not None:
                return barred
        why = purpose if told or secret_id in self._commented else UNTOLD
        secret = yield from dialect.view(secret_id, why, self._commented.get(secret_id, ""))
        if isinstance(secret, Failure) and reason_of(secret) == "SECRET_NEEDS_COMMENT" and why is UNTOLD:
            code = self._commented[secret_id] = secret.facts.get("error_code", "")
            why = purpose
            secret = yield from dialect.view(secret_id, why, code)
        if isinstance(secret, Failure):
            return secret
        if dialect.views_check_out and not self._was_open(secret, checked_out=checked_out):
            return fail("SECRET_NEEDS_CHECKOUT", "it did not want to be checked out before, and by this view it is")
        return (yield from credential(dialect, secret, why, private_key=private_key))

    def _was_open(self, secret: answers.Secret, *, checked_out: bool) -> bool:
        """False: a view of what was taken for open has checked it out, so that the run must know of it."""
        if not secret.checked_out:
            self._open.add(secret.id)
            return True
        taken_for_open = secret.id in self._open and not checked_out
        self._open.discard(secret.id)
        return not taken_for_open


def _barred(dialect: Dialect, secret_id: int) -> Dialogue[Failure | None]:
    """Why a view would take the secret from others; None where it is the vault user's already."""
    state = yield from dialect.state(secret_id)
    if isinstance(state, Failure):
        return state
    return None if state.ours else standing(replace(state, facts=_UNTOLD) if not state.reason else state)


@asynccontextmanager
async def open_source(
    access: VaultAccess,
    token: TokenSource,
    *,
    settle_patience: float = SETTLE_PATIENCE,
    fetch_patience: float = FETCH_PATIENCE,
    room: int = UNBOUNDED,
) -> AsyncIterator[SecretServerSource]:
    """A source with connections of its own, closed on the way out. One per vault, run and scan process. `room`: so many
    jobs may wait for the vault's rate at most.
    """
    async with open_exchange(access, room=room) as exchange:
        yield SecretServerSource(exchange, token, settle_patience=settle_patience, fetch_patience=fetch_patience)
