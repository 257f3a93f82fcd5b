"""A stand-alone appliance: a supervisor by its own file, with metrics where it is asked for them."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio

from appliance.bus.appliance_side import JetStreamAppliance
from appliance.bus.opening import open_bus
from appliance.exposition import metrics_page
from appliance.lag import LoopLag
from appliance.listener import Endpoint, Page, listening
from appliance.logs import bind_contextvars, get_logger
from appliance.long_lived import settle_in
from appliance.metrics import families
from appliance.sealed_logins import SealedBox, follow
from appliance.settings import Settings
from appliance.signals import drain_on_signal
from appliance.supervisor import Admissions, Supervisor
from appliance.vault.definition import VaultLogin

log = get_logger()


async def serve_alone(settings: Settings, fast_path: bool, metrics: Endpoint | None) -> None:
    """A stand-alone appliance: every run of its zone is served, within its own policy. Where it is sent vault logins,
    none is served before they have come.
    """
    settle_in()
    own, box, identity = settings.own_logins(), settings.box(), settings.identity(fast_path=fast_path)
    bind_contextvars(appliance=identity.appliance)
    admissions = Admissions(settings.admission(own) if box is None else None)
    async with open_bus(identity.bus, identity.appliance, identity.zone) as bus:
        supervisor = Supervisor(identity, bus, admissions)
        lag = LoopLag()

        def use(sent: tuple[VaultLogin, ...]) -> None:
            admissions.admit_all(settings.admission((*own, *sent)))

        async with _exposed(metrics, supervisor, lag), anyio.create_task_group() as tasks:
            await tasks.start(drain_on_signal, supervisor.draining, tasks.cancel_scope, name="supervisor: signals")
            tasks.start_soon(lag.run, name="supervisor: loop lag")
            if box is not None:
                tasks.start_soon(_follow, bus, box, use, name="supervisor: vault logins")
            await supervisor.serve()
            tasks.cancel_scope.cancel()


async def _follow(bus: JetStreamAppliance, box: SealedBox, use: Callable[[tuple[VaultLogin, ...]], None]) -> None:
    async with bus.logins() as sent:
        await follow(sent, box, use, time.time)


@asynccontextmanager
async def _exposed(at: Endpoint | None, supervisor: Supervisor, lag: LoopLag) -> AsyncIterator[None]:
    """Raises ListenError."""
    if at is None:
        yield
        return

    async def page() -> Page:
        return await metrics_page(families(supervisor, lag.worst))

    async def ready() -> Page:
        return Page("ok\n") if supervisor.bus.connected else Page("bus: not connected\n", 503)

    async with listening(at, {"/metrics": page, "/readyz": ready}) as heard:
        log.info("metrics", url=f"{heard.url}/metrics")
        yield
