"""Permits: who may submit a password for which account, now. Pure: time is an argument, durability the caller's.

The rules, stated here and nowhere else (design: nobody is locked out):

 R1 duplicate   A permit is per attempt. A second request for the same or an older attempt of a job is refused, so a
                redelivered job never submits a second password.
 R2 breaker     While an account's breaker is open, nobody submits. It binds the run that opened it for good, and every
                run that had begun by then; a later run (after the fix) may send one canary.
 R3 budget      Granted while *unanswered permits + failures in the window* < budget. Spent by failures: skip. Held by
                unanswered ones: wait for their verdicts.
 R4 canary      Until the account has been proven in this run, one permit is out and the others wait.
 R5 success     A proven login clears the account's failures and its breaker, and proves it for the run. It says nothing
                about what came after it: a success clears nothing when its permit had expired, or when the account
                has had a failure or a breaker since that permit was granted.
 R6 failure     A verdict that counts towards lock-out is a failure, and the account must be proven again. If the
                vault's secret is unchanged since (or could not be read again), or the directory itself says locked,
                disabled or expired, the breaker opens. If the secret has changed, the next permit is a canary with
                the new one.
 R7 neutral     A verdict that does not count frees the permit and proves nothing. Only its holder can free it.
 R8 expiry      A permit that is not returned in time is a failure. So is every unanswered one found at a restart, at
                once; it may still be under way, so no success clears it before it would have expired.
 R9 unknown     A failure reported for a permit that nobody granted is a failure all the same.
 R10 stop       While an admin's stop binds the login (`stops`), nobody submits; only R1 goes before it. A permit that
                nobody has been told of when the stop comes is withdrawn: unused, so it proves nothing.
 R11 weight     A failure counts as the logons that its request and release say, and there is room for all of them under
                R3 before it is risked: of sudo two, since PAM counts the second try, which sudo begins before anybody
                can hang up.
 R12 take-over  Of an account with a permit that another pacer granted, which this one has taken over from, nothing is
                granted until that permit is returned, by its holder, or has expired (R8).
 R13 budgets    Where runs give an account different budgets, the smallest number and the longest window count, of all
                runs that have asked here and are not over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

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
from orchestrator.stops import Stop

STOPPED = "STOPPED"
"""The cause of a refusal by R10: a reason code, and the outcome's too."""


@dataclass(frozen=True, slots=True)
class Budget:
    """How many failed logons an account may suffer from us within a window."""

    failures: int = 2
    window_s: float = 1800.0


class EntryKind(StrEnum):
    GRANTED = "granted"
    SUCCESS = "success"
    FAILURE = "failure"
    NEUTRAL = "neutral"
    BREAKER = "breaker"


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One line of the permit ledger. The ledger, replayed in order, is the pacer's whole memory."""

    kind: EntryKind
    account: Account
    run: str
    job: str
    """With `/` and its part behind it where it is not the login's own: to the pacer that is a job like others."""
    attempt: int
    at: float
    expires_at: float = 0.0
    """Of a grant: when it counts as a failure."""
    cause: str = ""
    """Of a failure or breaker: the reason code."""
    holder: str = ""
    """Of a grant: the token of who has it; empty where an older release wrote it."""


@dataclass(frozen=True, slots=True)
class Decision:
    """An answer, and the entries that must be durable before it is given."""

    answer: PermitAnswer
    entries: tuple[LedgerEntry, ...] = ()


@dataclass(frozen=True, slots=True)
class Breaker:
    cause: str
    opened_at: float
    run: str


@dataclass(slots=True)
class _Grant:
    holder: str
    expires_at: float
    overtaken: bool = False
    """The account has had a failure or a breaker since."""
    inherited: bool = False
    """Another pacer has granted it."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Of all accounts together."""

    outstanding: int
    """Permits that are out."""
    broken: int
    """Accounts whose breaker is open."""


_Key = tuple[str, str, int]


