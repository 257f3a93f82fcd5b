"""`fetch = "shared"`: one view of a secret for all targets that ask for it within `max_age`.

Rules:
1. Who asks for a secret that is being read shares that read; who asks within `max_age` of its answer gets a copy.
2. A value is kept in this process's memory alone, and forgotten `max_age` after it was read, asked for or not. So a
   change in the vault is noticed after `max_age` at the latest.
3. Who was refused with it, and the attempt that follows, read `anew`: by themselves, since a read that is under way may
   have begun too early. What they get takes the place of what was kept. Another scan process keeps the old value until
   an attempt of its own is refused: so a password that changes may cost an account one failure per process.
4. Failures are not kept.

The vault's audit has one row per read, with the purpose of the one who asked first.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio

from appliance.contract import AccessTerms, CredentialRef, Failure, View
from appliance.vault import DEFAULT_TERMS, CredentialSource, SecretHandle
from appliance.vault.credential import Credential
from appliance.vault.flight import SingleFlight

MOST_SETTLED = 20_000
"""Names whose ids are remembered."""

_Key = tuple[int, bool]
"""The secret's id, and whether its private key is wanted."""
_Read = Callable[[], Awaitable[Credential | Failure]]


@dataclass(frozen=True, slots=True, eq=False)
class _Kept:
    credential: Credential
    began: float
    """When its read began."""


class SharedSource:
    """A CredentialSource (see there) over another one."""

    def __init__(self, source: CredentialSource, max_age: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._source = source
        self._max_age = max_age
        self._clock = clock
        self._kept: dict[_Key, _Kept] = {}
        self._settled: dict[CredentialRef, int] = {}
        self._reading: SingleFlight[Credential | Failure] = SingleFlight()
        self._more = anyio.Event()

    async def turn(self, ref: CredentialRef) -> Callable[[], None] | Failure:
        """What is kept asks nothing of the vault."""
        self._forget_old()
        settled = self._settled.get(ref)
        kept = settled is not None and any((settled, key) in self._kept for key in (False, True))
        return (lambda: None) if kept else await self._source.turn(ref)

    async def settle(self, ref: CredentialRef) -> SecretHandle | Failure:
        found = await self._source.settle(ref)
        if isinstance(found, SecretHandle):
            if len(self._settled) >= MOST_SETTLED:
                del self._settled[next(iter(self._settled))]
            self._settled[ref] = found.secret_id
        return found

    async def approval(self, handle: SecretHandle) -> Failure | None:
        return await self._source.approval(handle)

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
        """The views of a read that is shared are told to who has begun it."""
        key = (handle.secret_id, private_key)

        async def read() -> Credential | Failure:
            source = self._source
            return await source.fetch(
                handle, private_key=private_key, purpose=purpose, terms=terms, checked_out=checked_out, views=views
            )

        while True:
            got = await self._get(key, read, anew=anew)
            if isinstance(got, Failure):
                return got
            if not (copy := got.copy()).forgotten:
                return copy
            # It was replaced, or too old, between its arrival and our turn: an empty password must not go out.

    async def _get(self, key: _Key, read: _Read, *, anew: bool) -> Credential | Failure:
        self._forget_old()
        if anew:
            return await self._read(key, read)
        kept = self._kept.get(key)
        if kept is not None:
            return kept.credential
        return await self._reading.share(key, lambda: self._read(key, read))

    async def _read(self, key: _Key, read: _Read) -> Credential | Failure:
        began = self._clock()
        got = await read()
        if isinstance(got, Failure):
            return got
        kept = self._kept.get(key)
        if kept is not None and kept.began > began:
            return got  # a later read has come first; this one serves nobody else
        self._forget(key)
        self._kept[key] = _Kept(got, began)
        self._more.set()
        return got

    async def forget_in_time(self) -> None:
        """Forgets what is too old, for ever; everything when it is cancelled."""
        try:
            while True:
                self._forget_old()
                oldest = min(self._kept.values(), key=lambda kept: kept.began, default=None)
                if oldest is None:
                    self._more = anyio.Event()
                    await self._more.wait()
                else:
                    await anyio.sleep(max(oldest.began + self._max_age - self._clock(), 0.0))
        finally:
            for key in list(self._kept):
                self._forget(key)

    def _forget_old(self) -> None:
        now = self._clock()
        for key in [key for key, kept in self._kept.items() if kept.began + self._max_age <= now]:
            self._forget(key)

    def _forget(self, key: _Key) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            kept.credential.forget()


@asynccontextmanager
async def open_shared(source: CredentialSource, max_age: float) -> AsyncIterator[SharedSource]:
    """A shared source, whose values are forgotten on the way out."""
    shared = SharedSource(source, max_age)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(shared.forget_in_time, name="vault: forget shared credentials in time")
        try:
            yield shared
        finally:
            tasks.cancel_scope.cancel()
