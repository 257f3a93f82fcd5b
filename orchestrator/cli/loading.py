"""`keymuster load`: a campaign, or an estate that is served for it, under a rate of arrivals; and its report."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
import tomllib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from orchestrator.assembly import Selection
from orchestrator.campaign import load_campaign
from orchestrator.campaign_model import Campaign
from orchestrator.cli.acquiring import acquire
from orchestrator.cli.arguments import Home, Where
from orchestrator.cli.control import Desk
from orchestrator.cli.cpu_use import CpuMeter
from orchestrator.cli.engine import Engine, new_lease
from orchestrator.cli.errors import BadInput, Exit
from orchestrator.cli.estate_files import read_truth
from orchestrator.cli.holding import engine_of, logins
from orchestrator.cli.lab import campaign_text, serving
from orchestrator.cli.load_display import LoadDisplay
from orchestrator.cli.output import check_output, written_to
from orchestrator.cli.running import Order, check, interruptible, new_order
from orchestrator.controller import RunController
from orchestrator.lease_keeper import LeaseKeeper, run_lease
from orchestrator.load.driving import Driver, LoadTest, load_test
from orchestrator.load.rate import Rate, Schedule, parse_duration
from orchestrator.load.result import LoadResult, result_of
from orchestrator.load.scope import ScopeError, beyond, scope_of
from orchestrator.report.load import LoadFormat, write_load
from orchestrator.state_dir import Held, HolderInfo

PREFIX = "load-"
SHOW_S = 0.5
_CLOSED = (
    "a load test holds the state directory, and what runs beside it would be measured too: wait until it has ended"
)
_CAMPAIGN_KEYS = frozenset({"name", "vaults", "records", "targets", "pace", "gate"})
_ESTATE_KEYS = frozenset({"seed", "vault", "directories", "hosts", "secrets", "timeline"})


class What(StrEnum):
    """What an arrival does."""

    LOGINS = "logins"
    VAULT_ONLY = "vault-only"


@dataclass(frozen=True, slots=True)
class LoadOrder:
    """What was asked, read and found good."""

    file: Path
    schedule: Schedule
    what: What
    scope: tuple[str, ...]
    outputs: tuple[tuple[Path, LoadFormat], ...]
    json: bool
    """JSON on stdout, and no table."""
    progress: bool


def load_order(
    file: Path,
    rate: str,
    duration: str,
    what: What,
    scope: Sequence[str],
    outputs: Sequence[Path],
    *,
    json: bool,
    progress: bool,
) -> LoadOrder:
    """Raises BadInput."""
    try:
        schedule = Schedule.of(Rate.parse(rate), parse_duration(duration))
        scope_of(scope)
    except ValueError as error:
        raise BadInput(str(error)) from None
    for output in outputs:
        check_output(output)
    forms = tuple((output, _form(output)) for output in outputs)
    return LoadOrder(file, schedule, what, tuple(scope), forms, json, progress)


def _form(output: Path) -> LoadFormat:
    try:
        return LoadFormat(output.suffix.removeprefix(".").lower())
    except ValueError:
        raise BadInput(f"--output {output}: the name's end says the format; end it in .html or .json") from None


async def load(where: Where, state_named: bool, order: LoadOrder) -> Exit:
    """An estate's state directory is as short-lived as the estate, unless the user has named one: its accounts are no
    others', though their hosts' addresses may be.
    """
    if not await anyio.to_thread.run_sync(_is_estate, order.file):
        return await _test(where, await anyio.to_thread.run_sync(load_campaign, order.file), order)
    if where.nats is not None:
        raise BadInput(
            "an estate is served on this machine's loopback, for appliances of this command: leave out --nats, or "
            "serve it with `keymuster lab up` and give the campaign to this command"
        )
    async with _home() as home, serving(order.file, home / "lab") as ready:
        campaign = await anyio.to_thread.run_sync(_campaign_of, ready, home / "campaign.toml", order.file.stem)
        return await _test(where if state_named else replace(where, home=Home(home / "state")), campaign, order)


@asynccontextmanager
async def _home() -> AsyncIterator[Path]:
    """A directory for the estate's files, gone afterwards."""
    home = Path(await anyio.to_thread.run_sync(lambda: tempfile.mkdtemp(prefix="keymuster-load-")))
    try:
        yield home
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(lambda: shutil.rmtree(home, ignore_errors=True))


def _campaign_of(ready: Mapping[str, Any], file: Path, name: str) -> Campaign:
    """The campaign for an estate that is up."""
    truth = read_truth(Path(ready["truth"]))
    sys.stderr.write(f"{len(truth)} simulated hosts and a Secret Server are up\n")
    file.write_text(campaign_text(ready, truth, name=name), encoding="utf-8")
    return load_campaign(file)


def _is_estate(file: Path) -> bool:
    """Raises BadInput for what is neither; a file that cannot be read as TOML is left to the campaign's reader."""
    try:
        keys = tomllib.loads(file.read_text(encoding="utf-8-sig")).keys()
    except (OSError, ValueError, RecursionError):
        return False
    campaign, estate = keys & _CAMPAIGN_KEYS, keys & _ESTATE_KEYS
    if keys and not campaign and not estate:
        raise BadInput(
            f"{file}: neither a campaign nor an estate; a campaign has [[vaults]], [[records]] and [targets], "
            "an estate has [[hosts]] (`keymuster init`, `keymuster lab preset small`)"
        )
    return len(estate) > len(campaign)


