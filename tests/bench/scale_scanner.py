"""A scan process whose targets and vault answer at once: `python -m tests.bench.scale_scanner FD`.

Everything of the product runs (pull, policy, phases, permit, evidence, report), but for what `Kit` lends to a scan from
outside: dialling, logins and the vault's source. LOGIN_CPU_MS in the environment is what a login takes (0).
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from socket import socket
from typing import Any

import anyio

from appliance import wiring, worker
from appliance.bus import ApplianceBus
from appliance.channel import Hello
from appliance.contract import AccessTerms, Candidate, CredentialRef, Failure, Job, Phase, Technology, View
from appliance.desk import open_desk
from appliance.lag import LoopLag
from appliance.login import Authenticated, Elevation, Login, Negotiated, Privileges
from appliance.phases import PhaseLedger
from appliance.policy import Policy
from appliance.scan import Kit
from appliance.vault import DEFAULT_TERMS, SecretHandle
from appliance.vault.credential import Credential

_FACTS = {"banner": "SSH-2.0-OpenSSH_9.2", "kex": "curve25519-sha256", "cipher": "aes128-gcm@openssh.com"}


LOGIN_CPU_S = float(os.environ.get("LOGIN_CPU_MS", "0")) / 1000


def _nothing() -> None:
    pass


class InstantSource:
    """Implements `CredentialSource`."""

    async def turn(self, ref: CredentialRef) -> Callable[[], None]:
        del ref
        return _nothing

    async def settle(self, ref: CredentialRef) -> SecretHandle:
        return SecretHandle(ref, 1)

    async def approval(self, handle: SecretHandle) -> None:
        del handle

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
    ) -> Credential:
        del private_key, purpose, terms, checked_out, anew
        if views is not None:
            views.append(View(vault=handle.ref.vault, secret_id=handle.secret_id, asked=0.0, answered=0.0))
        return Credential(user="scan", password="as good as any")


class InstantLogin:
    """Implements `Login`."""

    def __init__(self, ledger: PhaseLedger) -> None:
        self._ledger = ledger
        self.submitted = self.proven = False
        self.elevation = Elevation.UNTRIED

    async def greet(self) -> None:
        return None

    async def negotiate(self) -> Negotiated:
        self._ledger.enter(Phase.KEX)
        return Negotiated(facts=_FACTS)

    async def prepare(self, candidate: Candidate) -> None:
        del candidate

    async def authenticate(
        self,
        candidate: Candidate,
        credential: Credential,
        following: Callable[[int], Awaitable[Credential | Failure]] | None = None,
    ) -> Authenticated:
        del candidate, credential, following
        self.submitted = True
        until = time.thread_time() + LOGIN_CPU_S
        while time.thread_time() < until:
            pass
        return Authenticated()

    async def privileges(self, ask_root: Callable[[], Awaitable[str | Failure]] | None = None) -> Privileges:
        del ask_root
        return Privileges(facts={"uid": "1000"})


def instant_login(sock: socket, job: Job, ledger: PhaseLedger) -> AbstractAsyncContextManager[Login]:
    del sock, job

    @asynccontextmanager
    async def opened() -> AsyncIterator[Login]:
        yield InstantLogin(ledger)

    return opened()


@asynccontextmanager
async def instant_kit(
    hello: Hello,
    bus: ApplianceBus,
    tokens: Callable[[str], Callable[[int | None], Awaitable[Any]]],
    lag: LoopLag,
    handshakes: anyio.CapacityLimiter,
) -> AsyncIterator[Kit]:
    """In place of `wiring.kit_for`."""
    del tokens
    urls = {access.title: access.url for access in hello.vaults}
    with socket() as nowhere:

        async def dial(
            address: str, port: int, ledger: PhaseLedger, /, *, allow: Callable[[str], bool], facts: dict[str, str]
        ) -> socket:
            del port, facts
            ledger.enter(Phase.TCP)
            assert allow(address), address
            return nowhere

        async with open_desk(bus) as desk:
            yield Kit(
                appliance=hello.appliance,
                policy=Policy.of(hello.networks, hello.host_keys, urls),
                sources={access.title: InstantSource() for access in hello.vaults},
                dial=dial,
                logins={Technology.UNIX: instant_login},
                desk=desk,
                handshakes=handshakes,
                lag=lag.worst,
            )


if __name__ == "__main__":
    wiring.kit_for = instant_kit
    worker.main()
