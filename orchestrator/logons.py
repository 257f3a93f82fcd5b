"""Was a password sent that the ledger does not know of, and was an account locked? Pure.

What an estate's hosts counted is held against what the ledger of permits says of the same accounts. What is compared,
stated here and nowhere else:

 L1 hosts     Hosts and directories count a logon where the proof of a password has been judged: SSH's password and
              keyboard-interactive, NTLM with a user name. *Succeeded*: the proof was right, whatever became of the
              login (an expired account's right password is one). *Failed*: it was wrong, there is no such user, or a
              lock-out was on; also where the host then let somebody in as a guest or as nobody. Not counted: public
              keys and certificates, which no directory counts; NTLM without a user name, which asks no account; a
              login that was cut or stalled before its verdict.
 L2 runs      The hosts' counters are of all runs since the estate came up. So they are held against the sum over all
              runs that the state directory has begun since, retries and reruns included: a permit is per attempt. A
              load test since then keeps them from being compared: it has permits, and no targets in the store.
 L3 account   A permit belongs to the account that its target asks, by the estate's truth. What the campaign takes for
              the account says what the budget is, and cannot make the two sides agree.
 L4 permits   An account may not have more logons than permits.
 L5 failures  An account may not have more failed logons than the ledger has failures and unanswered permits. The
              ledger may have more: what was cut counts there.
 L6 lock-out  No account may have been locked by its directory, whoever did it, and whether or not it still is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from appliance.contract import Account
from orchestrator.permits import REMEMBER_S
from orchestrator.report.documents import instant
from orchestrator.score import HostAccount, Truth, account_at
from orchestrator.store.records import PermitCount, RunRecord


@dataclass(frozen=True, slots=True)
class HostCount:
    """What an account has seen (L1)."""

    succeeded: int = 0
    failed: int = 0
    lockouts: int = 0


@dataclass(frozen=True, slots=True)
class HostCounts:
    """What an estate has counted. Times are Unix seconds."""

    since: float
    until: float | None
    """None: it still does."""
    accounts: Mapping[HostAccount, HostCount]


@dataclass(slots=True)
class Asked:
    """What the ledger knows of an account."""

    granted: int = 0
    failed: int = 0
    unanswered: int = 0

    def add(self, count: PermitCount) -> None:
        self.granted += count.granted
        self.failed += count.failed
        self.unanswered += count.unanswered


@dataclass(frozen=True, slots=True)
class AccountLine:
    """An account, from both sides."""

    user: str
    authority: str
    directory: bool
    """It is a directory's, not a host's own."""
    hosts: HostCount
    run: Asked
    """By the run that is judged."""
    all_runs: Asked
    budget: int | None
    """Failures that the run's records allow within their window; None for an account that the run did not ask."""

    @property
    def name(self) -> str:
        return f"{self.user}@{self.authority}"

    @property
    def wrong(self) -> tuple[str, ...]:
        """What should not be, in words."""
        hosts, ledger = self.hosts, self.all_runs
        return tuple(_faults(hosts, ledger))


def _faults(hosts: HostCount, ledger: Asked) -> Iterator[str]:
    logons, known = hosts.succeeded + hosts.failed, ledger.failed + ledger.unanswered
    if logons > ledger.granted:  # L4
        yield f"{logons} logons, and the ledger has {ledger.granted} permits"
    if hosts.failed > known:  # L5
        yield f"{hosts.failed} failed logons, and the ledger knows of {known}"
    if hosts.lockouts:  # L6
        yield "its directory has locked it"


@dataclass(frozen=True, slots=True)
class Logons:
    since: float
    until: float | None
    runs: tuple[str, ...]
    """Whose permits are summed up (L2), oldest first."""
    accounts: tuple[AccountLine, ...]
    """Those of directories first, then by name."""

    @property
    def wrong(self) -> tuple[AccountLine, ...]:
        return tuple(line for line in self.accounts if line.wrong)


@dataclass(slots=True)
class _Sum:
    run: Asked = field(default_factory=Asked)
    all_runs: Asked = field(default_factory=Asked)
    budgets: list[int] = field(default_factory=list)


def runs_counted(counts: HostCounts, runs: Iterable[RunRecord]) -> list[RunRecord]:
    """Those of a state directory's runs that the hosts' counters can be of (L2)."""
    until = counts.until
    return [run for run in runs if counts.since <= run.created_at and (until is None or run.created_at <= until)]


def gap(counts: HostCounts, run: RunRecord, counted: Iterable[RunRecord], now: float) -> str:
    """Why the counters say nothing about a run, and what to do; empty if they do."""
    if run.created_at < counts.since:
        return (
            f"the hosts count since {instant(counts.since)}, and run {run.id} began before; "
            "run the campaign anew while its lab is up"
        )
    if counts.until is not None and run.created_at > counts.until:
        return (
            f"the hosts counted until {instant(counts.until)}, and run {run.id} began after; name its own lab's --truth"
        )
    oldest = min((one.created_at for one in counted), default=now)
    if oldest < now - REMEMBER_S:
        return (
            f"the hosts count since {instant(counts.since)}, and the ledger forgets load tests after "
            f"{REMEMBER_S / 3600:g} h; start the lab anew to score a new run"
        )
    return ""


def compare(
    counts: HostCounts,
    permits: Iterable[PermitCount],
    truth: Iterable[Truth],
    run: str,
    budget: Callable[[Account], int | None],
) -> tuple[AccountLine, ...]:
    """Every account that has seen a logon or been given a permit. Permits for targets of other estates are left out."""
    rows = {(row["address"], row["technology"]): row for row in truth}
    directories = {row["account"].strip().lower() for row in rows.values() if row["account"] != "local"}
    sums: dict[HostAccount, _Sum] = defaultdict(_Sum)
    for count in permits:
        row = rows.get((count.address, count.technology.value))
        if row is None:
            continue
        account = count.account
        # Who is asked for on the way to root is the host's own, whatever directory judges the login.
        elevated = not account.is_directory and account.user != str(row["user"]).strip().lower()
        own_host = {**row, "account": "local"} if elevated else row
        sums_of = sums[account_at(own_host, account.user)]
        sums_of.all_runs.add(count)
        if count.run == run:
            sums_of.run.add(count)
            allowed = budget(count.account)
            sums_of.budgets += [allowed] if allowed is not None else []
    keys = sorted({*sums, *counts.accounts}, key=lambda key: (key[0] not in directories, *key))
    return tuple(
        AccountLine(
            user=user,
            authority=authority,
            directory=authority in directories,
            hosts=counts.accounts.get((authority, user), HostCount()),
            run=sums[authority, user].run,
            all_runs=sums[authority, user].all_runs,
            budget=min(sums[authority, user].budgets, default=None),
        )
        for authority, user in keys
    )
