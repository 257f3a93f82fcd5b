"""The pacer at work: answers permit requests from the bus, once the ledger is durable.

One writer commits for all: requests that wait share one commit, and none waits by a timer. The order of ledger entries
is the order of the pacer's decisions. A request that must wait is held here for as long as a session may be kept open.
What an admin has stopped is looked up before each decision, and once more before a grant is told.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import anyio
import structlog

from appliance.contract import Account, Part, PermitAnswer, PermitAsk, PermitRelease, PermitRequest, PermitVerdict
from orchestrator.dispatch import OpenAttempt, Planned
from orchestrator.pacing import Budget, Decision, LedgerEntry, Pacer, stopped
from orchestrator.stops import Stop, Stops

HOLD_S = 5.0
SWEEP_S = 1.0
REMEMBER_S = 24 * 3600.0
GRANTED = PermitAnswer(verdict=PermitVerdict.GRANTED)

M = TypeVar("M", PermitRequest, PermitRelease)

log = structlog.get_logger()


class Ledger(Protocol):
    """Where permits are remembered."""

    async def append(self, entries: Sequence[LedgerEntry]) -> None:
        """Durable when it returns. Raises StoreError."""
        ...


class PacedRun(Protocol):
    """What the office must know of a run that is open."""

    @property
    def began(self) -> float: ...

    def current(self, job: str) -> OpenAttempt | None: ...

    def budget(self, account: Account, record: str) -> Budget | None:
        """The budget this run's records give the account; None where they don't name it."""
        ...


@dataclass(eq=False, slots=True)
class _Ticket:
    entries: Sequence[LedgerEntry]
    durable: anyio.Event = field(default_factory=anyio.Event)


def _by_part(message: M) -> M:
    """To the pacer, each login of an attempt is a job's of its own."""
    return message.model_copy(update={"job": _named(message.job, message.part)}) if message.part else message


def _named(job: str, part: str) -> str:
    return f"{job}/{part}" if part else job


def is_genuine(request: PermitRequest, attempt: OpenAttempt | None) -> bool:
    """Is it for the job's open attempt, with its lease, and for an account that its record names?"""
    if attempt is None or attempt.attempt != request.attempt or attempt.lease != request.lease:
        return False
    return any(request.account in c.accounts for c in attempt.planned.candidates if c.record == request.record)


