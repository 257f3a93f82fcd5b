"""What the commands do: each is one story over an engine of our own, or over the one that holds the state directory."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import typer
from platformdirs import user_state_path
from rich.console import Console
from rich.table import Table

from appliance.contract import Target, Technology
from appliance.reasons import REASONS, Status
from orchestrator.assembly import Selection
from orchestrator.campaign import CampaignError, parse_campaign
from orchestrator.campaign_model import Campaign
from orchestrator.campaign_template import Answers, campaign_text
from orchestrator.cli.control import POLL_S, Client, Desk, connect
from orchestrator.cli.demo import demo
from orchestrator.cli.engine import Engine, attached, embedded
from orchestrator.cli.errors import BadInput, Exit, NothingToDo
from orchestrator.cli.planning import write_plan
from orchestrator.cli.progress import ProgressDisplay
from orchestrator.cli.reporting import Format, write_report
from orchestrator.cli.running import (
    AbortedError,
    Order,
    check_and_store,
    execute,
    exit_code,
    find_run,
    interruptible,
    logins_of,
    new_order,
    recalled,
    resumed_order,
)
from orchestrator.cli.vaults import ask
from orchestrator.plan import NothingSelected, build_plan
from orchestrator.records import RecordBook
from orchestrator.report.documents import dumps, run_document
from orchestrator.state_dir import Held, HolderInfo, StateDir
from orchestrator.store import Store, open_store

__all__ = ["AbortedError", "demo"]


@dataclass(frozen=True, slots=True)
class Where:
    """The state directory, and the bus if it is the user's own."""

    state: Path
    nats: str | None = None
    nats_seed: Path | None = None


@dataclass(frozen=True, slots=True)
class Show:
    """How a run is shown while it goes on, and reported when it is over."""

    form: Format
    output: Path | None
    progress: bool


@dataclass(frozen=True, slots=True)
class Which:
    """The part of a run that a rerun takes."""

    failed: bool
    unreached: bool
    reasons: tuple[str, ...]

    def wants(self, status: Status, reason: str) -> bool:
        return (
            (self.failed and status is Status.FAILED)
            or (self.unreached and status is Status.NOT_ATTEMPTED)
            or reason in self.reasons
        )


Submit = Callable[[Client], Awaitable[str]]
"""Hands a run to the holder and gives its id."""


def state_path(given: Path | None) -> Path:
    return given if given is not None else user_state_path("keymuster")


# -- runs ----------------------------------------------------------------------------------------------------------------


async def run(where: Where, campaign: Campaign, sample: str, show: Show) -> Exit:
    """A new run of a campaign."""
    return await _run(where, campaign, Selection(sample=sample), None, show)


async def rerun(where: Where, run_id: str, which: Which, show: Show) -> Exit:
    """A new run over a part of an earlier run's targets."""
    unknown = [reason for reason in which.reasons if reason not in REASONS]
    if unknown:
        raise BadInput(f"there is no reason {unknown[0]}; `keymuster report {run_id}` shows those that occurred")
    if not (which.failed or which.unreached or which.reasons):
        raise BadInput("say which targets: --failed, --unreached or --reason CODE")
    async with _stored(where.state) as store:
        record = await find_run(store, run_id)
        campaign = recalled(record).campaign
        units = [
            (outcome.target, outcome.technology)
            async for outcome in store.attempts.outcomes(record.id)
            if which.wants(outcome.status, outcome.reason)
        ]
    if not units:
        raise NothingToDo(f"run {record.id} has no such target")
    return await _run(where, campaign, Selection(units=units), record.id, show)


async def probe(where: Where, campaign: Campaign, host: str, record: str, form: Format) -> Exit:
    """One host with one record, whatever the campaign's targets are."""
    chosen = [r for r in campaign.records if r.title == record]
    if not chosen:
        raise BadInput(
            f"the campaign has no record titled {record!r}; it has {', '.join(r.title for r in campaign.records)}"
        )
    narrowed = narrowed_to(campaign, host, record)
    unit = (Target(address=host), Technology(chosen[0].technology))
    return await _run(where, narrowed, Selection(units=[unit]), None, Show(form, None, progress=False))


