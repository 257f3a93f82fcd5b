"""Sees which rules are at work, from outside: what was asked, what was answered, and what the state was just before."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from appliance.contract import (
    Account,
    Deferred,
    Outcome,
    PermitAnswer,
    PermitRelease,
    PermitRequest,
    PermitVerdict,
    Reread,
)
from orchestrator.account_state import Breaker
from orchestrator.attempts import OpenAttempt
from orchestrator.collect import PERMIT_WAIT, Again, Decision, Final, Stale
from orchestrator.crowd import FIRST
from orchestrator.dispatch import WINDOW, Batch, Dispatcher
from orchestrator.pacing import STOPPED, Pacer
from orchestrator.permit_ledger import EntryKind, LedgerEntry
from orchestrator.permits import PacedRun
from tests.simulation.coverage import Coverage

_LOST = {
    "the bus never confirmed the job": "L1",
    "the bus lost its store": "L2",
    "the bus lost the job": "L2",
    "the bus ended the job without a report": "L3",
    "the bus has nothing left of the job": "L3 quiet",
    "given twice in vain": "lost job",
}


@dataclass(frozen=True, slots=True)
class Before:
    """A dispatcher before a step."""

    open: int
    held: int
    repeats: int
    crowds: Mapping[Account, int]
    """Open attempts of each account."""


@dataclass(frozen=True, slots=True)
class Asked:
    """An account when a permit is asked for."""

    breaker: Breaker | None
    run: str
    began: float
    proven: bool


class Watch:
    def __init__(self, coverage: Coverage) -> None:
        self._hit = coverage.hit

    # -- pacing ------------------------------------------------------------------------------------------------------

    def account(self, pacer: Pacer, request: PermitRequest, run: PacedRun, now: float) -> Asked:
        state = pacer._accounts.get(request.account)
        proven = state is not None and request.run in state.proven_for
        return Asked(pacer.breaker(request.account), request.run, run.began, proven)

    def answer(self, asked: Asked, answer: PermitAnswer, entries: Sequence[LedgerEntry]) -> None:
        self.expired([entry for entry in entries if entry.kind is EntryKind.FAILURE])
        match answer.verdict:
            case PermitVerdict.DUPLICATE:
                self._hit("R1")
            case PermitVerdict.SKIP if answer.cause == "LOCKOUT_BUDGET_SPENT":
                self._hit("R3 spent")
            case PermitVerdict.SKIP if answer.cause == STOPPED:
                self._hit("R10")
            case PermitVerdict.SKIP:
                own = asked.breaker is not None and asked.breaker.run == asked.run
                self._hit("R2" if own else "R2 other run")
            case PermitVerdict.WAIT:
                self._hit("R3 held" if asked.proven else "R4")
            case PermitVerdict.GRANTED if asked.breaker is not None:
                self._hit("R2 later run")

    def releasing(self, pacer: Pacer, release: PermitRelease) -> bool:
        """Is the permit still out?"""
        state = pacer._accounts.get(release.account)
        return state is not None and (release.run, release.job, release.attempt) in state.outstanding

    def released(self, out: bool, release: PermitRelease, entries: Sequence[LedgerEntry]) -> None:
        key = (release.run, release.job, release.attempt)
        mine = [entry for entry in entries if (entry.run, entry.job, entry.attempt) == key]
        kinds = [entry.kind for entry in mine]
        if EntryKind.SUCCESS in kinds:
            self._hit("R5")
        elif release.submitted and release.signal.kind == "ok":
            self._hit("R5 stale")
        if EntryKind.BREAKER in kinds:
            self._hit("R6 breaks" if EntryKind.FAILURE in kinds else "R6 word")
        elif EntryKind.FAILURE in kinds and release.reread is Reread.CHANGED:
            self._hit("R6 changed")
        if out and EntryKind.NEUTRAL in kinds:
            self._hit("R7")

    def expired(self, entries: Sequence[LedgerEntry]) -> None:
        for _ in entries:
            self._hit("R8")

    def restored(self, ledger: Sequence[LedgerEntry], lost: Mapping[str, Sequence[LedgerEntry]]) -> None:
        unanswered: dict[tuple[str, str, int], None] = {}
        for entry in ledger:
            key = (entry.run, entry.job, entry.attempt)
            if entry.kind is EntryKind.GRANTED:
                unanswered[key] = None
            elif entry.kind is not EntryKind.BREAKER:
                unanswered.pop(key, None)
        if unanswered or lost:
            self._hit("R8 restart")

    def withdrawn(self, entries: Sequence[LedgerEntry]) -> None:
        if entries:
            self._hit("R10 late")

    # -- dispatch ----------------------------------------------------------------------------------------------------

    @staticmethod
    def crowded(dispatcher: Dispatcher) -> bool:
        return any(n > dispatcher._crowd(account).limit for account, n in dispatcher._by_account.items())

    def before(self, dispatcher: Dispatcher) -> Before:
        crowds = dict(dispatcher._by_account)
        return Before(dispatcher.in_flight, len(dispatcher._held), len(dispatcher._repeats), crowds)

    @staticmethod
    def room(before: Before, dispatcher: Dispatcher) -> Callable[[Account], int]:
        """For how many open attempts of an account: for those that it had, whenever and for whichever reason it had
        them, and for others within its crowd.
        """
        return lambda account: max(dispatcher._crowd(account).limit, before.crowds.get(account, 0))

    def step(self, dispatcher: Dispatcher, batch: Batch, *, capacity: int, broken: bool) -> None:
        for job in batch.left_out:
            self._hit("D7 again" if job.after else "D7")
        if dispatcher.in_flight >= WINDOW * capacity and not dispatcher.finished:
            self._hit("D1")
        again = [a for a in batch.attempts if a.attempt > 1]
        if again:
            self._hit("D5")
            if len(again) < len(batch.attempts) and batch.attempts[0].attempt > 1:
                self._hit("D2")
        technologies = [a.planned.technology for a in batch.attempts if a.attempt == 1]
        if len(set(technologies[:2])) == 2:
            self._hit("D2 turns")
        if dispatcher._held:
            self._hit("D4" if self._by_subnet(dispatcher) else "D3")
        if dispatcher._watch.parked:
            self._hit("D6 parked")
        if any(a.give_up_at < a.dispatched_at for a in batch.attempts):
            self._hit("D6 patience")
        if broken and self.crowded(dispatcher):
            self._hit("D3 stopped")
        for account, crowd in dispatcher._crowds.items():
            first = FIRST * dispatcher._budget(account)
            if crowd.limit != first:
                self._hit("D3 wider" if crowd.limit > first else "D3 narrower")

    @staticmethod
    def _by_subnet(dispatcher: Dispatcher) -> bool:
        cap = dispatcher._pace.per_subnet
        return bool(cap) and any(sum(place.open.values()) >= cap for place in dispatcher._room._all._places.values())

    # -- collect and reconcile ---------------------------------------------------------------------------------------

    def decision(self, report: Outcome | Deferred, attempt: OpenAttempt | None, decision: Decision) -> None:
        if isinstance(decision, Stale):
            same = attempt is not None and attempt.attempt == report.attempt
            self._hit("C1 lease" if same else "C1 attempt")
        elif isinstance(decision, Final):
            self._hit("C6")
        elif attempt is not None:
            self._hit(self._again(report, attempt, decision))

    @staticmethod
    def _again(report: Outcome | Deferred, attempt: OpenAttempt, decision: Again) -> str:
        if isinstance(report, Deferred):
            return "C5"
        if decision.reason.code == PERMIT_WAIT and decision.repeat.retries == attempt.retries:
            return "C5 queue"
        if decision.repeat.rotations > attempt.rotations:
            return "C2"
        return "C4" if len(decision.repeat.tried) > len(attempt.tried) else "C3"

    def vault_noted(self, dispatcher: Dispatcher, decision: Again | Final, parked: int) -> None:
        if isinstance(decision, Again) and decision.away:
            self._hit("C7 away")
        elif parked and not dispatcher._watch.parked:
            self._hit("C7 back")

    def lost(self, why: str) -> None:
        self._hit(_LOST[why])