@dataclass(slots=True)
class _AccountState:
    outstanding: dict[_Key, _Grant] = field(default_factory=dict)
    failures: list[float] = field(default_factory=list)
    proven_for: dict[str, None] = field(default_factory=dict)
    breaker: Breaker | None = None
    budgets: dict[str, Budget] = field(default_factory=dict)
    """By run (R13)."""

    @property
    def idle(self) -> bool:
        """Nothing is out, failed or broken."""
        return not self.outstanding and not self.failures and self.breaker is None

    def budget(self, run: str, given: Budget) -> Budget:
        """Of all runs (R13)."""
        self.budgets[run] = given
        if len(self.budgets) == 1:
            return given
        return Budget(
            min(one.failures for one in self.budgets.values()), max(one.window_s for one in self.budgets.values())
        )

    def fail(self, at: float) -> None:
        self.failures.append(at)
        self.proven_for.clear()
        self._overtake()

    def open(self, breaker: Breaker) -> None:
        self.breaker = breaker
        self._overtake()

    def clear(self, run: str, now: float) -> None:
        self.failures = [at for at in self.failures if at > now]  # R8: those may still be under way
        self.breaker = None
        self.proven_for[run] = None

    def _overtake(self) -> None:
        for grant in self.outstanding.values():
            grant.overtaken = True