def narrowed_to(campaign: Campaign, host: str, record: str) -> Campaign:
    """The campaign with this one target and record; validated anew, since the host is the user's word."""
    data = campaign.snapshot()["campaign"]
    data["gate"] = []
    data["targets"] = {"include": [host]}
    data["records"] = [r for r in data["records"] if r["title"] == record]
    for kept in data["records"]:
        if kept.get("ips"):
            kept["ips"] = [host]
    try:
        return Campaign.model_validate(data)
    except ValueError as error:
        raise BadInput(f"{host!r} cannot be probed: {error}") from None


async def resume(where: Where, run_id: str, show: Show) -> Exit:
    """Go on with an interrupted run."""
    async with _stored(where.state) as store:
        record = await find_run(store, run_id)
        campaign = recalled(record).campaign
    held = StateDir(where.state).acquire()
    if isinstance(held, HolderInfo):
        return await _through(held, where, show, lambda c: c.resume(run_id, campaign, logins_of(campaign)))
    with held:
        async with _stored(where.state) as store:
            order = await resumed_order(store, run_id)
        return await _hold(held, where, order, show)


async def _run(where: Where, campaign: Campaign, selection: Selection, parent: str | None, show: Show) -> Exit:
    held = StateDir(where.state).acquire()
    if isinstance(held, HolderInfo):
        return await _through(held, where, show, lambda c: c.submit(campaign, logins_of(campaign), selection, parent))
    with held:
        return await _hold(held, where, new_order(campaign, selection, logins_of(campaign), parent=parent), show)


async def _hold(held: Held, where: Where, order: Order, show: Show) -> Exit:
    """Execute a run as the holder of the state directory, and stay for those that others submit meanwhile."""
    prepared = order.prepared
    async with (
        interruptible() as interrupt,
        _engine(held, where, prepared.campaign) as engine,
        anyio.create_task_group() as tasks,
    ):
        desk = Desk(engine, tasks)
        async with engine.bus.serve_control(desk.answer):
            await check_and_store(engine, order)
            with ProgressDisplay(enabled=show.progress) as display:
                display.note(f"run {prepared.record.id}: {prepared.record.planned} planned")
                finished = await execute(engine, order, interrupt, display)
            record = await find_run(engine.store, prepared.record.id)
            gates_ok = await write_report(engine.store, record, show.form, show.output)
            await _stay(desk, interrupt)
        tasks.cancel_scope.cancel()
    return exit_code(finished=finished, gates_ok=gates_ok)


async def _stay(desk: Desk, interrupt: anyio.Event) -> None:
    """Until the last submitted run has ended; an interrupt stops those too."""
    if desk.busy:
        sys.stderr.write("staying until the runs that were submitted meanwhile have ended\n")
    async with anyio.create_task_group() as tasks:

        async def obey() -> None:
            await interrupt.wait()
            desk.stop_all()

        tasks.start_soon(obey, name="holder: interrupt")
        await desk.wait_until_idle()
        tasks.cancel_scope.cancel()


async def _through(holder: HolderInfo, where: Where, show: Show, submit: Submit) -> Exit:
    """Let the holder execute the run; watch it, and report it from the shared store."""
    async with interruptible() as interrupt, await connect(holder) as control:
        client = Client(control)
        run_id = await submit(client)
        with ProgressDisplay(enabled=show.progress) as display:
            display.note(f"run {run_id}: submitted to process {holder.pid}, which holds {where.state}")
            stopped = False
            while (progress := await client.progress(run_id)) is not None:
                display.show(progress)
                if interrupt.is_set() and not stopped:
                    stopped = True
                    await client.stop(run_id)
                await anyio.sleep(POLL_S)
        async with _stored(where.state) as store:
            record = await find_run(store, run_id)
            gates_ok = await write_report(store, record, show.form, show.output)
    return exit_code(finished=not stopped, gates_ok=gates_ok)


@asynccontextmanager
async def _engine(held: Held, where: Where, campaign: Campaign) -> AsyncIterator[Engine]:
    zone, capacity = campaign.pace.zone, campaign.pace.capacity
    if where.nats is None:
        async with embedded(held, zone=zone, capacity=capacity) as engine:
            yield engine
        return
    if where.nats_seed is None:
        raise BadInput("--nats needs --nats-seed FILE, the nkey seed of the orchestrator's user")
    try:
        seed = where.nats_seed.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise BadInput(f"cannot read {where.nats_seed}: {error.strerror}") from None
    async with attached(held, where.nats, seed, zone=zone) as engine:
        yield engine


