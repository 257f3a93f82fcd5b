"""`run`, `rerun` and `run --resume`: from a campaign file to an exit code."""

from __future__ import annotations

import secrets
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from appliance.contract import Target
from orchestrator.assembly import Prepared, Selection, prepare, recall, run_id
from orchestrator.attempts import Planned
from orchestrator.campaign_model import Campaign, SnapshotError
from orchestrator.campaign_times import Window
from orchestrator.capacity.bounds import Site
from orchestrator.capacity.comparison import KEY, Foreseen, foreseen
from orchestrator.capacity.costs import Costs
from orchestrator.capacity.demand import demand_of
from orchestrator.capacity.history import learnt
from orchestrator.capacity.model import predict
from orchestrator.cli.appliance_child import Login
from orchestrator.cli.engine import Engine
from orchestrator.cli.errors import AbortedError, BadInput, Exit, NothingToDo
from orchestrator.cli.given import BY_ITSELF, Given
from orchestrator.cli.passwords import logins_of
from orchestrator.cli.progress import ProgressDisplay
from orchestrator.cli.sizing import own_site
from orchestrator.cli.storing import find_run
from orchestrator.course import Course, OrderError
from orchestrator.plan import NothingSelected
from orchestrator.records import jump_of
from orchestrator.run_state import Hold, NotAllowed, RunState, Standing, left_alone, step
from orchestrator.store import Store
from orchestrator.store.records import RunRecord, SeenKey
from orchestrator.windows import Closed, phase_at
from orchestrator.zone_vaults import vaults_by_zone

if TYPE_CHECKING:
    from orchestrator.known_hosts import KnownHosts

POLL_S = 0.25
TARGETS_MAX = 2**63 - 1
"""What a store can count."""
OWN_BUS = "own_bus"
"""In a run's snapshot: `Engine.own_bus` of where it began. A copy of a state directory has another name, so what is in
no store but its own has none.
"""


@dataclass(frozen=True, slots=True)
class Order:
    """A run to be executed: new, or an interrupted one to be resumed."""

    prepared: Prepared
    logins: tuple[Login, ...]
    given: Given = BY_ITSELF
    new: bool = True
    under_way: bool = False
    """Its vaults were asked when it began: whoever takes it over from a dead orchestrator does not ask them again."""


def drawn_run_id() -> str:
    """An id for a run that begins now."""
    return run_id(time.time(), secrets.token_hex(2))


def new_order(
    campaign: Campaign,
    selection: Selection,
    logins: tuple[Login, ...],
    *,
    run: str | None = None,
    parent: str | None = None,
    prefix: str = "",
    priority: int | None = None,
) -> Order:
    """Raises NothingToDo, BadInput. Reads the records' known_hosts files, which are small. `run`: its id, where
    somebody has drawn it; `prefix`: of its id.
    """
    now, seed = time.time(), secrets.randbits(32)
    marks, jump_marks = _marks(campaign), _marks(campaign, jumps=True)
    try:
        prepared = prepare(
            campaign,
            selection,
            run=prefix + (run or drawn_run_id()),
            seed=seed,
            now=now,
            parent=parent,
            priority=priority,
            marks=marks,
            jump_marks=jump_marks,
        )
    except ValueError as error:
        raise BadInput(str(error)) from None
    if isinstance(prepared, NothingSelected):
        raise NothingToDo(prepared.text)
    if prepared.record.planned > TARGETS_MAX:
        raise BadInput(
            f"{prepared.record.planned:,} targets are more than a run can count; name IPv6 hosts singly or in smaller "
            "blocks"
        )
    return Order(prepared, logins)


async def resumed_order(
    store: Store, run: str, given: Given, logins: tuple[Login, ...] | None = None, *, under_way: bool = False
) -> Order:
    """A run that nobody drives, as far as it came; the logins are read where none are given. Raises BadInput."""
    record = await find_run(store, run)
    now = time.time()
    if given.act is not None:
        allowed = step(record.id, left_alone(record.standing, now), given.act, at=now, by=given.by)
        if isinstance(allowed, NotAllowed):
            raise BadInput(allowed.text)
    prepared = recalled(record)
    return Order(prepared, logins if logins is not None else logins_of(prepared.campaign), given, False, under_way)


