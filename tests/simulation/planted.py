"""Bugs on purpose: each breaks one rule, and the simulation must find it within SEEDS_MAX seeds, or it proves nothing.

They are made by subclass or wrapper, so that the real code is never touched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from appliance.contract import OK, Account, PermitAnswer, PermitRelease, PermitRequest, Report
from appliance.reasons import counts_towards_lockout
from orchestrator.account_state import Budget
from orchestrator.attempts import OpenAttempt, repeat_of
from orchestrator.collect import Again, Decision, Final, decide
from orchestrator.dispatch import NO_ROUTE, Batch, Dispatcher, Pace, StopOn
from orchestrator.pacing import Decision as Answer
from orchestrator.pacing import Pacer
from orchestrator.permit_ledger import LedgerEntry
from orchestrator.stops import Stop
from tests.simulation.coverage import Coverage
from tests.simulation.layer1 import simulate
from tests.simulation.parts import Parts

SEEDS_MAX = 2000


class _StaleReset(Pacer):
    """A success clears the account whenever it comes, also when its permit has expired or been overtaken."""

    def release(self, release: PermitRelease, *, now: float) -> tuple[LedgerEntry, ...]:
        entries = super().release(release, now=now)
        if release.signal == OK:
            self._accounts[release.account].prove(release.run, now, by_key=False)
        return entries


class _Duplicates(Pacer):
    """An attempt is given a permit as often as it asks."""

    def _judge(self, request: PermitRequest, *args: object, **kwargs: object) -> PermitAnswer:
        self._granted.get(request.run, {}).pop(request.job, None)
        return super()._judge(request, *args, **kwargs)  # type: ignore[arg-type] # as above


class _NoExpiry(Pacer):
    """A permit that is not returned in time is forgotten."""

    def _expire(self, account: Account, state: object, now: float) -> tuple[LedgerEntry, ...]:
        outstanding = self._accounts[account].outstanding
        for key in [key for key, grant in outstanding.items() if grant.expires_at <= now]:
            del outstanding[key]
        return ()


class _OwnBreakerOnly(Pacer):
    """The breaker stops the run that opened it, and no other."""

    def _judge(self, request: PermitRequest, *args: object, **kwargs: object) -> PermitAnswer:
        state = self._accounts[request.account]
        breaker = state.breaker
        if breaker is not None and breaker.run != request.run:
            state.breaker = None
        answer = super()._judge(request, *args, **kwargs)  # type: ignore[arg-type] # as above
        state.breaker = breaker
        return answer


class OneMore(Pacer):
    """The budget is off by one."""

    def request(
        self, request: PermitRequest, budget: Budget, *, run_began: float, now: float, stop: Stop | None = None
    ) -> Answer:
        more = replace(budget, failures=budget.failures + 1)
        return super().request(request, more, run_began=run_began, now=now, stop=stop)


class _Unstopped(Pacer):
    """An admin's stop is for the dispatcher alone."""

    def request(
        self, request: PermitRequest, budget: Budget, *, run_began: float, now: float, stop: Stop | None = None
    ) -> Answer:
        return super().request(request, budget, run_began=run_began, now=now)


class _NoCanary(Pacer):
    """Every account counts as proven."""

    def _judge(self, request: PermitRequest, *args: object, **kwargs: object) -> PermitAnswer:
        self._accounts[request.account].proven_for[request.run] = None
        return super()._judge(request, *args, **kwargs)  # type: ignore[arg-type] # as above


class Amnesia(Pacer):
    """A restart forgets the permits that were out."""

    def restore(self, entries: Iterable[LedgerEntry]) -> dict[str, list[LedgerEntry]]:
        for entry in entries:
            self._replay(entry)
        for state in self._accounts.values():
            state.outstanding.clear()
        return super().restore(())


