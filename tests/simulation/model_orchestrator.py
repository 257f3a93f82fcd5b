"""Layer 1's orchestrator: the real pacer, dispatcher, collect and reconcile, with a shell that does what
`controller.py`, `permits.py` and `service.py` do around them, as events.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from appliance.bus import Placed
from appliance.contract import (
    DEADLINE,
    Account,
    Deferred,
    Outcome,
    PermitAnswer,
    PermitRelease,
    PermitRequest,
    PermitVerdict,
    Phase,
    Technology,
)
from appliance.reasons import REASONS
from orchestrator.account_state import Budget
from orchestrator.attempts import OpenAttempt, Repeat, Unplannable
from orchestrator.collect import Again, Decision, Final, Stale, note_vault, permit_wait
from orchestrator.dispatch import WINDOW, Batch, Dispatcher, Pace
from orchestrator.pacer_desk import HOLD_S, PacerDesk
from orchestrator.pacing import STOPPED, Pacer, stopped
from orchestrator.permit_ledger import LedgerEntry
from orchestrator.permits import REMEMBER_S, PermitOffice
from orchestrator.reconcile import Suspect
from orchestrator.stops import Selector, Stop, Stops
from orchestrator.store.records import Settled
from orchestrator.zones import DEFAULT_ZONE
from tests.simulation.estate import DIRECTORY, Plan
from tests.simulation.kernel import Actor, Kernel, Violation
from tests.simulation.memory import Memory
from tests.simulation.model_bus import Gone, Message, ModelBus, Taken
from tests.simulation.options import Options
from tests.simulation.oracle import Oracle
from tests.simulation.parts import Parts
from tests.simulation.watch import Watch

RECONCILE_S = 10.0
REOPEN_S = 0.5


@dataclass(slots=True)
class Run:
    """A run as the orchestrator's memory holds it; implements `PacedRun`."""

    name: str
    plan: Plan
    pace: Pace
    began: float
    budget_each: Budget
    dispatcher: Dispatcher
    counts: Counter[str]
    placed: dict[tuple[str, int], Placed] = field(default_factory=dict)
    noticed: dict[tuple[str, int], float] = field(default_factory=dict)
    stopping: bool = False
    told: bool = False

    def current(self, job: str) -> OpenAttempt | None:
        return self.dispatcher.open(job)

    def budget(self, account: Account, record: str) -> Budget | None:
        return self.budget_each


@dataclass(slots=True)
class _Held:
    """A permit request that must wait."""

    request: PermitRequest
    reply: Callable[[PermitAnswer], None]
    until: float


