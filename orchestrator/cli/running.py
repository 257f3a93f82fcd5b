"""`run`, `rerun` and `run --resume`: from a campaign file to an exit code."""

from __future__ import annotations

import secrets
import signal
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import anyio
import anyio.to_thread

from appliance.contract import Target
from orchestrator.assembly import Prepared, Selection, prepare, recall, run_id
from orchestrator.campaign_model import Campaign, SnapshotError
from orchestrator.capacity.bounds import Site
from orchestrator.capacity.comparison import KEY, Foreseen, foreseen
from orchestrator.capacity.costs import Costs
from orchestrator.capacity.demand import demand_of
from orchestrator.capacity.history import learnt
from orchestrator.capacity.model import predict
from orchestrator.cli.appliance_child import Login
from orchestrator.cli.engine import Engine
from orchestrator.cli.errors import AbortedError, BadInput, Exit, NothingToDo
from orchestrator.cli.passwords import logins_of
from orchestrator.cli.progress import ProgressDisplay
from orchestrator.cli.sizing import own_site
from orchestrator.cli.storing import find_run
from orchestrator.controller import RunController
from orchestrator.dispatch import Planned
from orchestrator.known_hosts import KnownHosts, KnownHostsError
from orchestrator.plan import NothingSelected
from orchestrator.records import jump_of
from orchestrator.store import Store
from orchestrator.store.records import RunRecord, RunState, SeenKey, Unfinished

POLL_S = 0.25


@dataclass(frozen=True, slots=True)
class Order:
    """A run to be executed: new, or an interrupted one to be resumed."""

    prepared: Prepared
    logins: tuple[Login, ...]
    unfinished: tuple[Unfinished, ...] = ()
    new: bool = True


def new_order(
    campaign: Campaign, selection: Selection, logins: tuple[Login, ...], *, parent: str | None = None, prefix: str = ""
) -> Order:
    """Raises NothingToDo, BadInput. Reads the records' known_hosts files, which are small. `prefix`: of its id."""
    now = time.time()
    run, seed = prefix + run_id(now, secrets.token_hex(2)), secrets.randbits(32)
    marks, jump_marks = _marks(campaign), _marks(campaign, jumps=True)
    try:
        prepared = prepare(
            campaign, selection, run=run, seed=seed, now=now, parent=parent, marks=marks, jump_marks=jump_marks
        )
    except ValueError as error:
        raise BadInput(str(error)) from None
    if isinstance(prepared, NothingSelected):
        raise NothingToDo(prepared.text)
    return Order(prepared, logins)


async def resumed_order(store: Store, run: str, logins: tuple[Login, ...] | None = None) -> Order:
    """An interrupted run, as far as it came; the logins are read where none are given. Raises BadInput."""
    record = await find_run(store, run)
    if record.state is RunState.FINISHED:
        raise BadInput(f"run {record.id} has finished; `keymuster rerun {record.id} --failed` tries its failures again")
    prepared = recalled(record)
    unfinished = await store.attempts.unfinished(record.id)
    given = logins if logins is not None else logins_of(prepared.campaign)
    return Order(prepared, given, tuple(unfinished), new=False)


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
    if prepared.campaign.pace.zone != engine.zone:
        raise BadInput(
            f"this engine serves zone {engine.zone!r}, and the campaign is for {prepared.campaign.pace.zone!r}"
        )
    await engine.admit(prepared.record.id, prepared.campaign, order.logins)
    await engine.check_vaults(prepared.record.id, prepared.campaign)
    if order.new:
        await engine.store.host_keys.pin(await anyio.to_thread.run_sync(_known_keys, prepared))


async def _with_prediction(engine: Engine, prepared: Prepared) -> RunRecord:
    """The run's row, with what earlier runs let expect of it."""
    costs = await learnt(engine.store, prepared.campaign.name)
    elsewhere = None if engine.appliance is not None else max(1, len(engine.service.beats(engine.zone)))
    site = own_site(prepared.campaign.pace.capacity, prepared.record.planned, elsewhere)
    told = await anyio.to_thread.run_sync(_foreseen, prepared, costs, site)
    return replace(prepared.record, snapshot={**prepared.record.snapshot, KEY: told.data()})


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
    try:
        files = {path: KnownHosts.read(Path(path)) for path in dict.fromkeys(paths.values())}
    except KnownHostsError as error:
        raise BadInput(str(error)) from None
    return {title: files[path] for title, path in paths.items()}


def _marks(campaign: Campaign, *, jumps: bool = False) -> dict[str, Sequence[str]]:
    """The marked lines of those files."""
    return {title: known.marks for title, known in _known_hosts(campaign, jumps=jumps).items() if known.marks}


async def execute(engine: Engine, order: Order, interrupt: anyio.Event, display: ProgressDisplay) -> bool:
    """Run with a live display; True when the run came to its end."""
    finished: list[bool] = []
    controllers: list[RunController] = []
    totals = await engine.store.attempts.totals(order.prepared.record.id)

    def ready(controller: RunController) -> None:
        for count in totals.counts:
            controller.counts[count.status] += count.number
        controllers.append(controller)

    async with anyio.create_task_group() as tasks:

        async def watch() -> None:
            await interrupt.wait()
            display.note("stopping: finishing what is in flight; interrupt again to abort")
            for controller in controllers:
                controller.stopping.set()
                controller.wake()

        async def show() -> None:
            while True:
                for controller in controllers:
                    display.show(controller.progress())
                await anyio.sleep(POLL_S)

        tasks.start_soon(watch, name="run: interrupt")
        tasks.start_soon(show, name="run: progress")
        finished.append(await engine.execute(order.prepared, ready, order.unfinished))
        for controller in controllers:
            display.show(controller.progress())
            if controller.gave_up:
                display.note(f"the run was stopped: {controller.gave_up}; look at appliance.log, then resume it")
        tasks.cancel_scope.cancel()
    return finished[0]


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


def exit_code(*, finished: bool, interrupted: bool, gates_ok: bool) -> Exit:
    if not finished:
        return Exit.INTERRUPTED if interrupted else Exit.INCOMPLETE
    return Exit.OK if gates_ok else Exit.GATE_FAILED
