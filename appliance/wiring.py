"""The one module of the appliance that names a scan's adapters: logins, vault source, dial."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import anyio

from appliance.bus import ApplianceBus
from appliance.channel import Hello
from appliance.contract import Failure, Technology
from appliance.desk import open_desk
from appliance.jump import open_jumps
from appliance.lag import LoopLag
from appliance.login.dial import Sources, dial
from appliance.login.resolver import Resolver
from appliance.login.smb import smb_login
from appliance.login.ssh import ssh_login
from appliance.login.ssh_jump import ssh_gate
from appliance.policy import Policy
from appliance.scan import Kit
from appliance.vault import CredentialSource
from appliance.vault.secret_server import FETCH_PATIENCE, SecretServerSource, open_source
from appliance.vault.shared import open_shared
from appliance.vault.tokens import Token

TokenSource = Callable[[int | None], Awaitable[Token | Failure]]


@asynccontextmanager
async def kit_for(
    hello: Hello,
    bus: ApplianceBus,
    tokens: Callable[[str], TokenSource],
    lag: LoopLag,
    handshakes: anyio.CapacityLimiter,
) -> AsyncIterator[Kit]:
    """What the scans of one run need, for as long as the context is open."""
    urls = {access.title: access.url for access in hello.vaults}
    policy = Policy.of(hello.networks, hello.host_keys, urls)
    async with AsyncExitStack() as stack:
        sources: dict[str, CredentialSource] = {}
        vaults: list[SecretServerSource] = []
        for access in hello.vaults:
            opened = open_source(
                access,
                tokens(access.title),
                settle_patience=FETCH_PATIENCE,  # a scan waits no longer for either
                room=max(1, hello.capacity // len(hello.vaults)),
            )
            source = await stack.enter_async_context(opened)
            vaults.append(source)
            shared = open_shared(source, access.max_age) if access.fetch == "shared" else None
            sources[access.title] = source if shared is None else await stack.enter_async_context(shared)

        def call_off() -> None:
            for vault in vaults:
                vault.call_off()

        from_, resolver = Sources(hello.source_v4, hello.source_v6), Resolver()
        connect = partial(dial, sources=from_, resolver=resolver)
        desk = await stack.enter_async_context(open_desk(bus))
        jumps = await stack.enter_async_context(open_jumps(policy, sources, connect, ssh_gate, desk, handshakes))
        yield Kit(
            appliance=hello.appliance,
            policy=policy,
            sources=sources,
            dial=connect,
            logins={
                Technology.UNIX: partial(ssh_login, fast=hello.fast_path),
                Technology.WINDOWS: partial(
                    smb_login,
                    allow=policy.allows_address,
                    sources=from_,
                    resolver=resolver,
                    fast=hello.fast_path,
                ),
            },
            desk=desk,
            handshakes=handshakes,
            lag=lag.worst,
            jumps=jumps,
            call_off=call_off,
        )