class _Forgetful(Dispatcher):
    """A target that is held is known to memory only."""

    def step(
        self,
        *,
        capacity: Mapping[str, int],
        now: float,
        broken: Callable[[Account], bool],
        stop_on: StopOn,
        route: Mapping[str, str] = NO_ROUTE,
        limit: int = 500,
    ) -> Batch:
        step = super().step(capacity=capacity, now=now, broken=broken, stop_on=stop_on, route=route, limit=limit)
        return replace(step, held=())


class _SendsStopped(Dispatcher):
    """What an admin has stopped is for the permits alone."""

    def step(
        self,
        *,
        capacity: Mapping[str, int],
        now: float,
        broken: Callable[[Account], bool],
        stop_on: StopOn,
        route: Mapping[str, str] = NO_ROUTE,
        limit: int = 500,
    ) -> Batch:
        return super().step(capacity=capacity, now=now, broken=broken, stop_on=lambda _: None, route=route, limit=limit)


class _LeftBehind(Dispatcher):
    """A vault that is back is noted, and those who waited for it are not."""

    def vault_back(self, vault: str, attempt: OpenAttempt) -> None:
        self._watch.back(vault, attempt.dispatched_at)


class _Crowd(Dispatcher):
    """An account's crowd is no bar."""

    def _fits(self, repeat: object, broken: object) -> bool:
        return True


def any_attempt(_: PermitRequest, attempt: OpenAttempt | None) -> bool:
    return attempt is not None


def any_report(report: Report, attempt: OpenAttempt | None, pace: Pace, *, now: float) -> Decision:
    if attempt is not None:
        report = report.model_copy(update={"attempt": attempt.attempt, "lease": attempt.lease})
    return decide(report, attempt, pace, now=now)


def _again_and_again(report: Report, attempt: OpenAttempt | None, pace: Pace, *, now: float) -> Decision:
    decision = decide(report, attempt, pace, now=now)
    if isinstance(decision, Final) and attempt is not None and attempt.retries < pace.retries:
        counted = counts_towards_lockout(decision.reason, submitted=decision.evidence.submitted)
        if counted:
            return Again(decision.reason, decision.evidence, repeat_of(attempt, not_before=now, retry=True))
    return decision


@dataclass(frozen=True, slots=True)
class Planted:
    name: str
    parts: Parts
    found_at: int
    """A seed that finds it, so that a quick test needs no search."""


PLANTED = (
    Planted("no fencing of permits", Parts(genuine=any_attempt), 850),
    Planted("permit released early", Parts(early_release=True), 11),
    Planted("reset on a stale success", Parts(pacer=_StaleReset), 22),
    Planted("duplicate permit granted", Parts(pacer=_Duplicates), 23),
    Planted("expiry not counted", Parts(pacer=_NoExpiry), 9),
    Planted("breaker ignores other run", Parts(pacer=_OwnBreakerOnly), 24),
    Planted("budget off by one", Parts(pacer=OneMore), 5),
    Planted("retry of a counted failure", Parts(decide=_again_and_again), 5),
    Planted("report of a superseded attempt accepted", Parts(decide=any_report), 23),
    Planted("canary skipped", Parts(pacer=_NoCanary), 2),
    Planted("restore forgets unanswered permits", Parts(pacer=Amnesia), 0),
    Planted("answered before the ledger is durable", Parts(grant_first=True), 351),
    Planted("held targets are not written down", Parts(dispatcher=_Forgetful), 0),
    Planted("jobs parked for a vault are left behind", Parts(dispatcher=_LeftBehind), 4),
    Planted("an account's crowd is unbounded", Parts(dispatcher=_Crowd), 0),
    Planted("a stop is not looked up for a permit", Parts(pacer=_Unstopped), 35),
    Planted("a stopped job is dispatched", Parts(dispatcher=_SendsStopped), 35),
    Planted("a permit outlives the stop that it met", Parts(withdraw=False), 777),
)


def find(planted: Planted, *, start: int = 0, seeds: int = SEEDS_MAX) -> int | None:
    """The first seed from `start` on that finds it."""
    coverage = Coverage()
    return next((s for s in range(start, start + seeds) if simulate(s, coverage, planted.parts).broken), None)
