"""The cost model: what a target has cost in earlier runs; and what is assumed where nothing was measured. Pure.

The rules, stated here and nowhere else:

 M1 attempts    An attempt has its place in a scan process from lease to log-off; the wait for its permit is left out,
                and reckoned with its account. One that the deadline has cut off lasts as long as the deadline is now.
 M2 waiting     Where the scan processes or the machine were at work all the time that the middle four fifths of the
                targets took (SATURATED), attempts and views waited for a processor; how long they take without that,
                the quickest twentieth of them tells.
 M3 vault       A vault's request is as long as its views were. Where more than half (THROTTLED) of the attempts that
                read waited for their turn at a vault that limits its rate, it gave all that it gives: the rate of the
                views between the first third and the last tenth of them is its limit, and the wait for it is no
                attempt's own time. What the first third took longer than at that rate is what it takes to find it.
 M4 verdict     From the permit to the verdict, by account: the pacer's own times where the ledger has them, else the
                phases `vault` and `auth`.
 M5 first wave  Of a directory account's targets those are left out that were dispatched before the first of them was
                settled: they waited for scan processes to start, for the vault's token and for the account's canary.
 M6 processor   CPU per target of the orchestrator, its bus and the appliance, as the operating system has counted them;
                and of everything else on the machine, without what that has when the run has little to do.
 M7 several     Of several runs the latest that tells a thing says it; but what a target costs the processors, the one
                with the most targets: scan processes cost half a second before their first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby, pairwise
from statistics import fmean

from appliance.contract import Phase, Technology
from appliance.reasons import REASONS, counts_towards_lockout
from orchestrator.capacity.spent import Cpu, Spent
from orchestrator.store.records import TimedAttempt, VerdictTime

SATURATED = 0.65
THROTTLED = 0.5
WAITED_S = 0.02
"""What is less is no wait for a rate that binds, but for the last one's turn to be over."""
_MIDDLE = 0.8
_FOUND, _LAST = 3, 10
"""By a third of the views the client has found the rate; with the last tenth jobs become fewer."""

ATTEMPT_S = 0.5
"""Assumed: five round trips of a wide network, and PAM's or a domain controller's time."""
VERDICT_S = 0.5
"""Assumed of an account that nobody has logged in to yet."""
VIEW_S = 0.05
"""Assumed of a vault that nobody has asked yet."""
SETTLED_S = 0.1
"""Assumed: what an attempt waits on its way out, and its report on its way back; both are gathered."""


ASSUMED_CPU = Cpu(orchestrator=0.00045, bus=0.0001, appliance=0.0021)
"""SSH logins on two cores of 2.6 GHz, measured as docs/capacity.md says."""


@dataclass(frozen=True, slots=True)
class Tried:
    """What became of one target of an earlier run."""

    busy: float
    """Seconds in which it had a place in a scan process, without what the deadline has cut off."""
    held: float
    """Seconds from dispatch to settled, of all its attempts, likewise. Of accounts of single hosts from the lease on:
    before that, an attempt waits for a place, which is nobody's time but the run's.
    """
    pauses: float
    """Seconds between its attempts."""
    cut_off: int
    """Attempts that the deadline has cut off."""
    logins: int
    views: int
    failed: int
    """Failed logons, as they count towards lock-out."""


UNTRIED = Tried(busy=ATTEMPT_S, held=ATTEMPT_S + SETTLED_S, pauses=0.0, cut_off=0, logins=1, views=1, failed=0)


