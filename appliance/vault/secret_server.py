"""Secret Server as a scan process uses it: settle references, fetch credentials. It never has the vault's password.

Each call is bounded here, whatever hangs: `SETTLE_PATIENCE` before a target is dialled, `FETCH_PATIENCE` while one
waits.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace

from appliance.contract import CredentialRef, Failure, SecretLookup, named, peer_text
from appliance.reasons import REASONS
from appliance.vault import SecretHandle, answers, rest
from appliance.vault.credential import Credential
from appliance.vault.definition import VaultAccess
from appliance.vault.exchange import Exchange, Trip, open_exchange, within
from appliance.vault.failures import fail, reason_of
from appliance.vault.fields import Chosen, choose
from appliance.vault.flight import SingleFlight
from appliance.vault.session import Session
from appliance.vault.tokens import TokenSource

SETTLE_PATIENCE = 30.0
"""Seconds for settling a reference: nobody is connected to a target meanwhile."""
FETCH_PATIENCE = 4.5
"""Seconds for a read, while a target waits. Below the 5 s of a scan's own bound: we know where the time went."""
MOST_PAGES = 100


class SecretServerSource:
    """A CredentialSource (see there) over an exchange that is already open."""

    def __init__(
        self,
        exchange: Exchange,
        token: TokenSource,
        *,
        settle_patience: float = SETTLE_PATIENCE,
        fetch_patience: float = FETCH_PATIENCE,
    ) -> None:
        self._session = Session(exchange, token)
        self._settle_patience = settle_patience
        self._fetch_patience = fetch_patience
        self._settling: SingleFlight[SecretHandle | Failure] = SingleFlight()
        self._settled: dict[CredentialRef, SecretHandle | Failure] = {}
        self._commented: set[int] = set()
        """Secrets that have asked for a comment: they get it at once the next time."""

    # -- the seam ------------------------------------------------------------------------------------------------------

    async def settle(self, ref: CredentialRef) -> SecretHandle | Failure:
        if not self._session.clear and (away := await within(self._settle_patience, self._session.ready)) is not None:
            return away
        known = self._settled.get(ref)
        return known if known is not None else await self._settling.share(ref, lambda: self._settle(ref))

    async def fetch(
        self,
        handle: SecretHandle,
        *,
        private_key: bool,
        purpose: str,
        anew: bool = False,  # noqa: ARG002 - nothing is kept, so every read is
    ) -> Credential | Failure:
        return await within(
            self._fetch_patience, lambda trip: self._fetch(handle.secret_id, private_key, purpose or "scan", trip)
        )

    async def state(self, handle: SecretHandle) -> answers.State | Failure:
        """Could the secret be read now? No view."""
        request = rest.state(handle.secret_id)
        return await within(self._settle_patience, lambda trip: self._session.read(request, answers.read_state, trip))

    # -- settle --------------------------------------------------------------------------------------------------------

    async def _settle(self, ref: CredentialRef) -> SecretHandle | Failure:
        found = await within(self._settle_patience, lambda trip: self._find(ref, trip))
        if not isinstance(found, Failure) or not REASONS[reason_of(found)].transient:
            self._settled[ref] = found
        return found

    async def _find(self, ref: CredentialRef, trip: Trip) -> SecretHandle | Failure:
        if ref.by is SecretLookup.NAME:
            found = await self._by_name(ref.key, trip)
        elif ref.by is SecretLookup.PATH:
            found = await self._by_place(ref.key, trip)
        elif ref.key.isascii() and ref.key.isdigit() and len(ref.key) <= 18 and int(ref.key) > 0:
            found = await self._by_place(int(ref.key), trip)
        else:
            return fail("SECRET_NOT_FOUND", f"{ref.key!r} is no secret id")
        return found if isinstance(found, Failure) else SecretHandle(ref, found)

    async def _by_name(self, name: str, trip: Trip) -> int | Failure:
        """The search also hits other fields and other spellings, so names are compared here, letter by letter."""
        hits: dict[int, answers.Summary] = {}
        skip = 0
        for _ in range(MOST_PAGES):
            page = await self._session.read(rest.search(name, skip), answers.read_page, trip)
            if isinstance(page, Failure):
                return page
            hits.update((s.id, s) for s in page.records if s.name == name)
            skip += len(page.records)
            if not page.more:
                return await self._free(_only(list(hits.values())), hits, trip)
        return fail("VAULT_BAD_RESPONSE", f"a search for one name has more than {MOST_PAGES} pages")

    async def _free(self, found: int | Failure, hits: Mapping[int, answers.Summary], trip: Trip) -> int | Failure:
        """The secret, unless somebody else has it checked out: that is better waited for before a target is dialled."""
        if isinstance(found, Failure) or not hits[found].checked_out:
            return found
        state = await self._session.read(rest.state(found), answers.read_state, trip)
        return held_by_another(state) or found if isinstance(state, answers.State) else found

    async def _by_place(self, where: int | str, trip: Trip) -> int | Failure:
        """An id or a path, by the secret's state. What may change during a run (an approval) is left to the fetch."""
        found = await self._session.read(rest.state(where), answers.read_state, trip)
        if isinstance(found, answers.State):
            if found.reason == "SECRET_INACTIVE":
                return fail("SECRET_INACTIVE", **found.facts)
            return held_by_another(found) or found.id
        # Missing and forbidden look alike, and for one who looks for a secret both mean that there is none.
        denied = reason_of(found) == "SECRET_ACCESS_DENIED"
        return replace(found, signal=named("SECRET_NOT_FOUND")) if denied else found

    # -- fetch ---------------------------------------------------------------------------------------------------------

    async def _fetch(self, secret_id: int, private_key: bool, purpose: str, trip: Trip) -> Credential | Failure:
        if (away := await self._session.ready(trip)) is not None:
            return away
        comment = purpose if secret_id in self._commented else ""
        secret = await self._view(secret_id, comment, trip)
        if isinstance(secret, Failure) and reason_of(secret) == "SECRET_NEEDS_COMMENT" and not comment:
            self._commented.add(secret_id)
            comment = purpose
            secret = await self._view(secret_id, comment, trip)
        if isinstance(secret, Failure):
            return secret
        chosen = choose(secret)
        if private_key:
            return await self._with_key(secret_id, chosen, secret.changed_at, comment, trip)
        # A blank password may be a hidden one, which is asked for by itself.
        password = await self._text(secret_id, chosen.password, comment, trip, blank_is_masked=True)
        if isinstance(password, Failure):
            return password
        if not password:
            return fail("SECRET_FIELD_MISSING", "the secret has no password", template=peer_text(secret.template))
        return Credential(user=chosen.user, domain=chosen.domain, password=password, changed_at=secret.changed_at)

    async def _view(self, secret_id: int, comment: str, trip: Trip) -> answers.Secret | Failure:
        secret = await self._session.read(rest.secret(secret_id, comment), answers.read_secret, trip)
        return await self._session.explained(secret, secret_id, trip) if isinstance(secret, Failure) else secret

    async def _with_key(
        self, secret_id: int, chosen: Chosen, changed_at: float | None, comment: str, trip: Trip
    ) -> Credential | Failure:
        key = chosen.key
        if key is None or (key.is_file and not key.has_file):
            return fail("SECRET_FIELD_MISSING", "the secret has no private key")
        data: bytes | str | Failure
        if key.is_file:
            data = await self._session.read(
                rest.file_field(secret_id, key.slug, comment), answers.read_file_field, trip
            )
        else:
            data = await self._text(secret_id, key, comment, trip)
        if isinstance(data, Failure):
            return data
        passphrase = await self._text(secret_id, chosen.passphrase, comment, trip)
        if isinstance(passphrase, Failure):
            return passphrase
        if not data:
            return fail("SECRET_FIELD_MISSING", "the secret's private key is empty")
        # A password beside a key is a bonus (sudo may want it): a masked one is not worth a view of its own.
        beside = chosen.password.value if chosen.password is not None else ""
        return Credential(
            user=chosen.user,
            domain=chosen.domain,
            password="" if beside == answers.NOT_FOR_DISPLAY else beside,
            private_key=data.encode() if isinstance(data, str) else data,
            passphrase=passphrase,
            changed_at=changed_at,
        )

    async def _text(
        self, secret_id: int, item: answers.Item | None, comment: str, trip: Trip, *, blank_is_masked: bool = False
    ) -> str | Failure:
        """A field's value, read by itself where the secret came without it.

        A mask is never a value: submitted to a target, it would be a failed logon.
        """
        if item is None or item.is_file:
            return ""
        if item.value != answers.NOT_FOR_DISPLAY and not (blank_is_masked and item.value == ""):
            return item.value
        value = await self._session.read(rest.text_field(secret_id, item.slug, comment), answers.read_text_field, trip)
        if value == answers.NOT_FOR_DISPLAY:
            return fail("VAULT_FORBIDDEN", f"the field {item.slug} is not shown to the vault's user")
        return value


