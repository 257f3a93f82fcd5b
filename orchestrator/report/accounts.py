"""What a run has asked of accounts, by the ledger of permits, beside what its campaign allows them. Pure.

This is what tells a reader that nobody was locked out by us: permits granted, how many logons failed, and how many may
fail within the window. A run that outlasts its window may have more failures than one window allows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from appliance.contract import Account
from orchestrator.pacing import Budget
from orchestrator.report.rows import account_name
from orchestrator.store.records import LogonCount

LISTED = 200
"""Accounts that are told one by one; the others are in the sums."""


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


@dataclass(frozen=True, slots=True)
class Sums:
    """Over several accounts."""

    accounts: int = 0
    granted: int = 0
    succeeded: int = 0
    failed: int = 0
    most_failed: int = 0
    """Of one account."""


@dataclass(frozen=True, slots=True)
class Accounts:
    directories: Sums = Sums()
    hosts: Sums = Sums()
    """Accounts of single hosts."""
    lines: tuple[AccountLine, ...] = ()
    """Directories' first, then those with the most failures."""


NO_ACCOUNTS = Accounts()


def accounts_of(logons: Iterable[LogonCount], budget_of: Callable[[Account], Budget | None]) -> Accounts:
    ordered = sorted(logons, key=lambda one: (not _is_shared(one), -one.failed, -one.granted, one.account))
    lines = tuple(
        AccountLine(
            account_name(one.account),
            _is_shared(one),
            one.granted,
            one.succeeded,
            one.failed,
            budget_of(_account(one.account)),
        )
        for one in ordered[:LISTED]
    )
    shared = [one for one in ordered if _is_shared(one)]
    return Accounts(_sums(shared), _sums(ordered[len(shared) :]), lines)


def _is_shared(one: LogonCount) -> bool:
    return one.account.rfind("@dir:") > one.account.rfind("@host:")


def _account(text: str) -> Account:
    """Of its text, `user@dir:NAME` or `user@host:ADDRESS`."""
    for kind in ("dir", "host"):
        user, mark, name = text.rpartition(f"@{kind}:")
        if mark:
            return Account(authority=f"{kind}:{name}", user=user)
    return Account(authority="", user=text)


def _sums(counts: Sequence[LogonCount]) -> Sums:
    return Sums(
        len(counts),
        sum(one.granted for one in counts),
        sum(one.succeeded for one in counts),
        sum(one.failed for one in counts),
        max((one.failed for one in counts), default=0),
    )
