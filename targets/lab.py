"""The whole estate, started and stopped: hosts, vault, control, and the files that tell others about it."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
from aiohttp import web

from targets import control, estate, truth, vault_files
from targets.held import held
from targets.secret_server import server, tls
from targets.secret_server.orders import LAB
from targets.shards import steering
from targets.shards.hub import Fleet, Sharded
from targets.smb import host as smb_host
from targets.spec import EstateError, Reach
from targets.ssh import host as ssh_host
from targets.ssh import host_keys
from targets.world import World

STOP_WITHIN = 0.3
"""Seconds that a server has to end; what is left then is cut."""
Ports = Mapping[estate.Technology, int]
LOOPBACK, EVERY_DEVICE = "127.0.0.1", "0.0.0.0"  # noqa: S104 - where the estate's file says so
TICK_S = 0.2
"""Seconds between two looks at what time alone brings."""


@dataclass(frozen=True, slots=True)
class Ready:
    """Where everything is; its JSON is the ready line."""

    vault_url: str
    vault_user: str
    vault_password_file: str
    vault_users_file: str
    """All users of the vault with their passwords and rights, as JSON."""
    vault_ca: str | None
    """The CA to trust, where the certificate was made here."""
    vault_pin: str | None
    """By https: `sha256//` and base64, as curl's --pinnedpubkey takes it."""
    vault_client_cert: str | None
    """Where clients must show one: this one, and its key."""
    vault_client_key: str | None
    metrics_url: str
    control_url: str
    ssh_port: int
    smb_port: int
    closed_port: int
    truth: str
    known_hosts: str
    """An OpenSSH known_hosts file of all SSH hosts, as somebody would have it who has seen them before."""
    user_ca: str
    """The private key, without a passphrase, of the CA whose user certificates every SSH host takes."""

    def line(self) -> str:
        return json.dumps(asdict(self))


@dataclass(frozen=True, slots=True)
class VaultReady:
    """Where a vault without hosts is."""

    url: str
    user: str
    password_file: str
    users_file: str
    ca: str | None
    pin: str | None
    """By https: `sha256//` and base64, as curl's --pinnedpubkey takes it."""
    client_cert: str | None
    """Where clients must show one: this one, and its key."""
    client_key: str | None
    lab_url: str
    """Orders and metrics: see `control`."""
    secrets: int

    def line(self) -> str:
        return json.dumps(asdict(self))


@asynccontextmanager
async def running(
    what: estate.Estate, state: Path, sharded: Sharded | None = None
) -> AsyncIterator[tuple[Ready, World]]:
    """Serve an estate until the context is left; its hosts in this process, or in shards that have been forked. Raises
    EstateError when `state` or the certificate cannot be used, or another lab serves from there, and ShardError.

    `metrics.json` in `state` says where the counters are served while this lasts, and holds them when it is over.
    """
    truth_file, metrics_file = state / "truth.ndjson", state / "metrics.json"
    async with AsyncExitStack() as afterwards, AsyncExitStack() as stack:
        await afterwards.enter_async_context(held(state))
        files = await anyio.to_thread.run_sync(vault_files.prepare, what, state)
        world, ports = await stack.enter_async_context(
            _hosts_served(what) if sharded is None else _sharded(what, sharded)
        )
        stack.enter_context(_ticking(world))
        closed_port = stack.enter_context(steering.refusing(what.hosts, what.reach))
        vault_port = await stack.enter_async_context(_vault(what, world, files.context))
        control_port = await stack.enter_async_context(_http(control.application(world), None))
        rows = truth.truth(what, ports=ports, closed_port=closed_port)
        await anyio.Path(truth_file).write_text("".join(json.dumps(row) + "\n" for row in rows))
        known, user_ca = state / "known_hosts", state / "user-ca"
        await anyio.Path(known).write_text("".join(host_keys.known_hosts(what, ports["unix"])))
        await anyio.to_thread.run_sync(tls.write_private, user_ca, host_keys.user_ca(what))
        base = f"http://127.0.0.1:{control_port}"
        metrics_url = f"{base}/metrics.json"
        await anyio.to_thread.run_sync(_replace, metrics_file, {"since": world.metrics.since, "url": metrics_url})
        afterwards.push_async_callback(_leave_counters, world, metrics_file)
        ready = Ready(
            vault_url=files.url(vault_port, what.vault),
            vault_user=what.vault.user,
            vault_password_file=str(files.password),
            vault_users_file=str(files.users),
            vault_ca=None if files.ca is None else str(files.ca),
            vault_pin=files.pin,
            vault_client_cert=None if files.clients is None else str(files.clients.certificate),
            vault_client_key=None if files.clients is None else str(files.clients.key),
            metrics_url=metrics_url,
            control_url=base,
            ssh_port=ports["unix"],
            smb_port=ports["windows"],
            closed_port=closed_port,
            truth=str(truth_file),
            known_hosts=str(known),
            user_ca=str(user_ca),
        )
        await world.begin()
        yield ready, world