class PermitOffice:
    """Serves permits for all open runs of one orchestrator."""

    def __init__(self, pacer: Pacer, ledger: Ledger, clock: Callable[[], float], stops: Stops) -> None:
        self._pacer = pacer
        self._stops = stops
        self._ledger = ledger
        self._clock = clock
        self._runs: dict[str, PacedRun] = {}
        self._queue: list[_Ticket] = []
        self._wake = anyio.Event()
        self._changed: dict[Account, anyio.Event] = {}
        self._held: dict[str, None] = {}
        """The holder tokens of the requests that are being answered."""

    # -- runs ----------------------------------------------------------------------------------------------------------

    def enter(self, run: str, paced: PacedRun) -> None:
        self._runs[run] = paced

    def leave(self, run: str) -> None:
        self._runs.pop(run, None)
        self._pacer.forget_run(run)
        oldest = min((r.began for r in self._runs.values()), default=self._clock())
        self._pacer.prune(before=min(oldest, self._clock() - REMEMBER_S))

    def job_over(self, run: str, planned: Planned) -> None:
        """A job has its outcome: what the pacer has of it, nobody will ask for."""
        accounts = [account for candidate in planned.candidates for account in candidate.accounts]
        host = f"host:{planned.target.address.lower()}"
        self._pacer.job_over(run, planned.job, accounts, host)
        if any(candidate.root is not None for candidate in planned.candidates):
            self._pacer.job_over(run, _named(planned.job, Part.ROOT), accounts, host)

    def stops_changed(self) -> None:
        """Whoever waits is judged anew."""
        for account in list(self._changed):
            self._notify(account)

    def broken(self, account: Account, run: str) -> bool:
        """Is the account's breaker open for this run?"""
        paced, breaker = self._runs.get(run), self._pacer.breaker(account)
        return breaker is not None and paced is not None and (breaker.run == run or paced.began <= breaker.opened_at)

    # -- the bus's two calls -------------------------------------------------------------------------------------------

    async def ask(self, asks: Sequence[PermitAsk], sender: str) -> list[PermitAnswer | None]:
        """Answer requests at once, and take releases in (None), in this order; one commit makes all of it durable."""
        answers: list[PermitAnswer | None] = []
        entries: list[LedgerEntry] = []
        granted: list[tuple[int, PermitRequest, OpenAttempt | None]] = []
        for n, one in enumerate(asks):
            if isinstance(one, PermitRelease):
                entries += self._take_in(one)
                answers.append(None)
            else:
                attempt = self._attempt(one)
                decision = self._decide(one, attempt, sender)
                entries += decision.entries
                answers.append(decision.answer)
                if decision.answer.verdict is PermitVerdict.GRANTED:
                    granted.append((n, one, attempt))
        await self._commit(entries)
        for n, request, attempt in granted:
            answers[n] = await self._unless_stopped(request, attempt, GRANTED)
        return answers

    async def hold(self, request: PermitRequest, sender: str) -> PermitAnswer:
        """Answer one request, within HOLD_S and a commit."""
        self._held[request.holder] = None
        try:
            return await self._answer(request, sender)
        finally:
            self._held.pop(request.holder, None)

    async def _answer(self, request: PermitRequest, sender: str) -> PermitAnswer:
        until = anyio.current_time() + HOLD_S  # not the ledger's clock, which may be set back
        while True:
            # Asked anew after every wait: meanwhile the attempt may have ended, or its run, or the asker's patience.
            if request.holder not in self._held:
                return PermitAnswer(verdict=PermitVerdict.WAIT, text="given back before it was granted")
            now, attempt = self._clock(), self._attempt(request)
            decision = self._decide(request, attempt, sender)
            await self._commit(decision.entries)
            if decision.answer.verdict is PermitVerdict.GRANTED:
                return await self._unless_stopped(request, attempt, decision.answer)
            left = until - anyio.current_time()
            if decision.answer.verdict is not PermitVerdict.WAIT or left <= 0:
                return decision.answer
            if decision.entries:
                continue  # the account may have changed during the commit, when nobody waited for that yet
            changed = self._changed.setdefault(request.account, anyio.Event())
            with anyio.move_on_after(min(left, max(decision.answer.until - now, 0.01))):
                await changed.wait()

    def _attempt(self, request: PermitRequest) -> OpenAttempt | None:
        paced = self._runs.get(request.run)
        return paced.current(request.job) if paced is not None else None

    def _decide(self, request: PermitRequest, attempt: OpenAttempt | None, sender: str) -> Decision:
        """The pacer's word on a request as of now; its entries are to be committed."""
        paced = self._runs.get(request.run)
        if paced is None or not is_genuine(request, attempt):
            log.warning("permit refused: not an open attempt", sender=sender, job=request.job, of=request.attempt)
            return Decision(PermitAnswer(verdict=PermitVerdict.DUPLICATE, text="this is not an open attempt"))
        stop, now = self._stop_on(request, attempt), self._clock()
        return self._pacer.request(_by_part(request), self._budget(request), run_began=paced.began, now=now, stop=stop)

    async def _unless_stopped(
        self, request: PermitRequest, attempt: OpenAttempt | None, granted: PermitAnswer
    ) -> PermitAnswer:
        """A stop may have come while the grant was being made durable: who issued it has been told that it holds."""
        stop = self._stop_on(request, attempt)
        if stop is None:
            return granted
        entries = self._pacer.withdraw(_by_part(request), now=self._clock())
        self._notify(request.account)
        await self._commit(entries)
        return stopped(stop)

    def _stop_on(self, request: PermitRequest, attempt: OpenAttempt | None) -> Stop | None:
        candidates = attempt.planned.candidates if attempt is not None else ()
        login = next((c for c in candidates if c.record == request.record), None)
        if login is None:
            return None
        return self._stops.on_root(login) if request.part == Part.ROOT else self._stops.on_login(login)

    def _take_in(self, release: PermitRelease) -> tuple[LedgerEntry, ...]:
        """One verdict; to be acknowledged when its entries are durable."""
        entries = self._pacer.release(_by_part(release), now=self._clock())
        self._held.pop(release.holder, None)
        self._notify(release.account)
        return entries

    def _budget(self, request: PermitRequest) -> Budget:
        """Where two records, of this run or another open one, name one account, the smaller budget wins."""
        given = (paced.budget(request.account, request.record) for paced in self._runs.values())
        budgets = [budget for budget in given if budget is not None]
        failures = min((b.failures for b in budgets), default=1)
        return Budget(failures, max((b.window_s for b in budgets), default=REMEMBER_S))

    # -- durability ----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Commit and sweep until cancelled. Owned by the service's task group."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._sweep, name="permits: sweep")
            tasks.start_soon(self._write, name="permits: commit")

    async def _write(self) -> None:
        while True:
            await self._wake.wait()
            self._wake = anyio.Event()
            tickets, self._queue = self._queue, []
            await self._ledger.append([entry for ticket in tickets for entry in ticket.entries])
            for ticket in tickets:
                ticket.durable.set()

    async def _sweep(self) -> None:
        while True:
            await anyio.sleep(SWEEP_S)
            expired = self._pacer.expire(now=self._clock())
            for entry in expired:
                self._notify(entry.account)
            await self._commit(expired)

    async def _commit(self, entries: Sequence[LedgerEntry]) -> None:
        """Returns when the entries are durable, and else never: whatever ends the writer ends the service, and with it
        whoever waits here. Nothing is granted or acknowledged meanwhile.
        """
        if not entries:
            return
        ticket = _Ticket(entries)
        self._queue.append(ticket)
        self._wake.set()
        await ticket.durable.wait()

    def _notify(self, account: Account) -> None:
        event = self._changed.pop(account, None)
        if event is not None:
            event.set()