class Pacer:
    """The state of all accounts, and the rules above. Entries returned must be made durable before acting on them."""

    def __init__(self) -> None:
        self._accounts: dict[Account, _AccountState] = {}
        self._granted: dict[str, dict[str, int]] = {}
        """By run: each job's newest attempt that has had a permit."""
        self._expired: dict[str, dict[str, None]] = {}
        """By run: the jobs of which a permit has become a failure (R8), whose verdict may still come."""

    # -- requests --------------------------------------------------------------------------------------------------

    def request(
        self, request: PermitRequest, budget: Budget, *, run_began: float, now: float, stop: Stop | None = None
    ) -> Decision:
        """Answer a request. WAIT means: ask again when the account changes, or when `until` has come."""
        state = self._accounts.setdefault(request.account, _AccountState())
        expired = self._expire(request.account, state, now)
        answer = self._judge(request, state, state.budget(request.run, budget), run_began=run_began, now=now, stop=stop)
        if answer.verdict is not PermitVerdict.GRANTED:
            return Decision(answer, expired)
        expires_at = now + request.valid_for
        key = (request.run, request.job, request.attempt)
        state.outstanding[key] = _Grant(request.holder, expires_at)
        self._granted.setdefault(request.run, {})[request.job] = request.attempt
        kind, holder = EntryKind.GRANTED, request.holder
        grant = LedgerEntry(kind, request.account, *key, at=now, expires_at=expires_at, holder=holder)
        return Decision(answer, (*expired, grant))

    def _judge(
        self,
        request: PermitRequest,
        state: _AccountState,
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
        if state.outstanding and (unproven or len(recent) + len(state.outstanding) > room):  # R3, R4
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
        state = self._accounts.setdefault(release.account, _AccountState())
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
        self, release: PermitRelease, state: _AccountState, now: float, *, overtaken: bool
    ) -> tuple[LedgerEntry, ...]:
        if overtaken:  # R5
            return (self._entry(EntryKind.NEUTRAL, release, now, "OVERTAKEN"),)
        state.clear(release.run, now)
        return (self._entry(EntryKind.SUCCESS, release, now),)

    def _neutral(
        self, release: PermitRelease, state: _AccountState, reason: Reason, *, held: bool, now: float
    ) -> tuple[LedgerEntry, ...]:
        entries = [self._entry(EntryKind.NEUTRAL, release, now, reason.code)] if held else []
        if reason.breaks:
            entries.append(self._open(release, state, reason, now))
        return tuple(entries)

    def _fail(
        self, release: PermitRelease, state: _AccountState, reason: Reason, now: float
    ) -> tuple[LedgerEntry, ...]:
        entries = []
        for _ in range(_weight(release.logons)):
            state.fail(now)
            entries.append(self._entry(EntryKind.FAILURE, release, now, reason.code))
        definite = reason.lockout is Lockout.YES and release.reread is not Reread.CHANGED
        if definite or reason.breaks:
            entries.append(self._open(release, state, reason, now))
        return tuple(entries)

    def _open(self, release: PermitRelease, state: _AccountState, reason: Reason, now: float) -> LedgerEntry:
        state.open(Breaker(reason.code, now, release.run))
        return self._entry(EntryKind.BREAKER, release, now, reason.code)

    @staticmethod
    def _entry(kind: EntryKind, release: PermitRelease, now: float, cause: str = "") -> LedgerEntry:
        return LedgerEntry(kind, release.account, release.run, release.job, release.attempt, at=now, cause=cause)

    # -- time ------------------------------------------------------------------------------------------------------

    def expire(self, *, now: float) -> tuple[LedgerEntry, ...]:
        """Turn permits that were not returned in time into failures."""
        return tuple(entry for account, state in self._accounts.items() for entry in self._expire(account, state, now))

    def _expire(self, account: Account, state: _AccountState, now: float) -> tuple[LedgerEntry, ...]:
        late = [key for key, grant in state.outstanding.items() if grant.expires_at <= now]
        return self._unanswered(account, state, late, now)

    def _unanswered(
        self, account: Account, state: _AccountState, keys: Sequence[_Key], now: float
    ) -> tuple[LedgerEntry, ...]:
        entries = []
        for key in keys:
            at = max(now, state.outstanding.pop(key).expires_at)
            state.fail(at)
            self._expired.setdefault(key[0], {})[key[1]] = None
            entries.append(LedgerEntry(EntryKind.FAILURE, account, *key, at=at, cause="APPLIANCE_LOST"))
        return tuple(entries)

    # -- memory ----------------------------------------------------------------------------------------------------

    def restore(self, entries: Iterable[LedgerEntry], *, now: float) -> tuple[LedgerEntry, ...]:
        """Replay the ledger after a start; permits still unanswered become failures (R8), as the entries returned."""
        for entry in entries:
            self._replay(entry)
        return tuple(
            lost
            for account, state in self._accounts.items()
            for lost in self._unanswered(account, state, list(state.outstanding), now)
        )

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
        """Those of which a permit is remembered."""
        return self._granted

    def accounts(self) -> Iterable[Account]:
        """Those that something is known of."""
        return self._accounts

    def _replay(self, entry: LedgerEntry, *, inherited: bool = False) -> None:
        state = self._accounts.setdefault(entry.account, _AccountState())
        key = (entry.run, entry.job, entry.attempt)
        if entry.kind is EntryKind.GRANTED:
            state.outstanding[key] = _Grant(entry.holder, entry.expires_at, inherited=inherited)
            granted = self._granted.setdefault(entry.run, {})
            granted[entry.job] = max(entry.attempt, granted.get(entry.job, 0))
            return
        if entry.kind is EntryKind.BREAKER:
            state.open(Breaker(entry.cause, entry.at, entry.run))
            return
        state.outstanding.pop(key, None)
        if entry.kind is EntryKind.SUCCESS:
            state.clear(entry.run, entry.at)
        elif entry.kind is EntryKind.FAILURE:
            state.fail(entry.at)

    def job_over(self, run: str, job: str, accounts: Iterable[Account], host: str) -> None:
        """A job has its outcome, so that its caller refuses whatever asks for it: it is forgotten, but for a permit
        that is out or has expired. So are those of its accounts that are of this host alone, of which nothing is out,
        failed or broken: another job that asks for one has to prove it again (R4). A run over a million hosts with
        accounts of their own thus takes no more memory than one over ten thousand.
        """
        states = {account: self._accounts[account] for account in accounts if account in self._accounts}
        granted = self._granted.get(run, {})
        key = (run, job, granted.get(job, 0))
        if job not in self._expired.get(run, {}) and not any(key in state.outstanding for state in states.values()):
            granted.pop(job, None)
        for account, state in states.items():
            if account.authority == host and state.idle:
                del self._accounts[account]

    def forget_run(self, run: str) -> None:
        """A run has ended: its attempts will not ask again. Failures and breakers stay."""
        self._granted.pop(run, None)
        self._expired.pop(run, None)
        for state in self._accounts.values():
            state.proven_for.pop(run, None)
            state.budgets.pop(run, None)

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
        return len(state.outstanding) + sum(at > since for at in state.failures) if state else 0


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
