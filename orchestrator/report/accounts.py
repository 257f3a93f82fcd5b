"""What a run has asked of accounts, by the ledger of permits, beside what its campaign allows them. Pure.

This is what tells a reader that nobody was locked out by us: permits granted, how many logons failed, and how many may
fail within the window. A run that outlasts its window may have more failures than one window allows.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from appliance.contract import Account
from orchestrator.account_state import Budget
from orchestrator.report.rows import account_name
from orchestrator.store.records import LogonCount, LogonSums, RunLogons

LISTED = 200
"""Accounts of either kind that are told one by one; the others are in the sums."""


@dataclass(frozen=True, slots=True)
class AccountLine:
    account: str
    """`user@directory` or `user@address`, for people."""
    shared: bool
    """A directory's; else one host's own."""
    granted: int
    """Permits to send a password; one that was not used is returned."""
    succeeded: int
    failed: int
    budget: Budget | None
    """None for an account that no record of the campaign names."""


NOBODY = LogonSums()


@dataclass(frozen=True, slots=True)
class Accounts:
    directories: LogonSums = NOBODY
    hosts: LogonSums = NOBODY
    """Accounts of single hosts."""
    lines: tuple[AccountLine, ...] = ()
    """At most LISTED of directories, then at most LISTED of hosts; each kind's with the most failures first."""
    of_each_host: Budget | None = None
    """What every account of a single host is allowed, where that is one thing."""


NO_ACCOUNTS = Accounts()


def accounts_of(
    logons: RunLogons, budget_of: Callable[[Account], Budget | None], of_hosts: Collection[Budget] = ()
) -> Accounts:
    """`of_hosts`: what the campaign allows accounts of single hosts, all of them."""
    lines = tuple(account_line(one, budget_of) for one in logons.listed)
    only = next(iter(of_hosts)) if len(of_hosts) == 1 else None
    return Accounts(logons.directories, logons.hosts, lines, only)


def account_line(one: LogonCount, budget_of: Callable[[Account], Budget | None]) -> AccountLine:
    """`budget_of`: as the pacer has it."""
    account = _account(one.account)
    name, budget = account_name(one.account), budget_of(account)
    return AccountLine(name, account.is_directory, one.granted, one.succeeded, one.failed, budget)


def _account(text: str) -> Account:
    """Of its text, `user@dir:NAME` or `user@host:ADDRESS`."""
    for kind in ("dir", "host"):
        user, mark, name = text.rpartition(f"@{kind}:")
        if mark:
            return Account(authority=f"{kind}:{name}", user=user)
    return Account(authority="", user=text)
