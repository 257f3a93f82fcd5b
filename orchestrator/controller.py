"""One run at work: sends what the dispatcher decides, stores what the reports mean, closes the gaps.

The order that exactness rests on: an attempt is written to the store before it is published, a report is settled in the
store before it is acknowledged, and the store alone says which report was the first. Memory mirrors the store.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import anyio

from appliance.bus import BusError, OrchestratorBus, Placed, ReportDelivery
from appliance.contract import (
    Account,
    Candidate,
    CredentialRef,
    Evidence,
    HostKeyPolicy,
    Job,
    Phase,
    named,
)
from appliance.logs import get_logger
from appliance.reasons import REASONS, Status
from orchestrator.account_state import Budget
from orchestrator.attempt_book import AttemptBook
from orchestrator.attempts import OpenAttempt, Planned, Unplannable
from orchestrator.collect import Decision, Final, Stale, decide, lost, note_vault, permit_wait, recalled
from orchestrator.dispatch import LIMIT, WINDOW, Batch, Dispatcher, LeftOut
from orchestrator.job_message import addresses_of, job_of, jump_of_job
from orchestrator.pacing import STOPPED
from orchestrator.permits import PermitOffice
from orchestrator.reconcile import GRACE_S, Suspect, reconcile
from orchestrator.run_plan import Progress, RunPlan
from orchestrator.stops import Stops
from orchestrator.store.host_keys import HostKeys
from orchestrator.store.records import AttemptRow, JobRow, RecordUse, Settled, Undispatched
from orchestrator.zone_queues import ZoneQueues
from orchestrator.zone_watch import ZoneWatch

RECONCILE_S = 10.0
IDLE_S = 1.0
GATHER_S = 0.2
STOCK = 2
"""While the appliances have so many times their capacity before them, dispatching waits GATHER_S for more to end: a
read, a write and a post cost nearly as much for five jobs as for fifty.
"""
DRAIN_POLL_S = 0.2
DRAIN_GRACE_S = 10.0
"""Beyond an attempt's deadline, the time its report may take."""
REOPEN_S = 0.5
ORCHESTRATOR = "orchestrator"
"""The sender of outcomes that no appliance reported."""

log = get_logger()

T = TypeVar("T")


