"""A second command line and the holder of the state directory, over the bus: submit, watch, stop, forbid, allow.

One holder paces all runs of a state directory, so that two commands at once share one failure budget. The holder stays
until the last run that was submitted to it has ended.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import anyio
import structlog
from anyio.abc import TaskGroup

from appliance.bus import BusError
from appliance.bus.control import ControlClient, connect_control
from appliance.questions import VaultAnswer, VaultQuery, VaultQueryKind
from appliance.reasons import Status
from orchestrator.approval_watch import Unapproved
from orchestrator.assembly import Selection
from orchestrator.campaign_model import Campaign, SnapshotError
from orchestrator.cli.appliance_child import Login
from orchestrator.cli.asking import at_once, put_by
from orchestrator.cli.engine import Engine
from orchestrator.cli.errors import BadInput, CommandError, Exit, Incomplete, NothingToDo, Unreachable
from orchestrator.cli.running import Order, check_and_store, new_order, resumed_order
from orchestrator.cli.sealing import SealError, SealingKey, seal
from orchestrator.cli.vaults import ask
from orchestrator.controller import RunController
from orchestrator.run_plan import Progress
from orchestrator.state_dir import HolderInfo
from orchestrator.stops import Selector, Stop
from orchestrator.vault_watch import Away

KEY_S = 10.0
"""A holder that is alive gives its key at once: one that does not is stopped, or hangs."""
ANSWER_S = 120.0
"""A submission is answered when the vaults have been checked."""
ORDER_S = 15.0
"""An order is a write to the store, which may wait for a busy disk."""
GONE_S = 30.0
"""A holder that says nothing of a run's progress for so long has ended."""
POLL_S = 0.5
PORTION = 200
"""Queries in one message to the holder, but for audits: one page of rows may fill a good part of a message."""

_ERRORS = {e.code: e for e in (BadInput, Unreachable, Incomplete, NothingToDo)}

log = structlog.get_logger()