class Orchestrator(Actor):
    def __init__(
        self,
        kernel: Kernel,
        options: Options,
        bus: ModelBus,
        memory: Memory,
        oracle: Oracle,
        parts: Parts,
        capacity: Callable[[], int],
    ) -> None:
        super().__init__()
        self.kernel, self.options, self.bus, self.memory = kernel, options, bus, memory
        self.oracle, self.parts, self.capacity = oracle, parts, capacity
        self.coverage = oracle.coverage
        self.watch = Watch(oracle.coverage)
        self.runs: dict[str, Run] = {}
        self.done: dict[str, None] = {}
        self.plans: dict[str, tuple[Plan, float]] = {}
        self._start()

    # -- life --------------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        now = self.kernel.now
        self.pacer: Pacer = self.parts.pacer()
        lost = self.pacer.restore([e for e in self.memory.ledger if e.at >= now - REMEMBER_S])
        self.watch.restored(self.memory.ledger, lost)
        self._append([entry for entries in lost.values() for entry in entries])
        self.stops = Stops(self.memory.stops)
        desk = PacerDesk(self.pacer, _NoLedger(), lambda: self.kernel.now)
        self.office = PermitOffice(desk, lambda: self.kernel.now, self.stops)
        self._held: list[_Held] = []
        self._queue: list[tuple[Sequence[LedgerEntry], Callable[[], None]]] = []
        self._committing = False
        self._sweeping = False

    def crash(self, *, power: bool) -> None:
        self.kernel.note("CRASH orchestrator", "with its power" if power else "")
        self.die()
        self.runs.clear()
        if power:
            lost = self.memory.power_cut(self.kernel.rng)
            self.kernel.note("the disk has lost", lost, "writes")

    def rise(self) -> None:
        super().rise()
        self.kernel.note("up orchestrator")
        self._start()
        for name in self.plans:
            if name not in self.done:
                self.resume(name)
        self.wake_collector()

    def begin(self, name: str, plan: Plan) -> None:
        """A new run."""
        self.plans[name] = (plan, self.kernel.now)
        self.oracle.began[name] = self.kernel.now
        if self.alive:
            self.resume(name)

    def resume(self, name: str) -> None:
        """Take a run up where the store says it stands: nothing of its earlier life is delivered any more."""
        plan, began = self.plans[name]
        options = self.options
        pace = Pace(options.deadline, options.patience, options.retries, options.per_subnet)
        dispatcher = self.parts.dispatcher(
            plan,
            pace,
            self.memory.cursors[name],
            lambda: f"{self.kernel.rng.getrandbits(64):016x}",
            lambda _: options.budget,
        )
        run = Run(name, plan, pace, began, Budget(options.budget, options.window), dispatcher, Counter())
        run.counts.update(self.memory.counts(name))
        self.bus.paused.pop(name, None)
        self.bus.purge(name)
        for job, stored in self.memory.unfinished(name):
            planned = plan.by_job[job]
            assert not isinstance(planned, Unplannable)
            dispatcher.again(
                Repeat(planned, stored.newest + 1, self.kernel.now, tried=stored.tried.get(stored.newest, ()))
            )
        self.runs[name] = run
        self.office.enter(name, run)
        self.bus.open(name, self.capacity() or 1)
        self.kernel.at(RECONCILE_S, self, self._reconcile, run)
        self.wake(run)

    def stop(self) -> None:
        """An operator's Ctrl-C: nothing new goes out; what is in hand ends; then all of it is taken up again."""
        for run in list(self.runs.values()):
            if not run.stopping:
                self.kernel.note("stop", run.name)
                run.stopping = True
                self.bus.paused[run.name] = None
                self.kernel.at(self.options.deadline + 10.0, self, self._stopped, run)

    def stop_use(self, selector: Selector) -> None:
        """An admin's order: in force at once, durable a moment later, and then it is answered."""
        if not self.alive:
            return
        stop = self.stops.put(Stop(selector, self.kernel.now, "admin"))
        self.kernel.note("stop use", stop.selector)
        for held in list(self._held):
            self._again(held)
        for run in self.runs.values():
            self.wake(run)
        self.kernel.at(self.bus.delay(), self, self._stop_stands, stop)

    def _stop_stands(self, stop: Stop) -> None:
        if self.stops.get(stop.selector) is stop:
            self.memory.stops.put(stop)
            self.oracle.stopped(stop, self.kernel.now)

    def allow_use(self) -> None:
        """All of it."""
        if self.alive:
            self.kernel.note("allow use")
            self.oracle.allowed()
            for stop in list(self.stops):
                self.memory.stops.lift(stop)
                self.stops.lift(stop)

    def _stopped(self, run: Run) -> None:
        if self.runs.get(run.name) is run and run.stopping:
            self.office.leave(run.name)
            self.oracle.left(run.name)
            del self.runs[run.name]
            self.kernel.note("resume", run.name)
            self.resume(run.name)

    # -- sending -----------------------------------------------------------------------------------------------------

    def wake(self, run: Run) -> None:
        if not run.told:
            run.told = True
            self.kernel.at(self.bus.delay(), self, self._dispatch, run)

    def _dispatch(self, run: Run) -> None:
        run.told = False
        if self.runs.get(run.name) is not run or run.stopping:
            return
        if run.dispatcher.finished:
            self._finish(run)
            return
        now = self.kernel.now
        before = self.watch.before(run.dispatcher)
        broken = [account for account in self._accounts(run) if self.office.broken(account, run.name)]
        batch = run.dispatcher.step(
            capacity={DEFAULT_ZONE: self.capacity()},
            now=now,
            broken=broken.__contains__,
            stop_on=self.stops.on_login,
        )
        self.watch.step(run.dispatcher, batch, capacity=self.capacity(), broken=bool(broken))
        self.oracle.goes_out(batch.attempts)
        for attempt in batch.attempts:
            self.oracle.dispatched(run.name, attempt.planned.job, attempt.attempt, attempt.lease, self.memory)
        self.oracle.open(
            run.dispatcher.open_attempts(),
            most=max(WINDOW * self.capacity(), before.open),
            per_account=None if broken else self.watch.room(before, run.dispatcher),
            per_subnet=run.pace.per_subnet,
        )
        if batch.attempts or batch.unplannable or batch.left_out or batch.held:
            self._write(run, batch)
            self.kernel.at(self.bus.delay(), self, self._put, run, deque(batch.attempts))
        due = run.dispatcher.next_due()
        if due is not None:
            self.kernel.at(max(due - now, 0.01), self, self.wake, run)
        elif not run.dispatcher.in_flight or not self.capacity():
            self.kernel.at(1.0, self, self.wake, run)

    @staticmethod
    def _accounts(run: Run) -> list[Account]:
        units = [unit for unit in run.plan.by_job.values() if not isinstance(unit, Unplannable)]
        return list(dict.fromkeys(unit.account for unit in units if unit.account is not None))

    def _write(self, run: Run, batch: Batch) -> None:
        ends = [(u.job, u.reason, REASONS[u.reason].status, 0) for u in batch.unplannable]
        ends += [(left.planned.job, STOPPED, REASONS[STOPPED].status, left.after) for left in batch.left_out]
        rows = [(a.planned.job, a.attempt, a.lease, a.tried) for a in batch.attempts]
        taken = self.memory.dispatched(run.name, rows, batch.cursors, [planned.job for planned in batch.held], ends)
        for (_, _, status, _), fresh in zip(ends, taken, strict=True):
            run.counts[status.value] += fresh

    def _put(self, run: Run, attempts: deque[OpenAttempt]) -> None:
        while attempts:
            attempt = attempts[0]
            self.kernel.note("put", run.name, attempt.planned.job, attempt.attempt)
            try:
                placed = self.bus.put(run.name, attempt)
            except Gone:
                self.kernel.at(REOPEN_S, self, self._put, run, attempts)
                return
            attempts.popleft()
            current = run.dispatcher.open(attempt.planned.job)
            if placed is not None and current is not None and current.attempt == attempt.attempt:
                run.placed[attempt.planned.job, attempt.attempt] = placed
        self.wake(run)

    def _finish(self, run: Run) -> None:
        self.kernel.note("finished", run.name, dict(run.counts))
        self.oracle.finished(run.plan.by_job, run.name, run.counts, self.memory)
        self.memory.sync()  # the run's end is told to a human: it stays
        self.bus.close(run.name)
        del self.runs[run.name]
        self.done[run.name] = None
        self.office.leave(run.name)

    # -- what comes back ---------------------------------------------------------------------------------------------

    def wake_collector(self) -> None:
        if self.alive:
            self.kernel.at(self.bus.delay(), self, self._collect)

    def _collect(self) -> None:
        for taken in self.bus.take_reports():
            run = self.runs.get(taken.report.run)
            if run is not None:
                self._take(run, taken.report)
            # The acknowledgement is a step of its own: a crash may come in between.
            self.kernel.at(self.bus.delay(), self, self._confirm, taken)

    def _confirm(self, taken: Taken) -> None:
        self.bus.confirm(taken)

    def _take(self, run: Run, report: Outcome | Deferred) -> None:
        attempt = run.dispatcher.open(report.job)
        decision = self.parts.decide(report, attempt, run.pace, now=self.kernel.now)
        self.watch.decision(report, attempt, decision)
        if attempt is None or isinstance(decision, Stale):
            return
        self.oracle.taken(report, attempt, decision)
        self._settle(run, attempt, decision, report.appliance)

    def lose(self, run: Run, job: str, number: int, lease: str | None, why: str) -> None:
        attempt = run.dispatcher.open(job)
        if attempt is None or attempt.attempt != number or (lease is not None and lease != attempt.lease):
            return
        self.kernel.note("lost", job, number, why)
        self.watch.lost(why)
        decision = self.parts.lost(attempt, run.pace, self.kernel.now, why)
        assert not isinstance(decision, Stale)
        self.oracle.decided(attempt, decision)
        self._settle(run, attempt, decision, "orchestrator")

    def advised(self, message: Message) -> None:
        """The server has given a job up after its second delivery."""
        run = self.runs.get(message.run)
        if run is not None:
            attempt = message.attempt
            self.lose(run, attempt.planned.job, attempt.attempt, attempt.lease, "given twice in vain")

    def _settle(self, run: Run, attempt: OpenAttempt, decision: Decision, sender: str) -> None:
        assert isinstance(decision, Again | Final)
        final = isinstance(decision, Final)
        if final:
            self.oracle.ended((run.name, attempt.planned.job), self.memory)
        row = Settled(
            run=run.name,
            job=attempt.planned.job,
            technology=attempt.planned.technology,
            attempt=attempt.attempt,
            lease=attempt.lease,
            appliance=sender,
            reason=decision.reason.code,
            status=decision.reason.status,
            evidence=decision.evidence,
            finished_at=self.kernel.now,
            final=final,
        )
        (counted,) = self.memory.settle([row])
        if not counted:
            return
        run.placed.pop((attempt.planned.job, attempt.attempt), None)
        parked = run.dispatcher._watch.parked
        note_vault(run.dispatcher, attempt, decision, now=self.kernel.now)
        self.watch.vault_noted(run.dispatcher, decision, parked)
        if (waited := permit_wait(decision)) is not None:
            run.dispatcher.permit_waited(attempt, waited, now=self.kernel.now)
        if isinstance(decision, Again):
            run.dispatcher.again(decision.repeat)
        else:
            self.kernel.note("outcome", attempt.planned.job, decision.reason.code)
            run.dispatcher.close(attempt.planned.job)
            accounts = [account for candidate in attempt.planned.candidates for account in candidate.accounts]
            host = f"host:{attempt.planned.target.address}"
            self.pacer.job_over(run.name, attempt.planned.job, accounts, host, now=self.kernel.now)
            run.counts[row.status.value] += 1
        self.wake(run)

    # -- gaps --------------------------------------------------------------------------------------------------------

    def _reconcile(self, run: Run) -> None:
        if self.runs.get(run.name) is not run:
            return
        self.kernel.at(RECONCILE_S, self, self._reconcile, run)
        self.wake_collector()
        for message in self.bus.sweep(run.name):
            self.advised(message)
        try:
            view = self.bus.view(run.name)
        except Gone:
            self.bus.open(run.name, self.capacity() or 1)
            return
        suspects = [
            Suspect(a.planned.job, a.attempt, a.dispatched_at, run.placed.get((a.planned.job, a.attempt)))
            for a in run.dispatcher.open_attempts()
        ]
        gone, run.noticed = self.parts.reconcile(
            suspects, view, run.noticed, deadline=run.pace.deadline, now=self.kernel.now
        )
        if run.noticed:
            self.coverage.hit("waits")
        for lost in gone:
            self.lose(run, lost.job, lost.attempt, None, lost.why)
        self.wake(run)

    # -- permits -----------------------------------------------------------------------------------------------------

    def request(self, request: PermitRequest, reply: Callable[[PermitAnswer], None]) -> None:
        if not self.alive:
            return
        self._judge(_Held(request, reply, self.kernel.now + HOLD_S))

    def _judge(self, held: _Held) -> None:
        request, now = held.request, self.kernel.now
        run = self.runs.get(request.run)
        if run is None or not self.parts.genuine(request, run.current(request.job)):
            held.reply(PermitAnswer(verdict=PermitVerdict.DUPLICATE, text="this is not an open attempt"))
            return
        budget = self.office._budget(request)
        before = self.watch.account(self.pacer, request, run, now)
        stop = self.office._stop_on(request, run.current(request.job))
        decision = self.pacer.request(request, budget, run_began=run.began, now=now, stop=stop)
        answer = decision.answer
        self.watch.answer(before, answer, decision.entries)
        self.kernel.note("permit", request.job, request.attempt, request.account, answer.verdict, answer.cause)
        if answer.verdict is PermitVerdict.GRANTED:
            attempt = run.dispatcher.open(request.job)
            if attempt is None or (attempt.attempt, attempt.lease) != (request.attempt, request.lease):
                raise Violation(f"a permit for {request.job}:{request.attempt}, which is not the open attempt")
            self.oracle.granted_to(attempt, run.name, self.memory)
            self._sweep_later(request.valid_for)
        if answer.verdict is PermitVerdict.WAIT and now < held.until:
            self._held.append(held)
            self.kernel.at(max(min(held.until, answer.until) - now, 0.01), self, self._again, held)
            self._commit(decision.entries, lambda: None)
        elif answer.verdict is PermitVerdict.GRANTED and self.parts.withdraw:
            attempt = run.current(request.job)
            self._commit(decision.entries, lambda: self._unless_stopped(held, attempt, answer))
        else:
            self._commit(decision.entries, lambda: held.reply(answer))

    def _unless_stopped(self, held: _Held, attempt: OpenAttempt | None, granted: PermitAnswer) -> None:
        stop = self.office._stop_on(held.request, attempt)
        if stop is None:
            held.reply(granted)
            return
        entries = self.pacer.withdraw(held.request, now=self.kernel.now)
        self.watch.withdrawn(entries)
        self._commit(entries, lambda: held.reply(stopped(stop)))
        self._changed(held.request.account)

    def _again(self, held: _Held) -> None:
        if held in self._held:
            self._held.remove(held)
            self._judge(held)

    def release(self, release: PermitRelease, reply: Callable[[], None]) -> None:
        if not self.alive:
            return
        before = self.watch.releasing(self.pacer, release)
        entries = self.pacer.release(release, now=self.kernel.now)
        self.watch.released(before, release, entries)
        self.kernel.note("release", release.job, release.attempt, *(f"{e.kind}({e.cause})" for e in entries))
        self._commit(entries, reply)
        self._changed(release.account)

    def strange(self, job: str) -> None:
        """A failed logon is reported that was never allowed."""
        run = next(iter(self.runs), "run-0")
        release = PermitRelease(
            run=run,
            job=job,
            attempt=1,
            lease="",
            holder="",
            technology=Technology.UNIX,
            account=DIRECTORY,
            phase=Phase.AUTH,
            signal=DEADLINE,
            submitted=True,
        )
        self.release(release, lambda: None)

    def _changed(self, account: Account) -> None:
        waiting = [held for held in self._held if held.request.account == account]
        for held in waiting:
            self._again(held)
        for run in self.runs.values():
            self.wake(run)

    def _sweep_later(self, delay: float) -> None:
        self.kernel.at(delay + self.kernel.rng.uniform(0.0, 1.0), self, self._sweep)

    def _sweep(self) -> None:
        entries = self.pacer.expire(now=self.kernel.now)
        self.watch.expired(entries)
        self._commit(entries, lambda: None)
        for account in dict.fromkeys(entry.account for entry in entries):
            self._changed(account)

    # -- durability --------------------------------------------------------------------------------------------------

    def _commit(self, entries: Sequence[LedgerEntry], then: Callable[[], None]) -> None:
        if not entries or self.parts.grant_first:
            then()
            then = lambda: None  # noqa: E731 - nothing is left to do once it is durable
        if entries:
            self.oracle.appending(entries)
            self._queue.append((entries, then))
            if not self._committing:
                self._committing = True
                self.kernel.at(self.bus.delay(0.02), self, self._flush)

    def _flush(self) -> None:
        self._committing = False
        tickets, self._queue = self._queue, []
        for entries, _ in tickets:
            self._append(entries)
        for _, then in tickets:
            then()

    def _append(self, entries: Sequence[LedgerEntry]) -> None:
        self.oracle.durable(entries)
        self.memory.ledger.extend(entries)


class _NoLedger:
    """The office is used for what it knows of runs; its own commits are not."""

    async def append(self, entries: Sequence[LedgerEntry]) -> None:
        raise NotImplementedError
