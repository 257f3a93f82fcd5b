"""The holder of the state directory, as a second command line speaks to it over the bus (`holder_client` is the other
side): submit, watch, pause, cancel, forbid.

One holder paces all runs of a state directory, so that two commands at once share one failure budget. The holder stays
until the last run that was submitted to it has ended.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

import anyio
from anyio import to_thread
from anyio.abc import TaskGroup

from appliance.bus import BusError
from appliance.logs import get_logger
from appliance.questions import VaultQuery
from orchestrator.assembly import Selection, is_run_id
from orchestrator.campaign_model import Campaign, SnapshotError
from orchestrator.cli.appliance_child import Login
from orchestrator.cli.asking import put_by
from orchestrator.cli.ending import leaves
from orchestrator.cli.engine import Engine
from orchestrator.cli.errors import BadInput, CommandError, Exit, Incomplete
from orchestrator.cli.executing import Stretch
from orchestrator.cli.given import Given
from orchestrator.cli.running import (
    Order,
    check,
    check_and_store,
    course_of,
    give,
    new_order,
    resumed_order,
)
from orchestrator.cli.sealing import SealError, SealingKey
from orchestrator.cli.storing import find_run
from orchestrator.cli.unattended import order_unattended
from orchestrator.cli.vaults import ask
from orchestrator.course import Course
from orchestrator.lease_keeper import run_lease
from orchestrator.leases import COMMAND
from orchestrator.run_state import Act, Hold, RunState, Standing
from orchestrator.stops import Selector, Stop
from orchestrator.store.errors import StoreError
from orchestrator.store.leases import FencedError

PUT_DOWN_S = 5.0

log = get_logger()


class ElsewhereError(BadInput):
    """Another orchestrator has the run in hand."""


class TakenOverError(Incomplete):
    """Another orchestrator goes on with a run that was in our hands."""


@dataclass(slots=True)
class _OpenRun:
    """A run in the holder's hands: about to begin, under way, or paused."""

    order: Order
    course: Course
    begun: bool = False
    """It is in the store, and takes orders."""
    left: Hold | None = None
    """It is to be left as soon as it has begun."""
    ended: anyio.Event = field(default_factory=anyio.Event)