@dataclass(slots=True)
class RunController:
    plan: RunPlan
    dispatcher: Dispatcher
    attempts: AttemptBook
    host_keys: HostKeys
    bus: OrchestratorBus
    office: PermitOffice
    stops: Stops
    capacity: Callable[[str], int]
    """The run's part of what a zone's appliances carry."""
    clock: Callable[[], float]
    counts: Counter[Status] = field(default_factory=Counter)
    reconcile_every: float = RECONCILE_S
    stopping: anyio.Event = field(default_factory=anyio.Event)
    cutting: anyio.Event = field(default_factory=anyio.Event)
    """Set with `stopping`, or later: what is in flight is not waited for, but cut off."""
    demand: Mapping[str, int] = field(init=False)
    """By zone: places at its appliances that the run could use."""
    gave_up: str = ""
    """Why the run stopped by itself, if it did."""
    _changed: anyio.Event = field(default_factory=anyio.Event)
    _placed: dict[tuple[str, int], Placed] = field(default_factory=dict)
    _queues: ZoneQueues = field(init=False)
    _zones: ZoneWatch = field(init=False)

    def __post_init__(self) -> None:
        self._queues = ZoneQueues(self.plan, self.bus)
        self._zones = ZoneWatch(self.plan.zones, self.plan.zone_patience)
        self.demand = dict.fromkeys(self._worked_in, 1)

    # -- the run as others see it ------------------------------------------------------------------------------------

    @property
    def began(self) -> float:
        return self.plan.began

    def current(self, job: str) -> OpenAttempt | None:
        return self.dispatcher.open(job)

    def budget(self, account: Account, record: str) -> Budget | None:
        return self.plan.budget(account, record)

    def progress(self) -> Progress:
        by, flying = dict(self.counts), self.dispatcher.in_flight
        return Progress(self.plan.planned, flying, by, self.dispatcher.vaults_away, self.dispatcher.unapproved)

    def out_by_zone(self) -> Mapping[str, int]:
        """Attempts that are out, in each zone that the run may work in."""
        flying = self.dispatcher.in_flight_by_zone
        return {zone: flying.get(zone, 0) for zone in dict.fromkeys((*self.plan.zones.all, *flying))}

    def approval_waits(self, secret: CredentialRef, since: float) -> None:
        """Somebody has been asked: jobs that it alone could serve wait from now on."""
        self.dispatcher.approval_waits(secret, since)
        self.wake()

    def approval_over(self, secret: CredentialRef) -> None:
        """There is an answer, whichever."""
        self.dispatcher.approval_over(secret)
        self.wake()

    def wake(self) -> None:
        """Something has changed that may let more attempts out."""
        self._changed.set()
        self._changed = anyio.Event()

    # -- its life ----------------------------------------------------------------------------------------------------

    async def drive(self) -> bool:
        """Run to the end, or until `stopping` is set and what is in flight has ended. True when it came to its end."""
        self.office.enter(self.plan.run, self)
        try:
            await self._insist(lambda: self._open(self._capacities()))
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._reconcile, name=f"reconcile {self.plan.run}")
                await self._dispatch()
                if not self.dispatcher.finished:
                    await self._drain()
                tasks.cancel_scope.cancel()
            await self._insist(self._queues.close)
        finally:
            self.dispatcher.leave()
            self.office.leave(self.plan.run)
        return self.dispatcher.finished

    async def _dispatch(self) -> None:
        while not self.dispatcher.finished and not self.stopping.is_set():
            changed = self._changed
            capacity = self._capacities()
            self._note_zones(capacity)
            await self._insist(partial(self._open, capacity))
            await self._recall(capacity)
            batch = self.dispatcher.step(
                capacity=capacity,
                now=self.clock(),
                broken=self._broken,
                stop_on=self.stops.on_login,
                route=self._zones.route,
            )
            self._note_demand(batch, capacity)
            if batch.attempts or batch.unplannable or batch.left_out or batch.held:
                await self._send(batch)
                await self._gather(capacity)
                continue
            due = self.dispatcher.next_due()
            pause = IDLE_S if due is None else min(max(due - self.clock(), 0.01), IDLE_S)
            with anyio.move_on_after(pause):
                await changed.wait()

    @property
    def _worked_in(self) -> tuple[str, ...]:
        """The zones that its targets' new attempts go to."""
        return tuple(dict.fromkeys(map(self._zones.worked_in, self.plan.zones.homes)))

    def _capacities(self) -> Mapping[str, int]:
        return {zone: self.capacity(zone) for zone in self.plan.zones.all}

    def _note_demand(self, batch: Batch, capacity: Mapping[str, int]) -> None:
        """A run that has not filled its window cannot: others may have the rest."""
        by_zone, ready = self.dispatcher.in_flight_by_zone, Counter[str]()
        zones = dict.fromkeys((*self._worked_in, *by_zone))
        full = {zone for zone in zones if by_zone.get(zone, 0) >= WINDOW * capacity.get(zone, 0)}
        full |= zones.keys() if len(batch.attempts) >= LIMIT else set()
        for home, number in self.dispatcher.ready().items() if full else ():
            ready[self._zones.worked_in(home)] += number
        self.demand = {zone: by_zone.get(zone, 0) + (ready[zone] if zone in full else 1) for zone in zones}

    async def _gather(self, capacity: Mapping[str, int]) -> None:
        there = [zone for zone in self._worked_in if capacity.get(zone, 0)]

        def stocked() -> bool:
            flying = self.dispatcher.in_flight_by_zone
            return all(flying.get(zone, 0) >= STOCK * capacity[zone] for zone in there)

        with anyio.move_on_after(GATHER_S):
            while stocked():
                await self._changed.wait()

    def _note_zones(self, capacity: Mapping[str, int]) -> None:
        now = self.clock()
        for home in self._zones.note(capacity, now):
            log.warning("zone changes hands", run=self.plan.run, zone=home, done_by=self._zones.worked_in(home))
        if why := self._zones.alone(self.dispatcher.left(), now):
            self.gave_up = why
            log.error("run stopped", run=self.plan.run, why=self.gave_up)
            self.stopping.set()

    async def _recall(self, capacity: Mapping[str, int]) -> None:
        """Take back what a zone that is not there has been given, where it could go elsewhere (`zone_watch`, Z5)."""
        if not self.plan.zones.fallbacks or all(capacity.values()):
            return
        out = dict.fromkeys((attempt.zone, attempt.planned.zone) for attempt in self.dispatcher.open_attempts())
        for zone in self._zones.to_recall(out, capacity):
            given = await self._insist(partial(self._queues.recall, zone))
            now, mine = self.clock(), [a for a in self.dispatcher.open_attempts() if a.zone == zone]
            text = f"zone {zone!r} has no appliance, and its queue was emptied before any had been given the job"
            taken_back = [a for a in mine if (place := self._place(a)) is None or place.seq > given]
            log.warning("jobs taken back", run=self.plan.run, zone=zone, number=len(taken_back))
            await self._settle([(a, ORCHESTRATOR, recalled(a, now=now, text=text)) for a in taken_back], now)
        for zone in self._zones.overdue(self.clock(), self.plan.pace.deadline + GRACE_S):
            for left in [a for a in self.dispatcher.open_attempts() if a.zone == zone]:
                why = f"zone {zone!r} has had no appliance since, and the deadline is over"
                await self.lose(left.planned.job, left.attempt, left.lease, why)

    def _broken(self, account: Account) -> bool:
        return self.office.broken(account, self.plan.run)

    async def _drain(self) -> None:
        """Take the run off the appliances, and wait for what they have in hand; the rest is for `--resume`.

        Whoever has a job in hand has reported it by its deadline. The lease of one who died stays on the bus, since
        nobody pulls any more; so the bus alone does not tell when to go, nor is a zone waited for that has been without
        appliances for so long.
        """
        self.demand = {}  # others may have what it no longer uses
        patience = self.plan.pace.deadline + DRAIN_GRACE_S
        with anyio.move_on_after(patience):
            cut = self.cutting.is_set()
            await self._insist(partial(self._queues.pause, cut=cut))
            while True:
                if self.cutting.is_set() and not cut:
                    cut = True
                    await self._insist(partial(self._queues.pause, cut=True))
                try:
                    if not await self._queues.busy(but=self._zones.gone(self.clock(), patience)):
                        return
                except BusError:
                    return
                await anyio.sleep(DRAIN_POLL_S)

    async def _open(self, capacity: Mapping[str, int]) -> None:
        await self._queues.open(self._worked_in, capacity)

    async def _insist(self, step: Callable[[], Awaitable[T]]) -> T:
        """Repeat an idempotent step until the bus takes it; whoever started the run decides how long to wait."""
        while True:
            try:
                return await step()
            except BusError as error:
                log.warning("the bus refused a step; trying again", run=self.plan.run, error=str(error))
                await anyio.sleep(REOPEN_S)

    # -- sending -----------------------------------------------------------------------------------------------------

    async def _send(self, batch: Batch) -> None:
        keys = await self.host_keys.known(dict.fromkeys(addresses_of(batch.attempts)))
        jobs = [self._job(attempt, keys) for attempt in batch.attempts]
        now = self.clock()
        rows: list[tuple[JobRow, AttemptRow | None]] = [(JobRow.of(job), AttemptRow.of(job, now)) for job in jobs]
        rows += [(self._row(planned), None) for planned in batch.held]
        await self._write(batch, rows, now)
        await self._insist(lambda: self._put(jobs))

    async def _put(self, jobs: Sequence[Job]) -> None:
        placed = await self.bus.put(jobs)
        for job, place in zip(jobs, placed, strict=True):
            if place is not None and self._is_open(job):
                self._placed[job.job, job.attempt] = place

    def _is_open(self, job: Job) -> bool:
        attempt = self.dispatcher.open(job.job)
        return attempt is not None and attempt.attempt == job.attempt

    def _job(self, attempt: OpenAttempt, keys: Mapping[str, Sequence[str]]) -> Job:
        return job_of(attempt, self.plan, keys)

    def _row(self, planned: Planned) -> JobRow:
        records = tuple(map(RecordUse.of, planned.candidates))
        return JobRow(self.plan.run, planned.job, planned.technology, planned.target, records)

    async def _write(self, batch: Batch, rows: Sequence[tuple[JobRow, AttemptRow | None]], now: float) -> None:
        ended = [self._unplannable(target, now) for target in batch.unplannable]
        ended += [self._left_out(job, now) for job in batch.left_out]
        taken = await self.attempts.dispatched(self.plan.run, rows, batch.cursors, ended)
        for outcome, fresh in zip(ended, taken, strict=True):
            self.counts[outcome.status] += fresh

    def _unplannable(self, target: Unplannable, now: float) -> Undispatched:
        row = JobRow(self.plan.run, target.job, target.technology, target.target, ())
        evidence = Evidence(phase=Phase.PLAN, signal=named(target.reason), text=target.text, started_at=now)
        return Undispatched(row, target.reason, REASONS[target.reason].status, evidence, now)

    def _left_out(self, job: LeftOut, now: float) -> Undispatched:
        evidence = Evidence(
            phase=Phase.DISPATCH,
            signal=named(STOPPED),
            text=job.stop.text,
            facts={"cause": STOPPED},
            started_at=now,
        )
        return Undispatched(self._row(job.planned), STOPPED, REASONS[STOPPED].status, evidence, now, after=job.after)

    # -- what comes back ---------------------------------------------------------------------------------------------

    async def take(self, deliveries: Sequence[ReportDelivery]) -> None:
        """Settle reports of this run; what is stale changes nothing."""
        now = self.clock()
        decided: list[tuple[OpenAttempt, str, Decision]] = []
        for delivery in deliveries:
            attempt = self.dispatcher.open(delivery.report.job)
            decision = decide(delivery.report, attempt, self.plan.pace, now=now)
            if attempt is None or isinstance(decision, Stale):
                log.info("stale report discarded", job=delivery.report.job, attempt=delivery.report.attempt)
            else:
                decided.append((attempt, delivery.sender, decision))
        await self._settle(decided, now)

    async def lose(self, job: str, attempt_number: int, lease: str | None, why: str) -> None:
        """An attempt is lost, if it is still the open one."""
        now = self.clock()
        attempt = self.dispatcher.open(job)
        if attempt is None or attempt.attempt != attempt_number or (lease is not None and lease != attempt.lease):
            return
        log.warning("attempt lost", run=self.plan.run, job=job, attempt=attempt_number, why=why)
        await self._settle([(attempt, ORCHESTRATOR, lost(attempt, self.plan.pace, now=now, text=why))], now)

    async def _settle(self, decided: Sequence[tuple[OpenAttempt, str, Decision]], now: float) -> None:
        rows = [self._settled(attempt, sender, decision, now) for attempt, sender, decision in decided]
        first = await self.attempts.settle(rows)
        for (attempt, _, decision), row, counted in zip(decided, rows, first, strict=True):
            if not counted:
                continue
            self._placed.pop((attempt.planned.job, attempt.attempt), None)
            self._note_vault(attempt, decision, now)
            if (waited := permit_wait(decision)) is not None:
                self.dispatcher.permit_waited(attempt, waited, now=now)
            if isinstance(decision, Final):
                self.dispatcher.close(attempt.planned.job)
                self.office.job_over(self.plan.run, attempt.planned)
                self.counts[row.status] += 1
            elif not isinstance(decision, Stale):
                self.dispatcher.again(decision.repeat)
        await self._learn([d for d, counted in zip(decided, first, strict=True) if counted])
        self.wake()

    def _note_vault(self, attempt: OpenAttempt, decision: Decision, now: float) -> None:
        if isinstance(decision, Stale):
            return
        before = {away.vault for away in self.dispatcher.vaults_away}
        note_vault(self.dispatcher, attempt, decision, now=now)
        after = {away.vault for away in self.dispatcher.vaults_away}
        for vault in after - before:
            log.warning("vault away", run=self.plan.run, vault=vault, text=decision.evidence.text)
        for vault in before - after:
            log.warning("vault back", run=self.plan.run, vault=vault)

    def _settled(self, attempt: OpenAttempt, sender: str, decision: Decision, now: float) -> Settled:
        assert not isinstance(decision, Stale), "stale reports are sorted out before"  # noqa: S101 - narrows the type
        return Settled(
            run=self.plan.run,
            job=attempt.planned.job,
            technology=attempt.planned.technology,
            attempt=attempt.attempt,
            lease=attempt.lease,
            appliance=sender,
            reason=decision.reason.code,
            status=decision.reason.status,
            evidence=decision.evidence,
            finished_at=now,
            final=isinstance(decision, Final),
        )

    async def _learn(self, decided: Sequence[tuple[OpenAttempt, str, Decision]]) -> None:
        """Trust on first use: note the key of a host that had none. One that a CA vouches for is not ours to trust."""
        seen = []
        for attempt, _, decision in decided:
            facts = {} if isinstance(decision, Stale) else decision.evidence.facts
            key = "" if "host_certificate" in facts else facts.get("host_key", "")
            jump_key = "" if "jump_host_certificate" in facts else facts.get("jump_host_key", "")
            candidate, jump = _tofu(attempt.planned.candidates), jump_of_job(attempt.planned)
            if key and candidate is not None:
                seen.append((attempt.planned.target.address, candidate.port, key, self.plan.run))
            if jump_key and jump is not None and jump.host_keys is HostKeyPolicy.TOFU:
                seen.append((jump.address, jump.port, jump_key, self.plan.run))
        await self.host_keys.learn(seen)

    # -- gaps --------------------------------------------------------------------------------------------------------

    async def _reconcile(self) -> None:
        noticed: dict[str, dict[tuple[str, int], float]] = {}
        while True:
            await anyio.sleep(self.reconcile_every)
            for zone in self._queues.opened:
                try:
                    view = await self._queues.view(zone)
                except BusError:
                    await self._insist(partial(self._queues.open, [zone], self._capacities(), anew=True))
                    continue
                suspects = [self._suspect(one) for one in self.dispatcher.open_attempts() if one.zone == zone]
                deadline, before = self.plan.pace.deadline, noticed.get(zone, {})
                gone, noticed[zone] = reconcile(suspects, view, before, deadline=deadline, now=self.clock())
                for attempt in gone:
                    await self.lose(attempt.job, attempt.attempt, None, attempt.why)

    def _suspect(self, attempt: OpenAttempt) -> Suspect:
        return Suspect(attempt.planned.job, attempt.attempt, attempt.dispatched_at, self._place(attempt))

    def _place(self, attempt: OpenAttempt) -> Placed | None:
        return self._placed.get((attempt.planned.job, attempt.attempt))


def _tofu(candidates: Sequence[Candidate]) -> Candidate | None:
    return next((c for c in candidates if c.host_keys is HostKeyPolicy.TOFU), None)