async def _test(where: Where, campaign: Campaign, order: LoadOrder) -> Exit:
    try:
        outside = beyond(campaign, scope_of(order.scope), vault_only=order.what is What.VAULT_ONLY)
    except ScopeError as error:
        raise BadInput(str(error)) from None
    if outside:
        raise BadInput(
            "a load test stays on loopback unless you say where else it may go. Outside are: "
            + "; ".join(outside)
            + ". Name them with --scope (a CIDR block, an address, a name; may be given several times)"
        )
    held = await acquire(where)
    if isinstance(held, HolderInfo):
        raise BadInput(
            f"process {held.pid} holds the state directory {where.state}, and a load test wants it for itself: wait "
            "until it has ended. (Another --state would pace the same accounts twice)"
        )
    with held:
        found = new_order(campaign, Selection(), logins(where, campaign), prefix=PREFIX)
        if where.nats is not None and len(zones := found.prepared.plan.by_zone()) > 1:
            raise BadInput(
                f"a load test is of one zone, and the campaign's targets are in {', '.join(map(repr, zones))}; exclude "
                "those of the others"
            )
        result, interrupted = await _hold(held, where, found, order)
    await _report(result, order)
    return Exit.INTERRUPTED if interrupted else Exit.OK


async def _hold(held: Held, where: Where, run: Order, order: LoadOrder) -> tuple[LoadResult, bool]:
    """Be the holder of the state directory for one load test; an admin's stops are heard meanwhile."""
    prepared = run.prepared
    stand_in = "" if where.nats is not None else prepared.campaign.pace.zone
    vault_only = order.what is What.VAULT_ONLY
    test = load_test(prepared, order.schedule, new_lease, vault_only=vault_only, stand_in=stand_in)
    async with (
        interruptible() as interrupt,
        engine_of(held, where, prepared.campaign) as engine,
        anyio.create_task_group() as tasks,
    ):
        desk = Desk(engine, tasks, closed=_CLOSED)
        async with engine.served(desk.answer):
            await check(engine, run)
            with LoadDisplay(test, enabled=order.progress) as display:
                display.note(f"load test {prepared.record.id}: {test.schedule.rate} for {test.schedule.duration:g} s")
                stopped = await _drive(engine, test, interrupt, display)
            ended_at = time.time()
        tasks.cancel_scope.cancel()
    cores, targets = os.cpu_count() or 1, prepared.plan.count_all
    result = await anyio.to_thread.run_sync(
        lambda: result_of(
            test, campaign=prepared.campaign.name, targets=targets, cores=cores, ended_at=ended_at, stopped=stopped
        )
    )
    return result, interrupt.is_set()


async def _drive(engine: Engine, test: LoadTest, interrupt: anyio.Event, display: LoadDisplay) -> str:
    """Until it is over; why it was stopped, if it was."""
    run, zone, meter = test.plan.run, engine.stand_in or test.plan.zones.homes[0], CpuMeter()
    stopped: list[str] = []

    async with _in_hand(engine.keeper, run), anyio.create_task_group() as tasks:

        def ready(controller: RunController) -> None:
            driver = Driver(
                test=test,
                controller=controller,
                beats=lambda: engine.service.beats(zone),
                expected=engine.appliance.processes_for(test.plan.planned) if engine.appliance is not None else 1,
                capacity=lambda: engine.service.capacity(zone),
                cpu=lambda: anyio.to_thread.run_sync(meter),
            )
            engine.keeper.on_loss(run_lease(run), partial(_stop, driver, stopped, "its lease was lost"))
            tasks.start_soon(driver.run, name="load: driver")
            tasks.start_soon(_watch, driver, interrupt, stopped, display, name="load: interrupt")
            tasks.start_soon(_show, display, name="load: display")
            controllers.append(controller)

        controllers: list[RunController] = []
        try:
            await engine.service.execute(test.plan, test.dispatcher, controller_ready=ready, book=test.recorder)
        finally:
            with anyio.CancelScope(shield=True), anyio.move_on_after(5):
                if engine.appliance is not None:
                    await engine.appliance.dismiss(run)
        stopped += [controller.gave_up for controller in controllers if controller.gave_up]
        tasks.cancel_scope.cancel()
    return "; ".join(stopped)


@asynccontextmanager
async def _in_hand(keeper: LeaseKeeper, run: str) -> AsyncIterator[None]:
    """Other orchestrators' pacers remember a run for as long as somebody holds its lease. Raises BadInput."""
    if (owner := await keeper.take_run(run)) is not None:
        raise BadInput(f"run {run} is in the hands of orchestrator {owner}; give the command again")
    try:
        yield
    finally:
        keeper.off_loss(run_lease(run))
        with anyio.CancelScope(shield=True), anyio.move_on_after(5):
            await keeper.put_down(run)


async def _watch(driver: Driver, interrupt: anyio.Event, stopped: list[str], display: LoadDisplay) -> None:
    await interrupt.wait()
    display.note("stopping: waiting for what is in flight; interrupt again to abort")
    _stop(driver, stopped, "it was interrupted")


def _stop(driver: Driver, stopped: list[str], why: str) -> None:
    stopped.append(why)
    driver.stop()


async def _show(display: LoadDisplay) -> None:
    while True:
        display.show(time.time())
        await anyio.sleep(SHOW_S)


async def _report(result: LoadResult, order: LoadOrder) -> None:
    """In every form, though one finds no room: it must not cost what was measured. Raises the first one's BadInput or
    BrokenPipeError.
    """
    failed: BadInput | BrokenPipeError | None = None
    for output, form in [*order.outputs, (None, LoadFormat.JSON if order.json else LoadFormat.TABLE)]:
        try:
            await anyio.to_thread.run_sync(_write, result, form, output)
        except (BadInput, BrokenPipeError) as error:
            failed = failed or error
    if failed is not None:
        raise failed


def _write(result: LoadResult, form: LoadFormat, output: Path | None) -> None:
    with written_to(output) as out:
        write_load(result, form, out)