@dataclass(frozen=True, slots=True)
class Costs:
    """What is known. An empty mapping, or None, is what was never measured."""

    tried: Mapping[str, tuple[Tried, ...]] = field(default_factory=dict)
    """By directory account (`user@authority`), and by technology for all that logged in as others."""
    verdicts: Mapping[str, float] = field(default_factory=dict)
    """Seconds from a permit to its verdict, by directory account."""
    view_s: float | None = None
    vault_per_s: float | None = None
    """Views a second that the vaults gave when more were wanted."""
    vault_found_s: float = 0.0
    """What it took to find that out."""
    cpu: Cpu | None = None
    cpu_targets: int = 0
    """Of the run that `cpu` is from."""
    start_s: float = 0.0
    """From a run's beginning to the first attempt."""
    runs: tuple[str, ...] = ()
    """Where it was measured, the latest first."""

    def of(self, technology: Technology, account: str = "") -> tuple[Tried, ...]:
        """Of targets that log in with this directory account, or with accounts of their own; never empty."""
        return self.tried.get(account) or self.tried.get(technology.value) or (UNTRIED,)

    def knows(self, technology: Technology, account: str = "") -> bool:
        return account in self.tried or technology.value in self.tried


NOTHING_KNOWN = Costs()


@dataclass(frozen=True, slots=True)
class PastRun:
    """What the store has of an earlier run."""

    run: str
    spent: Spent | None
    attempts: Sequence[TimedAttempt]
    """Of a sample of its jobs."""
    verdicts: Sequence[VerdictTime]
    jobs: int


def costs_of(past: Sequence[PastRun]) -> Costs:
    """The latest run first (M7)."""
    known = Costs()
    for run in past:
        known = _completed(known, _costs(run))
    return known


def _completed(later: Costs, earlier: Costs) -> Costs:
    return Costs(
        tried={**earlier.tried, **later.tried},
        verdicts={**earlier.verdicts, **later.verdicts},
        view_s=later.view_s if later.view_s is not None else earlier.view_s,
        vault_per_s=later.vault_per_s if later.view_s is not None else earlier.vault_per_s,
        vault_found_s=later.vault_found_s if later.view_s is not None else earlier.vault_found_s,
        cpu=later.cpu if later.cpu_targets >= earlier.cpu_targets else earlier.cpu,
        cpu_targets=max(later.cpu_targets, earlier.cpu_targets),
        start_s=later.start_s or earlier.start_s,
        runs=later.runs + earlier.runs,
    )


def _costs(run: PastRun) -> Costs:
    attempts = [attempt for attempt in run.attempts if attempt.began]
    if not attempts:
        return Costs()
    spent = run.spent
    whole = sorted(attempt.ended for attempt in attempts if not attempt.cut_off)
    saturated = spent is not None and len(whole) > 1 and spent.busy(_middle(whole) / _MIDDLE) >= SATURATED
    jobs: dict[str, list[list[TimedAttempt]]] = {}
    for _, group in groupby(attempts, lambda attempt: attempt.job):
        job = list(group)
        account = next((a.account for a in reversed(job) if "@dir:" in a.account), job[0].technology.value)
        jobs.setdefault(account, []).append(job)
    views = sorted(answered - asked for attempt in attempts for asked, answered in attempt.views)
    cpu = spent.per_target(run.jobs) if spent is not None else None
    vault_per_s, vault_found_s = _vault_rate(run)
    return Costs(
        tried={
            name: _tried(_warm(name, of_name), saturated=saturated, throttled=vault_per_s is not None)
            for name, of_name in jobs.items()
        },
        verdicts=_verdicts(attempts) | {verdict.account: verdict.mean for verdict in run.verdicts},
        view_s=(_least(views) if saturated else fmean(views)) if views else None,
        vault_per_s=vault_per_s,
        vault_found_s=vault_found_s,
        cpu=cpu,
        cpu_targets=run.jobs if cpu is not None else 0,
        start_s=max(0.0, min(attempt.began for attempt in attempts) - spent.began) if spent is not None else 0.0,
        runs=(run.run,),
    )


