"""Who executes a run: this process, when it can hold the state directory, or the one that holds it already."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

import anyio
import anyio.to_thread

from orchestrator.campaign_model import Campaign
from orchestrator.cli.appliance_child import Login
from orchestrator.cli.arguments import Show, Where
from orchestrator.cli.control import POLL_S, Client, Desk
from orchestrator.cli.engine import Engine, attached, embedded
from orchestrator.cli.errors import BadInput, Exit, Incomplete
from orchestrator.cli.holder import client_of
from orchestrator.cli.passwords import logins_of
from orchestrator.cli.progress import ProgressDisplay
from orchestrator.cli.reporting import write_report
from orchestrator.cli.running import Order, exit_code, interruptible, watched
from orchestrator.cli.storing import find_run, stored
from orchestrator.explain import unserved
from orchestrator.exposure import exposures_of
from orchestrator.state_dir import Held, HolderInfo, holder_of
from orchestrator.tally import Tally

Submit = Callable[[Client], Awaitable[str]]
"""Hands a run to the holder and gives its id."""


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
        async with engine.bus.serve_control(desk.answer):
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


async def through(holder: HolderInfo, where: Where, show: Show, submit: Submit) -> Exit:
    """Let the holder execute the run; watch it, and report it from the shared store."""
    if not where.fast_path:
        who = f"process {holder.pid}, which holds {where.state} and has started its appliance already"
        raise BadInput(f"--no-fast-path is not for {who}: wait until it has ended, or name another --state")
    _same_store(holder, where)
    async with interruptible() as interrupt, client_of(holder, where) as client:
        run_id = await submit(client)
        async with stored(where.home) as store:
            warnings = exposures_of((await find_run(store, run_id)).snapshot).values()
        with ProgressDisplay(enabled=show.progress, warnings=warnings) as display:
            display.note(f"run {run_id}: submitted to process {holder.pid}, which holds {where.state}")
            stopped = False
            while (progress := await client.progress(run_id)) is not None or await _goes_on(holder, where, run_id):
                if progress is not None:
                    display.show(progress)
                if interrupt.is_set() and not stopped:
                    stopped = True
                    await client.stop(run_id)
                await anyio.sleep(POLL_S)
        async with stored(where.home) as store:
            record = await find_run(store, run_id)
            if record.state.under_way:
                raise Incomplete(
                    f"process {holder.pid} ended while run {run_id} was under way; "
                    f"`keymuster run --resume {run_id}` goes on with it"
                )
            gates_ok = await write_report(store, record, show.form, show.output)
    return exit_code(record.state, interrupted=stopped, gates_ok=gates_ok)


async def _goes_on(holder: HolderInfo, where: Where, run_id: str) -> bool:
    """Was only an answer lost? A bus of the user's own may lose one, when a server of it is restarted: its holder is
    there still then, and the run under way.
    """
    if holder.url is not None or await anyio.to_thread.run_sync(holder_of, where.state) != holder.pid:
        return False
    async with stored(where.home) as store:
        return (await find_run(store, run_id)).state.under_way


def _same_store(holder: HolderInfo, where: Where) -> None:
    """Raises BadInput: the run would be looked for where it is not. A holder on a bus of the user's own does not say
    where its store is; the run is not found then.
    """
    if holder.url is None:
        return
    ours = where.home.store.where if where.home.store else ""
    if ours != holder.store:
        theirs = f"--store {holder.store}" if holder.store else "no --store"
        raise BadInput(
            f"process {holder.pid}, which holds {where.state}, was started with {theirs}: say the same, wait until it "
            "has ended, or name another --state"
        )


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
        async with attached(where, zone=zone, tally=tally) as engine:
            yield engine
