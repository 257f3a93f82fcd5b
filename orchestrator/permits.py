"""Permits as scan processes ask for them: is a request genuine, and whose is it to answer?

The holder of a run answers for it: it knows which attempts are open, and what their records allow. What an admin has
stopped is looked up before each decision, and once more before a grant is told. Then the account's pacer decides: ours
(`pacer_desk`), or another orchestrator's (`pacer_shards`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from appliance.contract import Account, Part, PermitAnswer, PermitAsk, PermitRelease, PermitRequest, PermitVerdict
from appliance.logs import get_logger
from orchestrator.account_state import Budget
from orchestrator.attempts import OpenAttempt, Planned
from orchestrator.pacer_desk import OvertakenError, PacerDesk, Posed, named
from orchestrator.pacing import STOPPED, stopped
from orchestrator.stops import Stop, Stops
from orchestrator.store.leases import Held

REMEMBER_S = 24 * 3600.0

log = get_logger()


class PacedRun(Protocol):
    """What the office must know of a run that is open."""

    @property
    def began(self) -> float: ...

    def current(self, job: str) -> OpenAttempt | None: ...

    def budget(self, account: Account, record: str) -> Budget | None:
        """The budget this run's records give the account; None where they don't name it."""
        ...


class Pacers(Protocol):
    """Every account's pacer, wherever it is. Raises OvertakenError where there is none that answers."""

    async def ask(self, asks: Sequence[Posed | PermitRelease | PermitAnswer]) -> list[PermitAnswer | None]: ...

    async def hold(self, holder: str, pose: Callable[[], Posed | PermitAnswer]) -> PermitAnswer: ...

    async def withdraw(self, request: PermitRequest) -> None: ...

    def job_over(self, run: str, job: str, accounts: Sequence[Account], host: str) -> None:
        """A job has its outcome (`Pacer.job_over`)."""
        ...


def is_genuine(request: PermitRequest, attempt: OpenAttempt | None) -> bool:
    """Is it for the job's open attempt, with its lease, and for an account that its record names?"""
    if attempt is None or attempt.attempt != request.attempt or attempt.lease != request.lease:
        return False
    return any(request.account in c.accounts for c in attempt.planned.candidates if c.record == request.record)


