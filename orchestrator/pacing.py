"""Permits: who may submit a password for which account, now. Pure: time is an argument, durability the caller's.

The rules, stated here and nowhere else (design: nobody is locked out):

 R1 duplicate   A permit is per attempt. A second request for the same or an older attempt of a job is refused, so a
                redelivered job never submits a second password.
 R2 breaker     While an account's breaker is open, nobody submits. It binds the run that opened it for good, and every
                run that had begun by then; a later run (after the fix) may send one canary.
 R3 budget      Granted while *unanswered permits + failures in the window* < budget, each by its weight (R11). Spent by
                failures: skip. Held by unanswered ones: wait for their verdicts.
 R4 canary      Until the account has been proven in this run, one permit is out and the others wait.
 R5 success     A proven login clears the account's failures and its breaker, and proves it for the run. It says nothing
                about what came after it: a success clears nothing when its permit had expired, or when the account
                has had a failure or a breaker since that permit was granted. Nor does it clear any by a key, which
                resets nobody's count of wrong passwords: it proves the account for the run, and no more.
 R6 failure     A verdict that counts towards lock-out is a failure, and the account must be proven again. If the
                vault's secret is unchanged since (or could not be read again), or the directory itself says locked,
                disabled or expired, the breaker opens. If the secret has changed, the next permit is a canary with
                the new one.
 R7 neutral     A verdict that does not count frees the permit and proves nothing. Only its holder can free it.
 R8 expiry      A permit that is not returned in time is a failure. So is every unanswered one found at a restart, at
                once; it may still be under way, so no success clears it before it would have expired. What a restart
                finds of a run that another process holds is that one's to write.
 R9 unknown     A failure reported for a permit that nobody granted is a failure all the same.
 R10 stop       While an admin's stop binds the login (`stops`), nobody submits; only R1 goes before it. A permit that
                nobody has been told of when the stop comes is withdrawn: unused, so it proves nothing.
 R11 weight     A permit counts as the logons that its request says, while it is out and when nobody answers it; a
                failure as those that its release says. There is room for all of them under R3 before it is risked: of
                sudo two, since PAM counts the second try, which sudo begins before anybody can hang up. After a restart
                or a take-over one of su counts as one of sudo: the ledger does not tell them apart.
 R12 take-over  Of an account with a permit that another pacer granted, which this one has taken over from, nothing is
                granted until that permit is returned, by its holder, or has expired (R8).
 R13 budgets    Where runs give an account different budgets, the smallest number and the longest window count, of all
                runs that have asked here and are not over.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from appliance.classify import classify
from appliance.contract import (
    Account,
    Evidence,
    PermitAnswer,
    PermitRelease,
    PermitRequest,
    PermitVerdict,
    Reread,
)
from appliance.reasons import Lockout, Reason, Status, counts_towards_lockout
from orchestrator.account_state import AccountState, Breaker, Budget, Grant, Key
from orchestrator.permit_ledger import EntryKind, LedgerEntry
from orchestrator.stops import Stop

STOPPED = "STOPPED"
"""The cause of a refusal by R10: a reason code, and the outcome's too."""

BY_KEY = "BY_KEY"
"""The cause of a success that clears nothing (R5)."""

LATE_S = 60.0
"""So long after its outcome a job's verdict may still come: one that nobody has taken in is told for 30 s."""


@dataclass(frozen=True, slots=True)
class Decision:
    """An answer, and the entries that must be durable before it is given."""

    answer: PermitAnswer
    entries: tuple[LedgerEntry, ...] = ()


@dataclass(frozen=True, slots=True)
class Standing:
    """Of all accounts together."""

    outstanding: int
    """Permits that are out."""
    broken: int
    """Accounts whose breaker is open."""