@asynccontextmanager
async def _stored(state: Path) -> AsyncIterator[Store]:
    """The store alone, beside a holder or without one. Raises StoreError."""
    if not (state / "keymuster.db").exists():
        raise BadInput(f"there is no run in {state} yet")
    store = await open_store(state / "keymuster.db")
    try:
        yield store
    finally:
        with anyio.move_on_after(5, shield=True):
            await store.close()


# -- questions -----------------------------------------------------------------------------------------------------------


async def plan(campaign: Campaign, limit: int, json: bool) -> Exit:
    book = RecordBook(campaign.records, campaign.vaults)
    built = build_plan(campaign, book, run="plan", seed=0)
    if isinstance(built, NothingSelected):
        raise NothingToDo(built.text)
    write_plan(built, campaign, limit, json=json)
    return Exit.OK


async def runs(state: Path, json: bool) -> Exit:
    async with _stored(state) as store:
        records = sorted(await store.runs.all(), key=lambda r: r.created_at, reverse=True)
        rows = [(record, await store.attempts.totals(record.id)) for record in records]
    if json:
        print(dumps({"runs": [run_document(record) for record, _ in rows]}))
        return Exit.OK
    table = Table("Run", "Campaign", "State", "Planned", "Passed", "Failed", "Not attempted", "Parent")
    for record, totals in rows:
        passed = totals.of(Status.PASSED) + totals.of(Status.PASSED_LIMITED)
        numbers = (record.planned, passed, totals.of(Status.FAILED), totals.of(Status.NOT_ATTEMPTED))
        table.add_row(record.id, record.campaign, record.state.value, *map(str, numbers), record.parent or "")
    Console().print(table)
    return Exit.OK


async def report(state: Path, run_id: str | None, form: Format, output: Path | None) -> Exit:
    async with _stored(state) as store:
        ok = await write_report(store, await find_run(store, run_id), form, output)
    return Exit.OK if ok else Exit.GATE_FAILED


async def vault_test(where: Where, campaign: Campaign, title: str, secret: str) -> Exit:
    held = StateDir(where.state).acquire()
    if isinstance(held, HolderInfo):
        async with await connect(held) as control:
            reply = await Client(control).vault(campaign, logins_of(campaign), title, secret)
    else:
        with held:
            async with _engine(held, where, campaign) as engine:
                reply = await ask(engine, campaign, logins_of(campaign), title, secret)
    print(reply.text)
    return Exit.OK if reply.ok else Exit.VAULT


def init(file: Path) -> Exit:
    """Ask, write, and check what was written."""
    if file.exists():
        raise BadInput(f"{file} is already there; it was left as it is")
    text = campaign_text(_answers() if sys.stdin.isatty() else Answers())
    try:
        parse_campaign(text, str(file))
    except CampaignError as error:
        raise BadInput(f"nothing was written, since the answers don't make a campaign:\n{error}") from None
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise BadInput(f"cannot write {file}: {error.strerror}") from None
    sys.stderr.write(f"{file} written; look it over, then `keymuster plan {file}` and `keymuster run {file}`\n")
    return Exit.OK


def _answers() -> Answers:
    default = Answers()
    technology = Technology(typer.prompt("Technology (unix, windows)", default=default.technology.value, err=True))
    return Answers(
        name=typer.prompt("Campaign", default=default.name, err=True),
        vault=typer.prompt("Vault title", default=default.vault, err=True),
        url=typer.prompt("Secret Server URL", default=default.url, err=True),
        vault_user=typer.prompt("Vault user", default=default.vault_user, err=True),
        vault_domain=typer.prompt("Vault domain (empty: none)", default="", show_default=False, err=True),
        reference=typer.prompt("Environment variable with its password", default=default.reference, err=True),
        technology=technology,
        record=typer.prompt("Record title", default=default.record, err=True),
        user=typer.prompt("Login user on the targets", default=default.user, err=True),
        secret=typer.prompt("Secret name in the vault", default=default.secret, err=True),
        ips=tuple(
            typer.prompt("Targets (addresses, ranges, CIDR; spaces between)", default="10.0.0.0/24", err=True).split()
        ),
    )


def become_appliance(arguments: Sequence[str]) -> None:
    """The appliance is a program of its own: this process becomes it."""
    os.execv(sys.executable, [sys.executable, "-m", "appliance", *arguments])  # noqa: S606 - no shell is the purpose
