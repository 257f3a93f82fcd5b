"""The orchestrator's service: runs, and what they share - the pacer, the check-outs, the appliances' heartbeats.

One task group owns everything here. A task that fails takes the service down: a half-alive orchestrator would grant
permits that it forgets, or lose reports it has acknowledged.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import anyio
from anyio.abc import TaskStatus

from appliance.access import AccessAnswer, AccessKind, AccessRequest
from appliance.bus import BusError, OrchestratorBus, ReportDelivery
from appliance.contract import OLDEST, Account, Heartbeat
from appliance.logs import get_logger
from appliance.questions import VaultAnswer, VaultQuery, VaultQueryKind
from orchestrator.appliance_clocks import APART_S, Clock, are_apart, told
from orchestrator.approvals import ApprovalOffice
from orchestrator.attempt_book import AttemptBook
from orchestrator.check_outs import CheckOutOffice
from orchestrator.controller import RECONCILE_S, RunController
from orchestrator.dispatch import Dispatcher
from orchestrator.fair_shares import Party, fair_shares
from orchestrator.lease_keeper import LeaseKeeper, run_lease
from orchestrator.pacer_desk import FencedLedger, PacerDesk
from orchestrator.pacer_shards import DESK, PacerShards
from orchestrator.pacing import STOPPED, Pacer, Standing
from orchestrator.permit_ledger import LedgerEntry
from orchestrator.permits import REMEMBER_S, PermitOffice
from orchestrator.run_holding import RunHolding
from orchestrator.run_plan import Progress, RunPlan
from orchestrator.shared_room import Neighbourhood
from orchestrator.stop_office import StopOffice
from orchestrator.store import Store, StoreError
from orchestrator.store.leases import FencedError, Held
from orchestrator.tally import TalliedBook, TalliedLedger, Tally

SHARE_S = 2.0

log = get_logger()


@dataclass(frozen=True, slots=True)
class OpenRun:
    """A run that is under way, for those who watch."""

    run: str
    campaign: str
    zones: Mapping[str, int]
    """Those it may work in, with its attempts that are out in each."""
    vaults: tuple[str, ...]
    progress: Progress


@dataclass(frozen=True, slots=True)
class Appliance:
    """An appliance that has been heard of."""

    beat: Heartbeat
    """Its newest word."""
    heard: float
    """When that came, in Unix seconds."""
    alive: bool
    clock: Clock = field(default_factory=Clock, compare=False)


class Service:
    """Everything that outlives a single run. Time and the store come from outside."""

    def __init__(
        self,
        store: Store,
        bus: OrchestratorBus,
        clock: Callable[[], float],
        *,
        reconcile_every: float = RECONCILE_S,
        tally: Tally | None = None,
        keeper: LeaseKeeper | None = None,
        is_anothers: Callable[[str], bool] = lambda _run: False,
    ) -> None:
        """`keeper`: where other orchestrators may be on the bus, or come to it; None where it is this one's alone; then
        `is_anothers` says which runs are held by a process that shares the store alone.
        """
        self._store = store
        self._keeper = keeper
        self._is_anothers = is_anothers
        ledger: FencedLedger = store.ledger if tally is None else TalliedLedger(store.ledger, tally)
        self._book: AttemptBook = store.attempts if tally is None else TalliedBook(store.attempts, tally)
        self._bus = bus
        self._clock = clock
        self._reconcile_every = reconcile_every
        self._pacer = Pacer()
        self._unanswered: dict[str, list[LedgerEntry]] = {}
        """By run that another process held: what the pacer counts as failures since the start (R8), which are ours to
        write if the run becomes ours.
        """
        self.stops = StopOffice(store.stops, self._stops_changed)
        desk = PacerDesk(self._pacer, ledger, clock, self._fence if keeper else None, self._overtaken)
        self._shards = PacerShards(keeper, desk, store.ledger, bus, clock, REMEMBER_S) if keeper else None
        self._office = PermitOffice(desk, clock, self.stops.stops, self._shards, self._run_lease)
        self._check_outs = CheckOutOffice(store.check_outs, self.ask_vault, clock, self.stops.stops, self._is_elsewhere)
        self._approvals = ApprovalOffice(store.approvals, self.ask_vault, clock, self.stops.stops, self._is_elsewhere)
        self._runs: dict[str, RunController] = {}
        self._appliances: Mapping[str, Heartbeat] = {}
        self._known: dict[str, Appliance] = {}
        """All that have been heard of, but for those that have drained and gone."""
        self._seen = anyio.Event()
        self.neighbourhood = Neighbourhood()
        self._shares: dict[str, tuple[float, object, Mapping[str, int]]] = {}
        """By zone: since when, for whom, and what."""

    # -- the service -------------------------------------------------------------------------------------------------

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled."""
        await self.stops.load()
        now = self._clock()
        if self._shards is None:
            ledger = await self._store.ledger.load(now - REMEMBER_S)
            lost = self._pacer.restore(ledger)
            self._unanswered = {run: entries for run, entries in lost.items() if self._is_anothers(run)}
            ours = (entries for run, entries in lost.items() if run not in self._unanswered)
            await self._store.ledger.append([entry for entries in ours for entry in entries])
        await self._store.ledger.prune(now - REMEMBER_S)
        async with (
            self._bus.permits(self._office.hold, self._office.ask),
            self._bus.access(self._access),
            self._heard_by_others(),
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(self._office.run, name="service: permits")
            tasks.start_soon(self._lose, name="service: lost jobs")
            if self._keeper is not None:
                tasks.start_soon(self._keep_up, self._keeper, name="service: stops")
            if self._shards is not None:
                tasks.start_soon(self._shards.tend, name="service: shards")
            tasks.start_soon(self._watch, name="service: appliances")
            task_status.started()

    @asynccontextmanager
    async def _heard_by_others(self) -> AsyncIterator[None]:
        if self._keeper is None or self._shards is None:
            yield
            return
        async with self._bus.serve_desk(self._keeper.owner, DESK, self._shards.answer):
            yield

    async def _keep_up(self, keeper: LeaseKeeper) -> None:
        """What others were told to stop, binds us too."""
        while True:
            await keeper.looked()
            try:
                await self.stops.refresh()
            except StoreError as error:
                log.warning("what is stopped could not be looked up", error=str(error))

    def _fence(self, account: Account) -> Held | None:
        return None if self._shards is None else self._shards.fence(account)

    def _overtaken(self, lease: Held) -> None:
        if self._shards is not None:
            self._shards.overtaken(lease)

    def _run_lease(self, run: str) -> Held | None:
        token = None if self._keeper is None else self._keeper.token(run_lease(run))
        return None if token is None else (run_lease(run), token)

    def _is_elsewhere(self, run: str) -> bool:
        return self._keeper is not None and self._keeper.elsewhere(run_lease(run)) is not None

    @staticmethod
    async def _collect(controller: RunController, batches: AsyncIterator[Sequence[ReportDelivery]]) -> None:
        """The holder of a run reads its reports alone: whoever else did would have to ask it what they mean, since
        the run's dispatcher is in its memory. Runs are what orchestrators share.
        """
        async for batch in batches:
            with anyio.CancelScope(shield=True):  # a batch that is in the store is told all that depends on it
                await controller.take(batch)
                for delivery in batch:
                    await delivery.done()

    async def _lose(self) -> None:
        async with self._bus.lost_jobs() as jobs:
            async for job in jobs:
                controller = self._runs.get(job.run)
                if controller is not None:
                    why = "two appliances were given the job, and neither finished it"
                    try:
                        await controller.lose(job.job, job.attempt, job.lease, why)
                    except FencedError as error:
                        log.info("a lost job is another's to look after", job=job.job, why=str(error))

    async def _watch(self) -> None:
        async with self._bus.appliances() as changes:
            async for appliances in changes:
                for name in appliances.keys() - self._appliances.keys():
                    self._note_coming(appliances[name])
                for name in self._appliances.keys() - appliances.keys():
                    log.warning("appliance gone", appliance=name)
                self._note(appliances)
                self._appliances = appliances
                self._seen.set()
                self._seen = anyio.Event()
                for controller in self._runs.values():
                    controller.wake()

    def _note_coming(self, beat: Heartbeat) -> None:
        log.info("appliance up", appliance=beat.appliance, zone=beat.zone, capacity=beat.capacity, release=beat.release)
        for run, controller in self._runs.items():
            needed = controller.plan.contract
            if beat.zone in controller.plan.zones.all and not beat.takes(needed):
                why = (
                    f"the run's jobs are of contract version {needed}, and it reads {beat.reads[0]} to {beat.reads[1]}"
                )
                log.warning("appliance is given no jobs of a run", appliance=beat.appliance, run=run, why=why)

    def _note(self, appliances: Mapping[str, Heartbeat]) -> None:
        now = self._clock()
        for name, beat in appliances.items():
            if self._appliances.get(name) != beat:
                before = self._known.get(name)
                clock = before.clock if before is not None and before.alive else Clock()
                self._note_clock(clock, beat, now)
                self._known[name] = Appliance(beat, now, alive=True, clock=clock)
        for name in self._known.keys() - appliances.keys():
            if self._known[name].beat.draining:
                del self._known[name]
            else:
                self._known[name] = replace(self._known[name], alive=False)

    def _note_clock(self, clock: Clock, beat: Heartbeat, now: float) -> None:
        were_apart = are_apart(clock.offset)
        clock.beat(beat.sent_at, now)
        if are_apart(clock.offset) and not were_apart:
            log.warning("clocks apart", appliance=beat.appliance, its_clock=told(clock.offset), more_than=APART_S)

    # -- for those who watch -----------------------------------------------------------------------------------------

    def runs(self) -> Sequence[OpenRun]:
        return [
            OpenRun(run, one.plan.purposes.campaign, one.out_by_zone(), one.plan.vaults, one.progress())
            for run, one in self._runs.items()
        ]

    def fleet(self) -> Sequence[Appliance]:
        """All appliances that have been heard of; one that has drained and gone is forgotten."""
        return tuple(self._known.values())

    def accounts(self) -> Standing:
        return self._pacer.standing()

    def held_check_outs(self) -> int:
        return self._check_outs.held

    # -- questions and orders ----------------------------------------------------------------------------------------

    def capacity(self, zone: str, contract: int = OLDEST) -> int:
        """Jobs of a contract version that the zone's living appliances carry together."""
        return sum(beat.capacity for beat in self.beats(zone) if not beat.draining and beat.takes(contract))

    def share(self, run: str, zone: str, contract: int = OLDEST) -> int:
        """What a run has of its zone's capacity; dealt out anew when a run comes, goes or changes its priority, and
        else every SHARE_S, since each change is a message to the bus.
        """
        capacity = self.capacity(zone, contract)
        runs = {name: one for name, one in self._runs.items() if one.demand.get(zone)}
        if runs.keys() <= {run}:
            return capacity
        priorities = {name: self.neighbourhood.priorities[name] for name in runs}
        since, for_whom, shares = self._shares.get(zone, (0.0, None, {}))
        if for_whom != (capacity, priorities) or self._clock() - since >= SHARE_S:
            parties = [Party(name, priorities[name], one.demand[zone]) for name, one in runs.items()]
            shares = fair_shares(capacity, parties)
            self._shares[zone] = self._clock(), (capacity, priorities), shares
        return shares.get(run, capacity)

    def prefer(self, run: str, priority: int) -> None:
        """A run that is under way has another priority from now on."""
        if run in self._runs:
            self.neighbourhood.priorities[run] = priority
            for controller in self._runs.values():
                controller.wake()

    def beats(self, zone: str) -> Sequence[Heartbeat]:
        """The newest word of each of the zone's living appliances."""
        return [beat for beat in self._appliances.values() if beat.zone == zone]

    def working_zones(self) -> Sequence[str]:
        """Those of which some appliance takes jobs, by name."""
        return sorted({beat.zone for beat in self._appliances.values() if self.capacity(beat.zone)})

    async def wait_for_appliance(self, *zones: str) -> None:
        """Of any of these zones."""
        while not any(map(self.capacity, zones)):
            await self._seen.wait()

    async def ask_vault(self, zone: str, query: VaultQuery, wait: float) -> VaultAnswer:
        """Raises BusError when no appliance of the zone answers in time. Of what is stopped nothing is asked, but to
        check it in or to take a request back, which ends a use: it has its answer here.
        """
        stops = self.stops.stops
        stop = stops.on_secret(query.secret) if query.secret is not None else stops.on_vault(query.vault)
        if stop is not None and query.kind not in (VaultQueryKind.CHECK_IN, VaultQueryKind.CANCEL):
            return VaultAnswer(ok=False, reason=STOPPED, text=stop.text)
        return await self._bus.ask_vault(zone, query, wait)

    def _stops_changed(self) -> None:
        self._office.stops_changed()
        self._check_outs.stops_changed()
        self._approvals.stops_changed()
        for controller in self._runs.values():
            controller.wake()

    async def _access(self, request: AccessRequest, sender: str) -> AccessAnswer | None:
        if self._keeper is not None and request.run not in self._runs:
            return None  # another orchestrator's, or nobody's for the moment
        office = self._check_outs if request.kind is AccessKind.CHECK_OUT else self._approvals
        return await office.request(request, sender)

    def controller(self, run: str) -> RunController | None:
        return self._runs.get(run)

    def open_runs(self) -> Sequence[str]:
        return tuple(self._runs)

    async def execute(
        self,
        plan: RunPlan,
        dispatcher: Dispatcher,
        *,
        controller_ready: Callable[[RunController], None],
        book: AttemptBook | None = None,
    ) -> bool:
        """Drive a run; True when it came to its end, False when it was stopped. `book`: where what becomes of it is
        written; by default the store.
        """
        attempts = self._book if book is None else book
        controller = RunController(
            plan=plan,
            dispatcher=dispatcher,
            attempts=attempts,
            host_keys=self._store.host_keys,
            bus=self._bus,
            office=self._office,
            stops=self.stops.stops,
            capacity=lambda zone: self.share(plan.run, zone, plan.contract),
            clock=self._clock,
            reconcile_every=self._reconcile_every,
        )
        await self._store.ledger.append(self._unanswered.get(plan.run, []))
        self._unanswered.pop(plan.run, None)
        holding = RunHolding(plan, controller, attempts)
        await self._check_outs.enter(holding)
        await self._approvals.enter(holding)
        self._runs[plan.run] = controller
        self.neighbourhood.priorities[plan.run] = plan.priority
        try:
            controller_ready(controller)
            async with self._bus.reports(plan.run) as batches, anyio.create_task_group() as tasks:
                tasks.start_soon(self._collect, controller, batches, name=f"collect {plan.run}")
                tasks.start_soon(self._check_outs.tend, holding, name=f"check-outs {plan.run}")
                tasks.start_soon(self._approvals.tend, holding, name=f"approvals {plan.run}")
                finished = await controller.drive()
                tasks.cancel_scope.cancel()
            await self._check_outs.leave(holding)
            await self._approvals.leave(holding, finished=finished)
        finally:
            self._check_outs.abandon(holding)
            self._approvals.abandon(holding)
            del self._runs[plan.run]
            del self.neighbourhood.priorities[plan.run]
        return finished

    async def purge(self, run: str, zones: Iterable[str]) -> None:
        """Before a resume: nothing of the run's earlier life may be delivered any more, in any of its zones."""
        for zone in zones:
            try:
                await self._bus.purge_run(run, zone)
            except BusError as error:
                log.info("nothing to purge", run=run, zone=zone, error=str(error))