class Pacer:
    """The state of all accounts, and the rules above. Entries returned must be made durable before acting on them."""

    def __init__(self) -> None:
        self._accounts: dict[Account, AccountState] = {}
        self._granted: dict[str, dict[str, int]] = {}
        """By run: each job's newest attempt that has had a permit."""
        self._expired: dict[str, dict[str, None]] = {}
        """By run: the jobs of which a permit has become a failure (R8), whose verdict may still come."""
        self._jobs_over: deque[tuple[float, str, str, list[Account]]] = deque()
        """Jobs with an outcome, and when they are forgotten."""
        self._over: dict[str, float] = {}
        """Runs that have ended, and when they are forgotten; but one that goes on."""

    # -- requests --------------------------------------------------------------------------------------------------

    def request(
        self, request: PermitRequest, budget: Budget, *, run_began: float, now: float, stop: Stop | None = None
    ) -> Decision:
        """Answer a request. WAIT means: ask again when the account changes, or when `until` has come."""
        state = self._accounts.setdefault(request.account, AccountState())
        expired = self._expire(request.account, state, now)
        answer = self._judge(request, state, state.budget(request.run, budget), run_began=run_began, now=now, stop=stop)
        if answer.verdict is not PermitVerdict.GRANTED:
            return Decision(answer, expired)
        expires_at = now + request.valid_for
        key = (request.run, request.job, request.attempt)
        state.outstanding[key] = Grant(request.holder, expires_at, _weight(request.logons))
        self._over.pop(request.run, None)
        self._granted.setdefault(request.run, {})[request.job] = request.attempt
        kind, holder = EntryKind.GRANTED, request.holder
        grant = LedgerEntry(kind, request.account, *key, at=now, expires_at=expires_at, holder=holder)
        return Decision(answer, (*expired, grant))

    def _judge(
        self,
        request: PermitRequest,
        state: AccountState,
        budget: Budget,
        *,
        run_began: float,
        now: float,
        stop: Stop | None,
    ) -> PermitAnswer:
        if request.attempt <= self._granted.get(request.run, {}).get(request.job, 0):  # R1
            return PermitAnswer(verdict=PermitVerdict.DUPLICATE, text="this attempt has had its permit")
        if stop is not None:  # R10
            return stopped(stop)
        breaker = state.breaker
        if breaker is not None and (breaker.run == request.run or run_began <= breaker.opened_at):  # R2
            return PermitAnswer(verdict=PermitVerdict.SKIP, cause=breaker.cause, text=f"{request.account} is stopped")
        recent = [at for at in state.failures if at > now - budget.window_s]
        room = budget.failures - _weight(request.logons)  # R11
        if room < 0:
            text = f"a refusal counts as {_weight(request.logons)} logons, and failure_budget is {budget.failures}"
            return PermitAnswer(verdict=PermitVerdict.SKIP, cause="LOCKOUT_BUDGET_SPENT", text=text)
        if len(recent) > room:  # R3
            until = sorted(recent)[-1 - room] + budget.window_s
            text = f"{len(recent)} failed logons of {request.account} in the last {budget.window_s / 60:g} min"
            return PermitAnswer(verdict=PermitVerdict.SKIP, cause="LOCKOUT_BUDGET_SPENT", text=text, until=until)
        inherited = [grant.expires_at for grant in state.outstanding.values() if grant.inherited]
        if inherited:  # R12
            text = f"a login of {request.account} is under way, which another pacer has let begin"
            return PermitAnswer(verdict=PermitVerdict.WAIT, text=text, until=max(inherited))
        unproven = request.run not in state.proven_for
        if state.outstanding and (unproven or len(recent) + state.risked > room):  # R3, R4
            until = min(grant.expires_at for grant in state.outstanding.values())
            return PermitAnswer(
                verdict=PermitVerdict.WAIT, text=f"a login of {request.account} is under way", until=until
            )
        return PermitAnswer(verdict=PermitVerdict.GRANTED)

    def withdraw(self, request: PermitRequest, *, now: float) -> tuple[LedgerEntry, ...]:
        """Take a permit back that its holder has not been told of (R10)."""
        state = self._accounts.get(request.account)
        key = (request.run, request.job, request.attempt)
        grant = state.outstanding.get(key) if state is not None else None
        if state is None or grant is None or grant.holder != request.holder:
            return ()
        del state.outstanding[key]
        return (LedgerEntry(EntryKind.NEUTRAL, request.account, *key, at=now, cause=STOPPED),)

    # -- verdicts --------------------------------------------------------------------------------------------------

    def release(self, release: PermitRelease, *, now: float) -> tuple[LedgerEntry, ...]:
        """Take a verdict in."""
        state = self._accounts.setdefault(release.account, AccountState())
        expired = self._expire(release.account, state, now)
        key = (release.run, release.job, release.attempt)
        grant = state.outstanding.get(key)
        held = grant is not None and grant.holder == release.holder
        if held:
            del state.outstanding[key]
        reason = _reason_of(release)
        counts = counts_towards_lockout(reason, submitted=release.submitted)
        if _is_success(reason) and not counts:
            overtaken = grant is not None and grant.overtaken
            return expired + (self._succeed(release, state, now, overtaken=overtaken) if held else ())
        if not counts:
            return expired + self._neutral(release, state, reason, held=held, now=now)
        if not held and self._granted.get(release.run, {}).get(release.job, 0) >= release.attempt:
            return expired  # R5, R8: it expired, and was counted then
        return expired + self._fail(release, state, reason, now)

    def _succeed(
        self, release: PermitRelease, state: AccountState, now: float, *, overtaken: bool
    ) -> tuple[LedgerEntry, ...]:
        if overtaken:  # R5
            return (self._entry(EntryKind.NEUTRAL, release, now, "OVERTAKEN"),)
        state.prove(release.run, now, by_key=release.by_key)
        return (self._entry(EntryKind.SUCCESS, release, now, BY_KEY if release.by_key else ""),)

    def _neutral(
        self, release: PermitRelease, state: AccountState, reason: Reason, *, held: bool, now: float
    ) -> tuple[LedgerEntry, ...]:
        entries = [self._entry(EntryKind.NEUTRAL, release, now, reason.code)] if held else []
        if reason.breaks:
            entries.append(self._open(release, state, reason, now))
        return tuple(entries)

    def _fail(self, release: PermitRelease, state: AccountState, reason: Reason, now: float) -> tuple[LedgerEntry, ...]:
        entries = []
        for _ in range(_weight(release.logons)):
            state.fail(now)
            entries.append(self._entry(EntryKind.FAILURE, release, now, reason.code))
        definite = reason.lockout is Lockout.YES and release.reread is not Reread.CHANGED
        if definite or reason.breaks:
            entries.append(self._open(release, state, reason, now))
        return tuple(entries)

    def _open(self, release: PermitRelease, state: AccountState, reason: Reason, now: float) -> LedgerEntry:
        state.open(Breaker(reason.code, now, release.run))
        return self._entry(EntryKind.BREAKER, release, now, reason.code)

    @staticmethod
    def _entry(kind: EntryKind, release: PermitRelease, now: float, cause: str = "") -> LedgerEntry:
        return LedgerEntry(kind, release.account, release.run, release.job, release.attempt, at=now, cause=cause)

    # -- time ------------------------------------------------------------------------------------------------------

    def expire(self, *, now: float) -> tuple[LedgerEntry, ...]:
        """Turn permits that were not returned in time into failures."""
        self._forget_late(now)
        return tuple(entry for account, state in self._accounts.items() for entry in self._expire(account, state, now))

    def _expire(self, account: Account, state: AccountState, now: float) -> tuple[LedgerEntry, ...]:
        late = [key for key, grant in state.outstanding.items() if grant.expires_at <= now]
        return self._unanswered(account, state, dict.fromkeys(late, now))

    def _unanswered(self, account: Account, state: AccountState, found: Mapping[Key, float]) -> tuple[LedgerEntry, ...]:
        """Permits become failures at these times, but not before they would have expired."""
        entries = []
        for key, now in found.items():
            grant = state.outstanding.pop(key)
            at = max(now, grant.expires_at)
            self._expired.setdefault(key[0], {})[key[1]] = None
            for _ in range(grant.logons):
                state.fail(at)
                entries.append(LedgerEntry(EntryKind.FAILURE, account, *key, at=at, cause="APPLIANCE_LOST"))
        return tuple(entries)

    # -- memory ----------------------------------------------------------------------------------------------------

    def restore(self, entries: Iterable[LedgerEntry]) -> dict[str, list[LedgerEntry]]:
        """Replay the ledger after a start; permits still unanswered become failures as of their expiry (R8), which are
        returned by run.
        """
        for entry in entries:
            self._replay(entry)
        lost: dict[str, list[LedgerEntry]] = {}
        for account, state in self._accounts.items():
            for entry in self._unanswered(account, state, dict.fromkeys(state.outstanding, 0.0)):
                lost.setdefault(entry.run, []).append(entry)
        return lost

    def inherit(self, entries: Iterable[LedgerEntry]) -> None:
        """Replay what another pacer has written of accounts that are ours from now on (R12)."""
        for entry in entries:
            self._replay(entry, inherited=True)

    def disown(self, is_gone: Callable[[Account], bool]) -> None:
        """These accounts are another pacer's now."""
        for account in [account for account in self._accounts if is_gone(account)]:
            del self._accounts[account]

    def is_busy(self, account: Account) -> bool:
        """Is a permit of it out?"""
        state = self._accounts.get(account)
        return state is not None and bool(state.outstanding)

    def runs(self) -> Iterable[str]:
        """Those of which a permit is remembered, and that have not ended."""
        return self._granted.keys() - self._over.keys()

    def accounts(self) -> Iterable[Account]:
        """Those that something is known of."""
        return self._accounts

    def _replay(self, entry: LedgerEntry, *, inherited: bool = False) -> None:
        state = self._accounts.setdefault(entry.account, AccountState())
        key = (entry.run, entry.job, entry.attempt)
        if entry.kind is EntryKind.GRANTED:
            state.outstanding[key] = Grant(entry.holder, entry.expires_at, entry.logons, inherited=inherited)
            self._over.pop(entry.run, None)
            granted = self._granted.setdefault(entry.run, {})
            granted[entry.job] = max(entry.attempt, granted.get(entry.job, 0))
            return
        if entry.kind is EntryKind.BREAKER:
            state.open(Breaker(entry.cause, entry.at, entry.run))
            return
        state.outstanding.pop(key, None)
        if entry.kind is EntryKind.SUCCESS:
            state.prove(entry.run, entry.at, by_key=entry.cause == BY_KEY)
        elif entry.kind is EntryKind.FAILURE:
            state.fail(entry.at)

    def job_over(self, run: str, job: str, accounts: Iterable[Account], host: str, *, now: float) -> None:
        """A job has its outcome, so that its caller refuses whatever asks for it: those of its accounts are forgotten
        that are of this host alone, of which nothing is out, failed or broken: another job that asks for one has to
        prove it again (R4). The job is, LATE_S later, but for a permit that is out or has expired. A run over a million
        hosts with accounts of their own thus takes no more memory than one over ten thousand.
        """
        known = [account for account in accounts if account in self._accounts]
        for account in known:
            if account.authority == host and self._accounts[account].idle:
                del self._accounts[account]
        self._jobs_over.append((now + LATE_S, run, job, known))
        self._forget_late(now)

    def forget_run(self, run: str, *, now: float) -> None:
        """A run has ended: its attempts will not ask again. Failures and breakers stay; its jobs LATE_S longer."""
        self._over.setdefault(run, now + LATE_S)
        for state in self._accounts.values():
            state.proven_for.pop(run, None)
            state.budgets.pop(run, None)
        self._forget_late(now)

    def _forget_late(self, now: float) -> None:
        while self._jobs_over and self._jobs_over[0][0] <= now:
            _, run, job, accounts = self._jobs_over.popleft()
            granted = self._granted.get(run, {})
            key = (run, job, granted.get(job, 0))
            states = (self._accounts[account] for account in accounts if account in self._accounts)
            if job not in self._expired.get(run, {}) and not any(key in state.outstanding for state in states):
                granted.pop(job, None)
        for run in [run for run, due in self._over.items() if due <= now]:
            del self._over[run]
            self._granted.pop(run, None)
            self._expired.pop(run, None)

    def prune(self, *, before: float) -> None:
        """Drop what nobody can ask for any more: failures and breakers older than `before` (the earlier of the widest
        window's start and the start of the oldest open run), and accounts with nothing left.
        """
        for account, state in list(self._accounts.items()):
            state.failures = [at for at in state.failures if at > before]
            if state.breaker is not None and state.breaker.opened_at <= before:
                state.breaker = None
            if state.idle and not state.proven_for:
                del self._accounts[account]

    # -- questions -------------------------------------------------------------------------------------------------

    def breaker(self, account: Account) -> Breaker | None:
        state = self._accounts.get(account)
        return state.breaker if state else None

    def standing(self) -> Standing:
        """Walks over all accounts."""
        states = self._accounts.values()
        return Standing(sum(len(s.outstanding) for s in states), sum(s.breaker is not None for s in states))

    def exposure(self, account: Account, *, since: float) -> int:
        """Unanswered permits plus failures since a time: what the budget bounds."""
        state = self._accounts.get(account)
        return state.risked + sum(at > since for at in state.failures) if state else 0


def stopped(stop: Stop) -> PermitAnswer:
    """The answer to whoever asks for a login that an admin has stopped."""
    return PermitAnswer(verdict=PermitVerdict.SKIP, cause=STOPPED, text=stop.text)


def _reason_of(release: PermitRelease) -> Reason:
    evidence = Evidence(
        phase=release.phase,
        signal=release.signal,
        facts=release.facts,
        submitted=release.submitted,
        reread=release.reread,
    )
    return classify(release.technology, evidence)


def _is_success(reason: Reason) -> bool:
    return reason.status in (Status.PASSED, Status.PASSED_LIMITED)


def _weight(logons: int) -> int:
    """An appliance's word, so bounded: nothing that is submitted once counts more than twice."""
    return 2 if logons > 1 else 1