def held_by_another(state: answers.State) -> Failure | None:
    """Why the secret cannot be had for now, and that it may be had later."""
    if state.reason not in ("SECRET_CHECKED_OUT_BY", "SECRET_RPC_PENDING"):
        return None
    return fail(state.reason, f"checked out by {state.holder}" if state.holder else "", **state.facts)


def _only(hits: list[answers.Summary]) -> int | Failure:
    active = [s for s in hits if s.active]
    if len(active) == 1:
        return active[0].id
    if not active:
        return fail("SECRET_INACTIVE") if hits else fail("SECRET_NOT_FOUND")
    listed = ", ".join(
        f"id {s.id} in {s.folder_path or 'an unnamed folder'}" for s in sorted(active, key=lambda s: s.id)
    )
    return fail("SECRET_AMBIGUOUS_NAME", f"{len(active)} secrets: {listed}", hits=str(len(active)))


@asynccontextmanager
async def open_source(
    access: VaultAccess,
    token: TokenSource,
    *,
    settle_patience: float = SETTLE_PATIENCE,
    fetch_patience: float = FETCH_PATIENCE,
) -> AsyncIterator[SecretServerSource]:
    """A source with connections of its own, closed on the way out. One per vault, run and scan process."""
    async with open_exchange(access) as exchange:
        yield SecretServerSource(exchange, token, settle_patience=settle_patience, fetch_patience=fetch_patience)