class PermitOffice:
    """Serves permits for all open runs of one orchestrator."""

    def __init__(
        self,
        desk: PacerDesk,
        clock: Callable[[], float],
        stops: Stops,
        pacers: Pacers | None = None,
        run_lease: Callable[[str], Held | None] = lambda _run: None,
    ) -> None:
        """`pacers`: where other orchestrators are on the bus; else the desk is all accounts' own."""
        self._desk = desk
        self._pacer = desk.pacer
        self._pacers: Pacers = desk if pacers is None else pacers
        self._alone = pacers is None
        self._run_lease = run_lease
        self._stops = stops
        self._clock = clock
        self._runs: dict[str, PacedRun] = {}
        self._skips: dict[str, dict[Account, None]] = {}
        """By run: accounts whose breaker is open, as another orchestrator's pacer has said."""

    # -- runs ----------------------------------------------------------------------------------------------------------

    def enter(self, run: str, paced: PacedRun) -> None:
        self._runs[run] = paced

    def leave(self, run: str) -> None:
        self._runs.pop(run, None)
        self._skips.pop(run, None)
        self._pacer.forget_run(run, now=self._clock())
        oldest = min((r.began for r in self._runs.values()), default=self._clock())
        self._pacer.prune(before=min(oldest, self._clock() - REMEMBER_S))

    def job_over(self, run: str, planned: Planned) -> None:
        """A job has its outcome: what the pacer has of it, nobody will ask for."""
        accounts = [account for candidate in planned.candidates for account in candidate.accounts]
        host = f"host:{planned.target.address.lower()}"
        with_root = any(candidate.root is not None for candidate in planned.candidates)
        for job in (planned.job, named(planned.job, Part.ROOT)) if with_root else (planned.job,):
            self._pacers.job_over(run, job, accounts, host)

    def stops_changed(self) -> None:
        """Whoever waits is judged anew."""
        self._desk.look_again()

    def broken(self, account: Account, run: str) -> bool:
        """Is the account's breaker open for this run?"""
        if account in self._skips.get(run, ()):
            return True
        paced, breaker = self._runs.get(run), self._pacer.breaker(account)
        return breaker is not None and paced is not None and (breaker.run == run or paced.began <= breaker.opened_at)

    # -- the bus's two calls -------------------------------------------------------------------------------------------

    async def ask(self, asks: Sequence[PermitAsk], sender: str) -> list[PermitAnswer | None] | None:
        """Answer requests at once, and take releases in (None), in this order, each durable. None in place of the whole
        where another orchestrator is to answer, or nobody can.
        """
        if self._is_anothers(*asks):
            return None
        attempts = [self._attempt(one) if isinstance(one, PermitRequest) else None for one in asks]
        posed = [
            one if isinstance(one, PermitRelease) else self._pose(one, attempt, sender)
            for one, attempt in zip(asks, attempts, strict=True)
        ]
        try:
            answers = await self._pacers.ask(posed)
            for n, one in enumerate(asks):
                if isinstance(one, PermitRequest) and (answer := answers[n]) is not None:
                    answers[n] = await self._as_told(one, attempts[n], answer)
        except OvertakenError:
            return None
        return answers

    async def hold(self, request: PermitRequest, sender: str) -> PermitAnswer | None:
        """Answer one request; it may be held for a while. None as of `ask`."""
        if self._is_anothers(request):
            return None
        attempt: OpenAttempt | None = None

        def pose() -> Posed | PermitAnswer:
            nonlocal attempt
            attempt = self._attempt(request)
            return self._pose(request, attempt, sender)

        try:
            answer = await self._pacers.hold(request.holder, pose)
            return await self._as_told(request, attempt, answer)
        except OvertakenError:
            return None

    def _is_anothers(self, *asks: PermitAsk) -> bool:
        return not self._alone and not any(one.run in self._runs for one in asks)

    def _attempt(self, request: PermitRequest) -> OpenAttempt | None:
        paced = self._runs.get(request.run)
        return paced.current(request.job) if paced is not None else None

    def _pose(self, request: PermitRequest, attempt: OpenAttempt | None, sender: str) -> Posed | PermitAnswer:
        """What its account's pacer is to know of it; or the answer, where it has no business with him."""
        paced = self._runs.get(request.run)
        if paced is None or not is_genuine(request, attempt):
            log.warning("permit refused: not an open attempt", sender=sender, job=request.job, of=request.attempt)
            return PermitAnswer(verdict=PermitVerdict.DUPLICATE, text="this is not an open attempt")
        stop = self._stop_on(request, attempt)
        return Posed(request, self._budget(request), paced.began, stop, self._run_lease(request.run))

    async def _as_told(self, request: PermitRequest, attempt: OpenAttempt | None, answer: PermitAnswer) -> PermitAnswer:
        """What whoever asked is told."""
        if answer.verdict is PermitVerdict.SKIP and answer.cause not in (STOPPED, "LOCKOUT_BUDGET_SPENT"):
            self._note_breaker(request)
        if answer.verdict is not PermitVerdict.GRANTED:
            return answer
        self._skips.get(request.run, {}).pop(request.account, None)
        return await self._unless_stopped(request, attempt, answer)

    async def _unless_stopped(
        self, request: PermitRequest, attempt: OpenAttempt | None, granted: PermitAnswer
    ) -> PermitAnswer:
        """A stop may have come while the grant was being made durable: who issued it has been told that it holds."""
        stop = self._stop_on(request, attempt)
        if stop is None:
            return granted
        await self._pacers.withdraw(request)
        return stopped(stop)

    def _note_breaker(self, request: PermitRequest) -> None:
        if not self._alone and request.run in self._runs:
            self._skips.setdefault(request.run, {})[request.account] = None

    def _stop_on(self, request: PermitRequest, attempt: OpenAttempt | None) -> Stop | None:
        candidates = attempt.planned.candidates if attempt is not None else ()
        login = next((c for c in candidates if c.record == request.record), None)
        if login is None:
            return None
        return self._stops.on_root(login) if request.part == Part.ROOT else self._stops.on_login(login)

    def _budget(self, request: PermitRequest) -> Budget:
        """Where two records, of this run or another open one, name one account, the smaller budget wins."""
        given = (paced.budget(request.account, request.record) for paced in self._runs.values())
        budgets = [budget for budget in given if budget is not None]
        failures = min((b.failures for b in budgets), default=1)
        return Budget(failures, max((b.window_s for b in budgets), default=REMEMBER_S))

    async def run(self) -> None:
        """Until cancelled. Owned by the service's task group."""
        await self._desk.run()