def course_of(engine: Engine, order: Order) -> Course:
    record = order.prepared.record
    windows = partial(phase_at, order.prepared.campaign.windows)
    course = Course(record.id, left_alone(record.standing, time.time()), engine.store.runs, time.time, windows)
    course.came_to(record.planned, {})  # what is known before the store has been asked
    return course


async def give(course: Course, given: Given) -> None:
    """Raises BadInput where the run cannot be told that now."""
    if given.act is None:
        return
    try:
        await course.order(given.act, by=given.by, why=given.why)
    except OrderError as error:
        raise BadInput(str(error)) from None


def recalled(record: RunRecord) -> Prepared:
    try:
        prepared = recall(record)
    except SnapshotError as error:
        raise BadInput(f"run {record.id}: {error}") from None
    if isinstance(prepared, NothingSelected):
        raise NothingToDo(prepared.text)
    return prepared


async def check_and_store(engine: Engine, order: Order) -> None:
    """As `check`; what is new is stored, with what earlier runs let expect of it."""
    await check(engine, order)
    if order.new:
        await engine.store.runs.add(await _with_prediction(engine, order.prepared))


async def check(engine: Engine, order: Order) -> None:
    """Before anything is planned: every vault answers and takes its login. Raises Unreachable, Incomplete."""
    prepared = order.prepared
    await engine.admit(prepared.record.id, prepared.campaign, order.logins)
    if not order.under_way:
        zones = engine.zoning(prepared)
        vaults = {} if zones.stand_in else vaults_by_zone(prepared.plan, prepared.campaign, zones)
        await engine.check_vaults(prepared.record.id, prepared.campaign, vaults)
    if order.new:
        await engine.store.host_keys.pin(await anyio.to_thread.run_sync(_known_keys, prepared))


async def _with_prediction(engine: Engine, prepared: Prepared) -> RunRecord:
    """The run's row, with what earlier runs let expect of it, and on whose bus it is."""
    costs = await learnt(engine.store, prepared.campaign.name)
    beats = [beat for zone in engine.zoning(prepared).all for beat in engine.service.beats(zone)]
    elsewhere = None if engine.appliance is not None else max(1, len(beats))
    site = own_site(prepared.campaign.pace.capacity, prepared.record.planned, elsewhere)
    told = await anyio.to_thread.run_sync(_foreseen, prepared, costs, site)
    marks = {KEY: told.data(), OWN_BUS: engine.own_bus} if engine.own_bus else {KEY: told.data()}
    return replace(prepared.record, snapshot={**prepared.record.snapshot, **marks})


def is_of_others(record: RunRecord, owner: str) -> bool:
    """Did it begin on a bus that `owner` is not on? Then only a human has it go on there."""
    return bool(record.snapshot.get(OWN_BUS, owner) != owner)


def _foreseen(prepared: Prepared, costs: Costs, site: Site) -> Foreseen:
    return foreseen(predict(demand_of(prepared.plan, prepared.campaign), costs, site), costs)


def _known_keys(prepared: Prepared) -> list[SeenKey]:
    """What the records' known_hosts files say of the run's targets. Raises BadInput."""
    of_record, of_jump = _known_hosts(prepared.campaign), _known_hosts(prepared.campaign, jumps=True)
    found: dict[SeenKey, None] = {}
    for jump, known in ((jump, of_jump.get(r.title)) for r in prepared.campaign.records if (jump := jump_of(r))):
        keys = known.of(Target(address=jump.address), jump.port) if known else []
        found |= dict.fromkeys((jump.address, jump.port, key, prepared.record.id) for key in keys)
    for planned in prepared.plan.walk() if of_record else ():
        for candidate in planned.candidates if isinstance(planned, Planned) else ():
            if candidate.record in of_record:
                keys = of_record[candidate.record].of(planned.target, candidate.port)
                address = planned.target.address
                found |= dict.fromkeys((address, candidate.port, key, prepared.record.id) for key in keys)
    return list(found)