@dataclass(slots=True)
class Desk:
    """The holder's side."""

    engine: Engine
    tasks: TaskGroup
    key: SealingKey = field(default_factory=SealingKey)
    closed: str = ""
    """Why no run is taken, if none is."""
    _controllers: dict[str, RunController] = field(default_factory=dict)
    _open: dict[str, anyio.Event] = field(default_factory=dict)
    _stopped: set[str] = field(default_factory=set)

    async def answer(self, verb: str, body: bytes) -> bytes:
        """One control request; an expected failure is an answer with its text and exit code."""
        try:
            message = json.loads(body or b"{}")
            return json.dumps(await self._answer(verb, message)).encode()
        except CommandError as error:
            return json.dumps({"error": str(error), "code": int(error.code)}).encode()
        except (SealError, SnapshotError, ValueError, KeyError, TypeError) as error:
            return json.dumps({"error": f"unreadable {verb}: {error}", "code": int(Exit.BAD_INPUT)}).encode()

    async def _answer(self, verb: str, message: Mapping[str, Any]) -> Mapping[str, Any]:
        match verb:
            case "key":
                return {"key": b64encode(self.key.public).decode()}
            case "submit":
                campaign, logins = self._campaign(message)
                selection = Selection.of(message["selection"])
                return await self._start(new_order(campaign, selection, logins, parent=message.get("parent")))
            case "resume":
                campaign, logins = self._campaign(message)
                return await self.resume(message["run"], logins)
            case "vault":
                campaign, logins = self._campaign(message)
                answer = await ask(self.engine, campaign, logins, message["title"], message["secret"])
                return {"answer": answer.model_dump(mode="json")}
            case "put":
                campaign, logins = self._campaign(message)
                queries = [VaultQuery.model_validate(query) for query in message["queries"]]
                async with put_by(self.engine, campaign, logins) as put:
                    return {"answers": [answer.model_dump(mode="json") for answer in await put(queries)]}
            case "progress":
                return self._progress(message["run"])
            case "stop":
                self.stop(message["run"])
                return {}
            case "forbid":
                standing = await self.engine.service.stops.stop(Stop.of(message["stop"]))
                return {"stop": standing.data(), "runs": len(self.engine.service.open_runs())}
            case "allow":
                wanted = message["selector"]
                lifted = await self.engine.service.stops.allow(None if wanted is None else Selector.of(wanted))
                return {"lifted": [stop.data() for stop in lifted]}
        raise BadInput(f"the holder of the state directory does not know {verb!r}; it may be an older release")

    def _campaign(self, message: Mapping[str, Any]) -> tuple[Campaign, tuple[Login, ...]]:
        campaign = Campaign.from_snapshot(message["campaign"])
        return campaign, self.key.open(b64decode(message["logins"]), campaign.name)

    async def resume(self, run: str, logins: tuple[Login, ...]) -> Mapping[str, Any]:
        """Go on with an interrupted run. Raises CommandError."""
        return await self._start(await resumed_order(self.engine.store, run, logins))

    async def _start(self, order: Order) -> Mapping[str, Any]:
        run = order.prepared.record.id
        if self.closed:
            raise BadInput(self.closed)
        if run in self._open:
            raise BadInput(f"run {run} is under way")
        # Open from here on: the holder must not end while the vaults are still being asked.
        self._open[run] = anyio.Event()
        try:
            await check_and_store(self.engine, order)
        except BaseException:
            self._open.pop(run).set()
            raise
        self.tasks.start_soon(self._execute, order, name=f"submitted run {run}")
        return {"run": run}

    async def _execute(self, order: Order) -> None:
        run = order.prepared.record.id
        totals = await self.engine.store.attempts.totals(run)

        def ready(controller: RunController) -> None:
            for count in totals.counts:
                controller.counts[count.status] += count.number
            self._controllers[run] = controller
            if run in self._stopped:
                self.stop(run)

        try:
            await self.engine.execute(order.prepared, ready, order.unfinished)
        finally:
            self._controllers.pop(run, None)
            self._stopped.discard(run)
            self._open.pop(run).set()

    def _progress(self, run: str) -> Mapping[str, Any]:
        controller = self._controllers.get(run)
        if controller is None:
            return {"open": run in self._open}
        progress = controller.progress()
        by = {status.value: number for status, number in progress.by_status.items()}
        away = [asdict(vault) for vault in progress.away]
        numbers = {"planned": progress.planned, "in_flight": progress.in_flight, "by_status": by}
        unapproved = [asdict(secret) for secret in progress.unapproved]
        return {"open": True, **numbers, "away": away, "unapproved": unapproved}

    def stop(self, run: str) -> None:
        """Stop a run that is open; one that is only about to begin is stopped as soon as it does."""
        if run in self._open:
            self._stopped.add(run)
        controller = self._controllers.get(run)
        if controller is not None:
            controller.stopping.set()
            controller.wake()

    def stop_all(self) -> None:
        for run in list(self._open):
            self.stop(run)

    def close(self, why: str) -> None:
        """Take no more runs, and stop those that are open, for this state directory's next holder to go on with; but
        for those that somebody has stopped.
        """
        self.closed = why
        self.engine.left_open |= self._open.keys() - self._stopped
        self.stop_all()

    def is_open(self, run: str) -> bool:
        return run in self._open

    @property
    def busy(self) -> bool:
        return bool(self._open)

    async def wait_until_idle(self) -> None:
        while self._open:
            await next(iter(self._open.values())).wait()