@asynccontextmanager
async def _hosts_served(what: estate.Estate) -> AsyncIterator[tuple[World, Ports]]:
    with steering.doors(what.hosts, reach=what.reach) as [doors]:
        world = World(what)
        async with ssh_host.listening(world, doors.ssh), smb_host.listening(world, doors.smb):
            yield world, {"unix": doors.ssh_port, "windows": doors.smb_port}


@asynccontextmanager
async def _vault(what: estate.Estate, world: World, certificate: ssl.SSLContext | None) -> AsyncIterator[int]:
    """Its port. Raises EstateError."""
    host = LOOPBACK if what.reach is Reach.LOOPBACK else EVERY_DEVICE
    async with AsyncExitStack() as stack:
        try:
            port = await stack.enter_async_context(_http(server.application(world), certificate, what.vault.port, host))
        except OSError as error:
            raise EstateError(f"the vault cannot listen on port {what.vault.port}: {error.strerror}") from None
        yield port


@asynccontextmanager
async def _sharded(what: estate.Estate, sharded: Sharded) -> AsyncIterator[tuple[World, Ports]]:
    fleet = Fleet(sharded.children)
    world = World(what, servers=fleet)
    async with fleet.running(world), anyio.create_task_group() as group:
        group.start_soon(fleet.watch, name="the shards, that none of them ends")
        yield world, sharded.ports
        group.cancel_scope.cancel()


async def _leave_counters(world: World, file: Path) -> None:
    """What was counted, when nobody can log in any more. Raises EstateError."""
    final = {**await world.report(), "until": time.time()}
    with anyio.CancelScope(shield=True):
        await anyio.to_thread.run_sync(_replace, file, final)


def _replace(file: Path, document: Mapping[str, Any]) -> None:
    """Whole or not at all: somebody may be reading. Raises EstateError."""
    new = file.with_name(f"{file.name}.new")
    try:
        new.write_text(json.dumps(document), encoding="utf-8")
        new.replace(file)
    except OSError as error:
        raise EstateError(f"cannot write the counters to {file}: {error.strerror}") from None


@asynccontextmanager
async def vault_alone(what: estate.Estate, state: Path, port: int) -> AsyncIterator[tuple[VaultReady, World]]:
    """Serve an estate's vault, and none of its hosts. Raises EstateError as `running` does, for a taken port too."""
    world = World(what)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(held(state))
        files = await anyio.to_thread.run_sync(vault_files.prepare, what, state)
        stack.enter_context(_ticking(world))
        try:
            at = await stack.enter_async_context(_http(server.application(world), files.context, port))
        except OSError as error:
            raise EstateError(f"cannot listen on port {port}: {error.strerror}; --port 0 takes a free one") from None
        url = files.url(at, what.vault)
        ready = VaultReady(
            url=url,
            user=what.vault.user,
            password_file=str(files.password),
            users_file=str(files.users),
            ca=None if files.ca is None else str(files.ca),
            pin=files.pin,
            client_cert=None if files.clients is None else str(files.clients.certificate),
            client_key=None if files.clients is None else str(files.clients.key),
            lab_url=f"{url.removesuffix(what.vault.mount)}{LAB}",
            secrets=len(what.secrets),
        )
        await world.begin()
        yield ready, world


@contextmanager
def _ticking(world: World) -> Iterator[None]:
    """Password changes reach hosts, check-outs end and events happen, whether or not anybody asks the vault."""
    loop = asyncio.get_running_loop()
    timer: asyncio.TimerHandle | None = None

    def tick() -> None:
        nonlocal timer
        world.service.tick()
        timer = loop.call_later(TICK_S, tick)

    tick()
    try:
        yield
    finally:
        world.timeline.end()
        if timer is not None:
            timer.cancel()


@asynccontextmanager
async def _http(
    app: web.Application, certificate: ssl.SSLContext | None, port: int = 0, host: str = LOOPBACK
) -> AsyncIterator[int]:
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=STOP_WITHIN / 2)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port, ssl_context=certificate, backlog=steering.BACKLOG)
        await site.start()
        yield runner.addresses[0][1]
    finally:
        with anyio.move_on_after(STOP_WITHIN, shield=True):
            await runner.cleanup()
