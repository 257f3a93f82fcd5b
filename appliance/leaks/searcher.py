"""The searcher: a scan process in all but the scanning. It reads secrets, looks for them, reports and ends.

The end of the process destroys the credentials, as ever. It has no vault login: tokens come from its supervisor.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import anyio
import anyio.to_thread

from appliance.channel import Channel, TokenGive
from appliance.contract import CredentialRef, Failure
from appliance.hardening import harden
from appliance.leaks.finder import Sought
from appliance.leaks.forms import client_key_forms, key_forms, text_forms
from appliance.leaks.orders import Search, Searched, Unread, Wanted
from appliance.leaks.search import search
from appliance.long_lived import BACKEND_OPTIONS
from appliance.token_desk import TokenDesk
from appliance.vault import DEFAULT_TERMS, CredentialSource
from appliance.vault.credential import Credential
from appliance.vault.definition import VaultAccess
from appliance.vault.failures import reason_of
from appliance.vault.secret_server import open_source

READERS = 32
"""Secrets being read at once; each vault's own limit on requests is below it."""


@dataclass(slots=True)
class Reading:
    """The secrets, as they come from the vault."""

    order: Search
    sought: list[Sought] = field(default_factory=list)
    unread: list[Unread] = field(default_factory=list)
    short: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    read: int = 0

    async def read_all(self, sources: Mapping[str, CredentialSource]) -> None:
        limit = anyio.CapacityLimiter(READERS)
        async with anyio.create_task_group() as tasks:
            for wanted in self.order.wanted:
                await limit.acquire_on_behalf_of(wanted)
                tasks.start_soon(self._one, wanted, sources, limit, name="searcher: read")

    async def _one(self, wanted: Wanted, sources: Mapping[str, CredentialSource], limit: anyio.CapacityLimiter) -> None:
        name = told(wanted.secret)
        try:
            credential = await self._fetch(wanted, sources[wanted.secret.vault])
        finally:
            limit.release_on_behalf_of(wanted)
        if isinstance(credential, Failure):
            self.unread.append(Unread(secret=name, reason=reason_of(credential), text=credential.text))
            return
        self.read += 1
        # Deciphering a key may take its file's many rounds.
        sought, short = await anyio.to_thread.run_sync(_forms, name, credential)
        self.sought.append(sought)
        if short:
            self.short.append(name)
        changed_at = credential.standing.changed_at
        if changed_at is not None and changed_at > self.order.since:
            self.changed.append(name)

    async def _fetch(self, wanted: Wanted, source: CredentialSource) -> Credential | Failure:
        handle = await source.settle(wanted.secret)
        if isinstance(handle, Failure):
            return handle
        terms = self.order.terms.get(wanted.secret.vault, DEFAULT_TERMS)
        purpose = self.order.purpose
        return await source.fetch(handle, private_key=wanted.private_key, purpose=purpose, terms=terms)


def told(ref: CredentialRef) -> str:
    return f"{ref.label} in {ref.vault}"


def _forms(name: str, credential: Credential) -> tuple[Sought, bool]:
    """What to look for, and whether there is a value that is too short for it."""
    texts = [text for text in (credential.password, credential.passphrase) if text]
    forms = [text_forms(text) for text in texts]
    if credential.private_key:
        forms.append(key_forms(credential.private_key, credential.passphrase))
    return Sought(name, {form: called for some in forms for form, called in some.items()}), not all(forms)


def _client_keys(vaults: Iterable[VaultAccess]) -> list[Sought]:
    """What a vault is shown to be asked at all is a secret of ours as much as those that it gives."""
    keys = {access.title: access.tls.client_key.get_secret_value() for access in vaults}
    return [Sought(f"client key for {title}", client_key_forms(key.encode())) for title, key in keys.items() if key]


async def _serve_channel(channel: Channel, desk: TokenDesk, abort: anyio.CancelScope) -> None:
    while (message := await channel.receive()) is not None:
        if isinstance(message, TokenGive):
            desk.take(message)
    abort.cancel()  # the supervisor is gone: nobody would hear us


async def serve(sock: socket.socket) -> None:
    """The whole life of a searcher, on its inherited end of the channel."""
    channel = await Channel.over(sock)
    order = await channel.receive()
    if not isinstance(order, Search):
        return
    desk, reading = TokenDesk(channel), Reading(order)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_serve_channel, channel, desk, tasks.cancel_scope, name="searcher: channel")
        async with AsyncExitStack() as stack:
            sources: dict[str, CredentialSource] = {}
            for access in order.vaults:
                sources[access.title] = await stack.enter_async_context(open_source(access, desk.of(access.title)))
            await reading.read_all(sources)
        keys = await anyio.to_thread.run_sync(_client_keys, order.vaults)
        sought, logins = [*reading.sought, *keys], {key.name for key in keys}
        looked = await anyio.to_thread.run_sync(search, sought, order.paths, order.processes, logins)
        await channel.send(
            Searched(
                read=reading.read,
                unread=tuple(sorted(reading.unread, key=lambda u: u.secret)),
                short=tuple(sorted(reading.short)),
                changed=tuple(sorted(reading.changed)),
                looked=looked,
            )
        )
        tasks.cancel_scope.cancel()
    await channel.aclose()


def main() -> None:
    """`python -m appliance.leaks.searcher FD`: FD is the inherited socket."""
    harden()
    sock = socket.socket(fileno=int(sys.argv[1]))
    sock.setblocking(False)
    anyio.run(serve, sock, backend_options=BACKEND_OPTIONS)


if __name__ == "__main__":
    main()