def _verdicts(attempts: Sequence[TimedAttempt]) -> dict[str, float]:
    """By the phases (M4)."""
    found: dict[str, list[float]] = {}
    for attempt in attempts:
        if "@dir:" in attempt.account and attempt.submitted:
            spent = attempt.phases.get(Phase.VAULT, 0.0) + attempt.phases.get(Phase.AUTH, 0.0)
            found.setdefault(attempt.account, []).append(spent)
    return {account: fmean(seconds) for account, seconds in found.items()}


def _warm(name: str, jobs: Sequence[Sequence[TimedAttempt]]) -> Sequence[Sequence[TimedAttempt]]:
    """Those behind the first wave (M5), where there are any."""
    if "@dir:" not in name:
        return jobs
    first = min(attempt.ended for attempts in jobs for attempt in attempts)
    return [attempts for attempts in jobs if attempts[0].dispatched >= first] or jobs


def _tried(jobs: Sequence[Sequence[TimedAttempt]], *, saturated: bool, throttled: bool) -> tuple[Tried, ...]:
    found = [_one(attempts, throttled=throttled) for attempts in jobs]
    whole = sorted(tried.busy for tried in found if not tried.cut_off)
    if not saturated or not whole:
        return tuple(found)
    least = _least(whole)
    return tuple(replace(tried, busy=min(tried.busy, least)) for tried in found)


def _least(ordered: Sequence[float]) -> float:
    """The longest of the quickest twentieth (M2)."""
    return ordered[max(0, len(ordered) // 20 - 1)]


def _one(attempts: Sequence[TimedAttempt], *, throttled: bool) -> Tried:
    cut_off = [attempt for attempt in attempts if attempt.cut_off]
    return Tried(
        busy=sum(_busy(attempt, throttled=throttled) for attempt in attempts if not attempt.cut_off),
        held=sum(map(_held, attempts)) - sum(sum(attempt.phases.values()) for attempt in cut_off),
        pauses=sum(max(0.0, later.dispatched - earlier.ended) for earlier, later in pairwise(attempts)),
        cut_off=len(cut_off),
        logins=sum(attempt.submitted for attempt in attempts),
        views=sum(len(attempt.views) for attempt in attempts),
        failed=sum(map(_failed, attempts)),
    )


def _busy(attempt: TimedAttempt, *, throttled: bool) -> float:
    spent = sum(seconds for phase, seconds in attempt.phases.items() if phase is not Phase.PERMIT)  # M1
    if not throttled:
        return spent
    reading = sum(answered - asked for asked, answered in attempt.views)
    return spent - max(0.0, attempt.phases.get(Phase.VAULT, 0.0) - reading)  # M3


def _held(attempt: TimedAttempt) -> float:
    return attempt.ended - (attempt.dispatched if "@dir:" in attempt.account else attempt.began)


def _failed(attempt: TimedAttempt) -> bool:
    reason = REASONS.get(attempt.reason)
    return reason is not None and counts_towards_lockout(reason, submitted=attempt.submitted)


def _middle(ordered: Sequence[float]) -> float:
    """How long the middle four fifths of these moments took."""
    cut = len(ordered) // 10
    return max(ordered[-1 - cut] - ordered[cut], 1e-3)


def _vault_rate(run: PastRun) -> tuple[float | None, float]:
    """The views a second of a vault that limits them, and the seconds that it took to find them (M3)."""
    reading = [attempt for attempt in run.attempts if attempt.views]
    waited = sum(attempt.paced >= WAITED_S for attempt in reading)
    answers = sorted(answered for attempt in reading for _, answered in attempt.views)
    steady = answers[len(answers) // _FOUND : len(answers) - len(answers) // _LAST]
    if waited <= THROTTLED * len(reading) or len(steady) < 2:
        return None, 0.0
    sampled = len({attempt.job for attempt in run.attempts})
    rate = (len(steady) - 1) / max(steady[-1] - steady[0], 1e-3)
    began = min(attempt.began for attempt in run.attempts if attempt.began)
    return rate * run.jobs / sampled, max(0.0, steady[0] - began - len(answers) // _FOUND / rate)