def _known_hosts(campaign: Campaign, *, jumps: bool = False) -> dict[str, KnownHosts]:
    """By title, the known_hosts files of the records that have one, or of their jump hosts. Raises BadInput."""
    unix = [record for record in campaign.records if record.technology == "unix"]
    told = {r.title: (r.jump.known_hosts if r.jump else None) if jumps else r.known_hosts for r in unix}
    paths = {title: path for title, path in told.items() if path}
    if not paths:
        return {}
    from orchestrator.known_hosts import KnownHosts, KnownHostsError  # noqa: PLC0415 - see there

    try:
        files = {path: KnownHosts.read(Path(path)) for path in dict.fromkeys(paths.values())}
    except KnownHostsError as error:
        raise BadInput(str(error)) from None
    return {title: files[path] for title, path in paths.items()}


def _marks(campaign: Campaign, *, jumps: bool = False) -> dict[str, Sequence[str]]:
    """The marked lines of those files."""
    return {title: known.marks for title, known in _known_hosts(campaign, jumps=jumps).items() if known.marks}


async def watched(
    course: Course, drive: Callable[[], Awaitable[Standing]], interrupt: anyio.Event, display: ProgressDisplay
) -> Standing:
    """Drive a run with a live display, until it ends or is left; what it came to."""
    async with anyio.create_task_group() as tasks:

        async def watch() -> None:
            await interrupt.wait()
            display.note("stopping: finishing what is in flight; interrupt again to abort")
            await course.leave()

        async def show() -> None:
            while True:
                display.show(course.progress)
                await anyio.sleep(POLL_S)

        tasks.start_soon(watch, name="run: interrupt")
        tasks.start_soon(show, name="run: progress")
        standing = await drive()
        display.show(course.progress)
        if standing.hold is Hold.ALONE:
            display.note(f"the run was stopped: {standing.why}; look at appliance.log, then resume it")
        tasks.cancel_scope.cancel()
    return standing


@asynccontextmanager
async def interruptible() -> AsyncIterator[anyio.Event]:
    """Ctrl-C or SIGTERM once sets the event; twice ends the process's work at once, by cancellation."""
    event = anyio.Event()
    async with anyio.create_task_group() as tasks:

        async def listen() -> None:
            with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
                async for _ in signals:
                    if event.is_set():
                        raise AbortedError
                    event.set()

        tasks.start_soon(listen, name="command: signals")
        yield event
        tasks.cancel_scope.cancel()


def exit_code(state: RunState, *, interrupted: bool, gates_ok: bool) -> Exit:
    if state is not RunState.FINISHED:
        return Exit.INTERRUPTED if interrupted else Exit.INCOMPLETE
    return Exit.OK if gates_ok else Exit.GATE_FAILED


def how_it_goes_on(record: RunRecord) -> str:
    """The command for a run that has not ended: what was paused by hand waits for `resume`."""
    if record.standing.hold is Hold.WINDOW and _windows_are_over(record):
        return f"`keymuster cancel {record.id}` ends it"
    command = "resume" if record.standing.hold is Hold.HAND else "run --resume"
    return f"`keymuster {command} {record.id}` goes on with it"


def check_windows(campaign: Campaign, parent: str | None = None) -> None:
    """Raises BadInput where all are over. `parent`: the run that is to be tried again, whose windows they are."""
    if not _are_over(campaign.windows):
        return
    advice = "name one to come, or leave them out"
    if parent is not None:
        advice = f"they are those of run {parent}; run the campaign's file again, with a window to come"
    raise BadInput(f"all windows of campaign {campaign.name!r} are over, and a run would stay paused: {advice}")


def _windows_are_over(record: RunRecord) -> bool:
    try:
        return _are_over(Campaign.from_snapshot(dict(record.snapshot)).windows)
    except SnapshotError:
        return False  # another release's: who knows


def _are_over(windows: Sequence[Window]) -> bool:
    phase = phase_at(windows, time.time())
    return isinstance(phase, Closed) and phase.for_good


def say_how_it_goes_on(record: RunRecord) -> None:
    """On stderr, of a run that was left."""
    if record.state is RunState.PAUSED:
        sys.stderr.write(f"{how_it_goes_on(record)}\n")