@dataclass(slots=True)
class Desk:
    """The holder's side."""

    engine: Engine
    tasks: TaskGroup
    key: SealingKey = field(default_factory=SealingKey)
    closed: str = ""
    """Why no run is taken, if none is."""
    _open: dict[str, _OpenRun] = field(default_factory=dict)
    _told_alone: set[str] = field(default_factory=set)
    """Runs of nobody that are being paused or cancelled, and must not begin meanwhile."""

    async def answer(self, verb: str, body: bytes) -> bytes:
        """One control request; an expected failure is an answer with its text and exit code."""
        try:
            message = json.loads(body or b"{}")
            return json.dumps(await self._answer(verb, message)).encode()
        except CommandError as error:
            return json.dumps({"error": str(error), "code": int(error.code)}).encode()
        except FencedError as error:
            told = f"{error} this moment; give the same command again, and it reaches that one"
            return json.dumps({"error": told, "code": int(Exit.INCOMPLETE)}).encode()
        except (StoreError, BusError) as error:  # whoever asks hears of it; what others have submitted goes on
            code = Exit.INCOMPLETE if isinstance(error, StoreError) else Exit.VAULT
            return json.dumps({"error": str(error), "code": int(code)}).encode()
        except (SealError, SnapshotError, ValueError, KeyError, TypeError) as error:
            return json.dumps({"error": f"unreadable {verb}: {error}", "code": int(Exit.BAD_INPUT)}).encode()

    async def _answer(self, verb: str, message: Mapping[str, Any]) -> Mapping[str, Any]:
        match verb:
            case "key":
                return {"key": b64encode(self.key.public).decode(), "store": self.engine.kept_in}
            case "submit":
                campaign, logins = await self._campaign(message)
                selection = Selection.of(message["selection"])
                parent, priority = message.get("parent"), message.get("priority")
                run = await self._unused(message.get("run"))
                new = partial(new_order, campaign, selection, logins, run=run, parent=parent, priority=priority)
                return await self.start(await to_thread.run_sync(new))
            case "resume":
                campaign, logins = await self._campaign(message)
                return await self.resume(message["run"], Given.of(message["given"]), logins)
            case "vault":
                campaign, logins = await self._campaign(message)
                answer = await ask(self.engine, campaign, logins, message["title"], message["secret"])
                return {"answer": answer.model_dump(mode="json")}
            case "put":
                campaign, logins = await self._campaign(message)
                queries = [VaultQuery.model_validate(query) for query in message["queries"]]
                async with put_by(self.engine, campaign, logins) as put:
                    return {"answers": [answer.model_dump(mode="json") for answer in await put(queries)]}
            case "progress":
                return self._progress(message["run"])
            case "stop":
                await self._leave(message["run"])
                return {}
            case "priority":
                return {"runs": await self._prefer(message["run"], int(message["priority"]))}
            case "order":
                return await self._told(message["run"], Given.of(message["given"]))
            case "forbid":
                standing = await self.engine.service.stops.stop(Stop.of(message["stop"]))
                return {"stop": standing.data(), "runs": len(self.engine.service.open_runs())}
            case "allow":
                wanted = message["selector"]
                lifted = await self.engine.service.stops.allow(None if wanted is None else Selector.of(wanted))
                return {"lifted": [stop.data() for stop in lifted]}
        raise BadInput(f"the holder of the state directory does not know {verb!r}; it may be an older release")

    async def _unused(self, run: str | None) -> str | None:
        """The id that a command has drawn for its run, so that it finds the run if our answer is lost."""
        if run is None:
            return None
        if not is_run_id(run):
            raise BadInput(f"{run!r} is no id of a run")
        if await self.engine.store.runs.get(run) is not None:
            raise BadInput(f"run {run} has been submitted already")
        return run

    async def _campaign(self, message: Mapping[str, Any]) -> tuple[Campaign, tuple[Login, ...]]:
        campaign = await to_thread.run_sync(Campaign.from_snapshot, message["campaign"])  # its time zones are files
        return campaign, self.key.open(b64decode(message["logins"]), campaign.name)

    async def resume(
        self, run: str, given: Given, logins: tuple[Login, ...], *, under_way: bool = False
    ) -> Mapping[str, Any]:
        """Go on with a run that nobody drives; `under_way`: with one that somebody drove till now. Raises
        CommandError.
        """
        return await self.start(await resumed_order(self.engine.store, run, given, logins, under_way=under_way))

    async def start(self, order: Order) -> Mapping[str, Any]:
        """Have a run go on by itself, with its vaults asked. Raises CommandError."""
        run = order.prepared.record.id
        if self.closed:
            raise BadInput(self.closed)
        await self.begin(order)
        self.tasks.start_soon(self._by_itself, run, name=f"submitted run {run}")
        return {"run": run}

    async def begin(self, order: Order) -> Course:
        """Ask the vaults and write it down: from now on the run takes orders. Raises CommandError."""
        run = order.prepared.record.id
        if run in self._open:
            raise BadInput(f"run {run} is in this holder's hands already: {self._open[run].course.standing.text}")
        if run in self._told_alone:
            raise BadInput(f"run {run} is being told something else; try again in a moment")
        # Open from here on: the holder must not end while the vaults are still being asked.
        open_run = self._open[run] = _OpenRun(order, course_of(self.engine, order))
        try:
            await self._take(run)
            if not order.new:
                open_run.order = order = await self._as_it_is(order)
                open_run.course = course_of(self.engine, order)
            await check_and_store(self.engine, order)
            await give(open_run.course, order.given)
        except BaseException:
            await self._put_down(run)
            raise
        open_run.begun = True
        if open_run.left is not None:
            await open_run.course.leave(open_run.left)
        return open_run.course

    async def _take(self, run: str) -> None:
        """Raises ElsewhereError where another orchestrator has the run in hand."""
        owner = await self.engine.keeper.take_run(run)
        if owner is None:
            return
        if owner.startswith(COMMAND):
            raise ElsewhereError(
                f"run {run} is in the hands of a command that gives it an order: try again in a moment"
            )
        raise ElsewhereError(
            f"run {run} is in the hands of orchestrator {owner}: `keymuster resume {run}`, with the same --store and "
            "--nats, says it to that one"
        )

    async def _as_it_is(self, order: Order) -> Order:
        """What another orchestrator has done with it, since it was looked up, before it was ours."""
        record = await find_run(self.engine.store, order.prepared.record.id)
        return replace(order, prepared=replace(order.prepared, record=record))

    async def _put_down(self, run: str) -> None:
        with anyio.CancelScope(shield=True), anyio.move_on_after(PUT_DOWN_S):
            await self.engine.keeper.put_down(run)
        self._open.pop(run).ended.set()

    async def drive(self, run: str) -> Standing:
        """To its end, or until it is left. Raises TakenOverError."""
        open_run = self._open[run]
        try:
            with self.engine.keeper.under(run_lease(run)):
                return await self._driven(open_run)
        except BaseException as error:
            if not all(isinstance(leaf, FencedError) for leaf in leaves(error)):
                raise
        finally:
            await self._put_down(run)
        raise TakenOverError(f"run {run} was taken over by another orchestrator, which goes on with it")

    async def _driven(self, open_run: _OpenRun) -> Standing:
        order = open_run.order
        stretch = Stretch(self.engine, order.prepared, order.logins, open_run.course)
        open_run.course.came_to(order.prepared.record.planned, await stretch.counts())
        return await open_run.course.drive(stretch)

    async def _by_itself(self, run: str) -> None:
        try:
            await self.drive(run)
        except TakenOverError as error:
            log.warning("run is no longer ours", run=run, why=str(error))

    def _progress(self, run: str) -> Mapping[str, Any]:
        open_run = self._open.get(run)
        if open_run is None or not open_run.begun:
            return {"open": open_run is not None}
        progress = open_run.course.progress
        by = {status.value: number for status, number in progress.by_status.items()}
        away = [asdict(vault) for vault in progress.away]
        numbers = {"planned": progress.planned, "in_flight": progress.in_flight, "by_status": by}
        unapproved = [asdict(secret) for secret in progress.unapproved]
        return {"open": True, **numbers, "away": away, "unapproved": unapproved, "note": progress.note}

    async def _told(self, run: str, given: Given) -> Mapping[str, Any]:
        """An order for a run. One that is not in our hands is only resumed by who brings its vaults' logins along
        (`open` is false then).
        """
        open_run = self._open.get(run)
        if open_run is None and given.act is Act.RESUME:
            return {"open": False}
        if open_run is None:
            return {"open": True, "state": (await self.unattended(run, given)).text}
        if not open_run.begun:
            raise BadInput(f"run {run} is about to begin: its vaults are being asked; try again in a moment")
        if given.act is not None and (refusal := open_run.course.refusal(given.act)):
            raise BadInput(refusal)
        if given.act is Act.RESUME and open_run.course.standing.state is not RunState.PAUSING:
            await check(self.engine, replace(open_run.order, new=False))
        await give(open_run.course, given)
        return {"open": True, "state": open_run.course.standing.text}

    async def _prefer(self, run: str, priority: int) -> int:
        """In force and written down: how many runs share what there is."""
        await find_run(self.engine.store, run)
        await self.engine.store.runs.update(run, priority=priority)
        self.engine.service.prefer(run, priority)
        return len(self.engine.service.open_runs())

    async def unattended(self, run: str, given: Given) -> Standing:
        """Carry out an order for a run that nobody drives. Raises CommandError."""
        if run in self._told_alone:
            raise BadInput(f"run {run} is being told something else already; try again in a moment")
        self._told_alone.add(run)
        try:
            await self._take(run)
            try:
                return await order_unattended(self.engine.store, run, given)
            finally:
                await self.engine.keeper.put_down(run)
        finally:
            self._told_alone.discard(run)

    async def _leave(self, run: str) -> None:
        """Who submitted a run no longer wants it to go on here."""
        if run in self._open:
            await self._let_go(self._open[run], Hold.INTERRUPT)

    async def leave_all(self, hold: Hold = Hold.INTERRUPT) -> None:
        for open_run in list(self._open.values()):
            await self._let_go(open_run, hold)

    @staticmethod
    async def _let_go(open_run: _OpenRun, hold: Hold) -> None:
        if open_run.begun:
            await open_run.course.leave(hold)
        else:
            open_run.left = hold

    async def close(self, why: str) -> None:
        """Take no more runs, and leave those that are open for the next `serve` to go on with; but for those that
        somebody has paused or cancelled.
        """
        self.closed = why
        await self.leave_all(Hold.RESTART)

    def is_open(self, run: str) -> bool:
        return run in self._open

    @property
    def busy(self) -> bool:
        return bool(self._open)

    async def wait_until_idle(self) -> None:
        while self._open:
            await next(iter(self._open.values())).ended.wait()
