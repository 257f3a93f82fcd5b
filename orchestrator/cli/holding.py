"""Who executes a run: this process, when it can hold the state directory, or the one that holds it already."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import anyio

from orchestrator.campaign_model import Campaign
from orchestrator.cli.appliance_child import Login
from orchestrator.cli.arguments import Show, Where
from orchestrator.cli.control import Desk
from orchestrator.cli.engine import Engine, attached, embedded
from orchestrator.cli.errors import BadInput, Exit
from orchestrator.cli.passwords import logins_of
from orchestrator.cli.progress import ProgressDisplay
from orchestrator.cli.reporting import write_report
from orchestrator.cli.running import Order, exit_code, interruptible, say_how_it_goes_on, watched
from orchestrator.cli.storing import find_run
from orchestrator.explain import unserved
from orchestrator.exposure import exposures_of
from orchestrator.state_dir import Held
from orchestrator.tally import Tally


def logins(where: Where, campaign: Campaign) -> tuple[Login, ...]:
    """The vault logins that a run brings along; none to a bus of the user's own, whose appliances have theirs."""
    return () if where.nats else logins_of(campaign)


async def hold(held: Held, where: Where, order: Order, show: Show) -> Exit:
    """Execute a run as the holder of the state directory, and stay for those that others submit meanwhile."""
    prepared = order.prepared
    async with (
        interruptible() as interrupt,
        engine_of(held, where, prepared.campaign) as engine,
        anyio.create_task_group() as tasks,
    ):
        desk = Desk(engine, tasks)
        async with engine.served(desk.answer):
            course = await desk.begin(order)
            warnings = exposures_of(prepared.record.snapshot).values()
            with ProgressDisplay(enabled=show.progress, warnings=warnings) as display:
                display.note(f"run {prepared.record.id}: {prepared.record.planned} planned")
                if without := unserved(prepared.plan):
                    display.note(without)
                drive = partial(desk.drive, prepared.record.id)
                standing = await watched(course, drive, interrupt, display)
            record = await find_run(engine.store, prepared.record.id)
            gates_ok = await write_report(engine.store, record, show.form, show.output)
            say_how_it_goes_on(record)
            await _stay(desk, interrupt)
        tasks.cancel_scope.cancel()
    return exit_code(standing.state, interrupted=interrupt.is_set(), gates_ok=gates_ok)


async def _stay(desk: Desk, interrupt: anyio.Event) -> None:
    """Until the last submitted run has ended; an interrupt stops those too."""
    if desk.busy:
        sys.stderr.write("staying until the runs that were submitted meanwhile have ended\n")
    async with anyio.create_task_group() as tasks:

        async def obey() -> None:
            await interrupt.wait()
            await desk.leave_all()

        tasks.start_soon(obey, name="holder: interrupt")
        await desk.wait_until_idle()
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def engine_of(held: Held, where: Where, campaign: Campaign) -> AsyncIterator[Engine]:
    """The engine that the command line asks for, as a campaign needs it."""
    async with engine_for(held, where, campaign.pace.zone, campaign.pace.capacity) as engine:
        yield engine


@asynccontextmanager
async def engine_for(
    held: Held, where: Where, zone: str, capacity: int, tally: Tally | None = None
) -> AsyncIterator[Engine]:
    """The engine that the command line asks for. `tally`: counts what it does. Raises BadInput, Unreachable."""
    if where.nats is None:
        opened = embedded(held, where.home, zone=zone, capacity=capacity, fast_path=where.fast_path, tally=tally)
        async with opened as engine:
            yield engine
    elif not where.fast_path:
        raise BadInput("--no-fast-path is for our own appliance; with --nats, give it to `keymuster appliance serve`")
    else:
        async with attached(held, where, zone=zone, tally=tally) as engine:
            yield engine
