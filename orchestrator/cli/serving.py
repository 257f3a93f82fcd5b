"""`serve`: hold the state directory until SIGTERM, execute what others submit and what schedules
begin, go on with what was interrupted; on a bus of the user's own also with runs of other orchestrators that have died.

Asked to end, it takes no more runs and lets those in hand end what they have in flight, within DRAIN_S. They are paused
then, until the next `serve` goes on with them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import anyio
from anyio import to_thread

from appliance.lag import LoopLag
from appliance.listener import Endpoint, ListenError, listening
from appliance.logs import get_logger
from orchestrator.campaign_model import Campaign
from orchestrator.cli.acquiring import acquire
from orchestrator.cli.arguments import Where
from orchestrator.cli.control import Desk
from orchestrator.cli.errors import BadInput, Exit, Incomplete
from orchestrator.cli.firing import Firing, LeasedTurns, StoredRuns, scheduled
from orchestrator.cli.holding import engine_for
from orchestrator.cli.restarting import ReadOnce, go_on, take_over
from orchestrator.cli.running import interruptible
from orchestrator.cli.service_pages import Pages
from orchestrator.metrics import Metrics
from orchestrator.scheduler import Scheduler
from orchestrator.state_dir import Held, HolderInfo
from orchestrator.tally import Tally
from orchestrator.zones import DEFAULT_ZONE

DRAIN_S = 60.0
"""For what is in flight when we are asked to end. Who starts us should wait a little longer before he kills."""

log = get_logger()


@dataclass(frozen=True, slots=True)
class Serving:
    """What `serve` is told."""

    listen: str
    zone: str | None
    """Of the appliance that it brings along; on a bus of the user's own, see `Pages.zone`."""
    capacity: int
    drain: float = DRAIN_S
    campaigns: tuple[Path, ...] = ()
    """Whose schedules begin runs."""


async def serve(where: Where, asked: Serving) -> Exit:
    """Until SIGTERM or Ctrl-C. OK when all that was in flight has ended, INCOMPLETE when some was cut off."""
    try:
        at = Endpoint.parse(asked.listen)
    except ListenError as error:
        raise BadInput(f"--listen: {error}") from None
    campaigns = await to_thread.run_sync(scheduled, asked.campaigns)
    held = await acquire(where)
    if isinstance(held, HolderInfo):
        raise BadInput(
            f"process {held.pid} holds the state directory {where.state}: end it first, or name another with --state"
        )
    with held:
        return await _hold(held, where, asked, at, campaigns)


async def _hold(held: Held, where: Where, asked: Serving, at: Endpoint, campaigns: Mapping[str, Campaign]) -> Exit:
    pages = Pages(zone=asked.zone or "")
    async with AsyncExitStack() as stack:
        try:
            heard = await stack.enter_async_context(listening(at, pages.by_path()))
        except ListenError as error:
            raise BadInput(f"--listen: {error}") from None
        tally, lag = Tally(), LoopLag()
        async with (
            interruptible() as interrupt,
            engine_for(held, where, asked.zone or DEFAULT_ZONE, asked.capacity, tally) as engine,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(lag.run, name="serve: loop lag")
            desk = Desk(engine, tasks)
            async with engine.served(desk.answer):
                pages.engine, pages.metrics = engine, Metrics(engine.service, engine.bus, tally, lag.worst)
                name = engine.keeper.owner
                log.info("serving", url=heard.url, state=str(where.state), zone=engine.zone, pid=os.getpid(), name=name)
                read, ours = ReadOnce(), where.nats is None
                took = await go_on(desk, engine.store, tasks, read, brings_logins=ours)
                if not ours:
                    tasks.start_soon(take_over, desk, engine.store, tasks, took, name="serve: runs of others")
                firing = Firing(desk, campaigns, read, ours)
                scheduler = Scheduler(
                    engine.store.schedules, StoredRuns(engine.store.runs), LeasedTurns(engine.keeper), time.time
                )
                async with anyio.create_task_group() as firings:  # over before the desk closes: no fire is used up
                    firings.start_soon(scheduler.run, firing.schedules, firing.submit, name="serve: schedules")
                    await interrupt.wait()
                    firings.cancel_scope.cancel()
                await _drain(desk, asked.drain)
            tasks.cancel_scope.cancel()
    log.info("ended")
    return Exit.OK


async def _drain(desk: Desk, bound: float) -> None:
    """Raises Incomplete when the bound is over."""
    log.info("ending: no more runs are taken; what is in flight ends", within=bound)
    await desk.close("this process is about to end; submit the run to the one that comes after it")
    with anyio.move_on_after(bound):
        await desk.wait_until_idle()
        return
    raise Incomplete(
        f"what was in flight has not ended within {bound:g} s and is cut off; "
        "the next `keymuster serve` goes on with its run"
    )