class Client:
    """The second command line's side."""

    def __init__(self, control: ControlClient, holder: HolderInfo) -> None:
        self._control = control
        self._holder = holder

    async def submit(
        self, campaign: Campaign, logins: tuple[Login, ...], selection: Selection, parent: str | None = None
    ) -> str:
        """The id of the run that the holder has begun. Raises the CommandError that the holder answered."""
        message = {**await self._sealed(campaign, logins), "selection": selection.data(), "parent": parent}
        return str((await self._ask("submit", message))["run"])

    async def resume(self, run: str, campaign: Campaign, logins: tuple[Login, ...]) -> str:
        return str((await self._ask("resume", {**await self._sealed(campaign, logins), "run": run}))["run"])

    async def vault(self, campaign: Campaign, logins: tuple[Login, ...], title: str, secret: str) -> VaultAnswer:
        answer = await self._ask("vault", {**await self._sealed(campaign, logins), "title": title, "secret": secret})
        return VaultAnswer.model_validate(answer["answer"])

    async def put(
        self, campaign: Campaign, logins: tuple[Login, ...], queries: Sequence[VaultQuery]
    ) -> Sequence[VaultAnswer]:
        """Have these queries put to vaults, in messages whose answers the bus can carry."""

        async def some(portion: Sequence[VaultQuery]) -> list[VaultAnswer]:
            listed = [query.model_dump(mode="json") for query in portion]
            answer = await self._ask("put", {**await self._sealed(campaign, logins), "queries": listed})
            return [VaultAnswer.model_validate(one) for one in answer["answers"]]

        async def one(query: VaultQuery) -> VaultAnswer:
            return (await some([query]))[0]

        if any(query.kind is VaultQueryKind.AUDIT for query in queries):
            return await at_once(queries, one)
        answers: list[VaultAnswer] = []
        for begin in range(0, len(queries), PORTION):
            answers += await some(queries[begin : begin + PORTION])
        return answers

    async def progress(self, run: str) -> Progress | None:
        """How far the run is; None once it has ended, and the holder perhaps with it (the store says how)."""
        try:
            answer = await self._ask("progress", {"run": run}, GONE_S)
        except Unreachable:
            return None
        if not answer["open"]:
            return None
        by = {Status(status): number for status, number in answer.get("by_status", {}).items()}
        away = tuple(Away(**vault) for vault in answer.get("away", ()))
        unapproved = tuple(Unapproved(**secret) for secret in answer.get("unapproved", ()))
        return Progress(answer.get("planned", 0), answer.get("in_flight", 0), by, away, unapproved)

    async def stop(self, run: str) -> None:
        await self._ask("stop", {"run": run})

    async def forbid(self, stop: Stop) -> tuple[Stop, int]:
        """The stop that stands now, in force and durable, and how many runs of the holder it meets."""
        answer = await self._ask("forbid", {"stop": stop.data()}, ORDER_S)
        return Stop.of(answer["stop"]), int(answer["runs"])

    async def allow(self, selector: Selector | None) -> Sequence[Stop]:
        """What was lifted."""
        wanted = None if selector is None else selector.data()
        answer = await self._ask("allow", {"selector": wanted}, ORDER_S)
        return [Stop.of(stop) for stop in answer["lifted"]]

    async def _sealed(self, campaign: Campaign, logins: tuple[Login, ...]) -> dict[str, Any]:
        try:
            public = b64decode((await self._ask("key", {}, KEY_S))["key"])
        except Unreachable as error:
            raise Unreachable(
                f"{error}; let process {self._holder.pid} go on, end it, or name another directory with --state"
            ) from None
        return {
            "campaign": campaign.snapshot(),
            "logins": b64encode(seal(logins, campaign.name, public)).decode(),
        }

    async def _ask(self, verb: str, message: Mapping[str, Any], wait: float = ANSWER_S) -> Mapping[str, Any]:
        try:
            answer = json.loads(await self._control.ask(verb, json.dumps(message).encode(), wait))
        except BusError as error:
            raise Unreachable(str(error)) from None
        if "error" in answer:
            raise _ERRORS.get(answer["code"], CommandError)(answer["error"])
        return dict(answer)


async def connect(holder: HolderInfo) -> ControlClient:
    """Raises Unreachable."""
    if holder.url is None or holder.control_seed is None:
        raise Unreachable(f"process {holder.pid} holds the state directory, and cannot be spoken to (yet); try again")
    try:
        return await connect_control(holder.url, seed=holder.control_seed)
    except BusError as error:
        raise Unreachable(f"process {holder.pid} holds the state directory: {error}") from None
