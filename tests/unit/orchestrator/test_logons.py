"""What hosts counted beside what the ledger knows: what is wrong, of which runs, and for which account."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from appliance.contract import Account, Technology
from orchestrator.logons import AccountLine, HostCount, HostCounts, compare, gap, runs_counted
from orchestrator.permits import REMEMBER_S
from orchestrator.score import HostAccount
from orchestrator.store import RunRecord, RunState
from orchestrator.store.records import PermitCount

SINCE = 1_000_000.0
RUN = RunRecord("r1", "lab", SINCE + 10, RunState.FINISHED, 7, {}, planned=1)
TRUTH = [
    {"address": "127.0.1.1", "technology": "unix", "fault": "none", "user": "scan", "account": "local"},
    {"address": "127.0.1.2", "technology": "unix", "fault": "none", "user": "scan", "account": "CORP"},
    {"address": "127.0.1.3", "technology": "windows", "fault": "none", "user": "scan", "account": "CORP"},
]
OWN, SHARED = ("127.0.1.1", "scan"), ("corp", "scan")


def permit(
    address: str = "127.0.1.2",
    *,
    granted: int = 1,
    succeeded: int = 0,
    failed: int = 0,
    neutral: int = 0,
    run: str = "r1",
    account: str = "dir:corp",
    technology: Technology = Technology.UNIX,
) -> PermitCount:
    return PermitCount(
        run=run,
        address=address,
        technology=technology,
        account=Account(authority=account, user="scan"),
        granted=granted,
        succeeded=succeeded,
        failed=failed,
        neutral=neutral,
    )


def counted(accounts: Mapping[HostAccount, HostCount], until: float | None = None) -> HostCounts:
    return HostCounts(SINCE, until, accounts)


def lines(accounts: Mapping[HostAccount, HostCount], *permits: PermitCount) -> list[AccountLine]:
    return list(compare(counted(accounts), permits, TRUTH, "r1", lambda account: 2 if account.is_directory else 3))


def only(accounts: Mapping[HostAccount, HostCount], *permits: PermitCount) -> AccountLine:
    [line] = lines(accounts, *permits)
    return line


@pytest.mark.parametrize(
    ("hosts", "permits", "wrong"),
    [
        (HostCount(succeeded=2), [permit(granted=2, succeeded=2)], ()),
        (HostCount(failed=1), [permit(failed=1)], ()),
        # What was cut counts for the ledger, and not for the host; an expired account's right password the other way.
        (HostCount(), [permit(failed=1)], ()),
        (HostCount(succeeded=1), [permit(neutral=1)], ()),
        # A verdict that has not come may be a failure.
        (HostCount(failed=1), [permit()], ()),
        (HostCount(failed=1), [permit(succeeded=1)], ("1 failed logons, and the ledger knows of 0",)),
        (HostCount(failed=1), [permit(neutral=1)], ("1 failed logons, and the ledger knows of 0",)),
        (
            HostCount(failed=2),
            [permit(granted=3, failed=1, neutral=2)],
            ("2 failed logons, and the ledger knows of 1",),
        ),
        (HostCount(succeeded=2), [permit(succeeded=1)], ("2 logons, and the ledger has 1 permits",)),
        (
            HostCount(failed=1),
            [],
            ("1 logons, and the ledger has 0 permits", "1 failed logons, and the ledger knows of 0"),
        ),
        # A failure without a permit is known, and yet a password was sent without one.
        (HostCount(failed=1), [permit(granted=0, failed=1)], ("1 logons, and the ledger has 0 permits",)),
        (HostCount(failed=5, lockouts=1), [permit(granted=5, failed=5)], ("its directory has locked it",)),
    ],
)
def test_what_the_hosts_counted_must_be_known(
    hosts: HostCount, permits: list[PermitCount], wrong: tuple[str, ...]
) -> None:
    assert only({SHARED: hosts}, *permits).wrong == wrong


def test_a_success_at_one_host_hides_no_unanswered_permit_at_another() -> None:
    both = [permit(granted=1, succeeded=1, failed=1), permit("127.0.1.3", technology=Technology.WINDOWS)]
    assert only({}, *both).all_runs.unanswered == 1


def test_several_runs_are_summed_up_and_the_judged_one_is_told_apart() -> None:
    line = only({SHARED: HostCount(failed=2)}, permit(failed=1), permit(failed=1, run="r0"))
    assert (line.run.failed, line.all_runs.failed, line.wrong) == (1, 2, ())


def test_an_account_is_whom_the_host_asks_whatever_the_campaign_takes_it_for() -> None:
    """Two hosts of one directory, taken for hosts with accounts of their own: each budget is kept, and both count."""
    own = [
        permit("127.0.1.2", failed=1, account="host:127.0.1.2"),
        permit("127.0.1.3", failed=1, account="host:127.0.1.3", technology=Technology.WINDOWS),
    ]
    line = only({SHARED: HostCount(failed=2, lockouts=1)}, *own)
    assert (line.name, line.directory, line.all_runs.failed, line.budget) == ("scan@corp", True, 2, 3)
    assert line.wrong == ("its directory has locked it",)


def test_directories_come_first_and_hosts_that_only_the_ledger_knows_are_there() -> None:
    found = lines({OWN: HostCount(succeeded=1)}, permit("127.0.1.1", succeeded=1, account="host:127.0.1.1"), permit())
    assert [(line.name, line.directory, line.budget) for line in found] == [
        ("scan@corp", True, 2),
        ("scan@127.0.1.1", False, 3),
    ]


def test_permits_for_other_estates_are_left_out_and_a_strangers_logon_is_not() -> None:
    assert lines({}, permit("10.0.0.1"), permit("127.0.1.1", technology=Technology.WINDOWS)) == []
    stranger = only({("127.0.1.1", "bob"): HostCount(succeeded=1)})
    assert (stranger.name, stranger.budget) == ("bob@127.0.1.1", None)
    assert stranger.wrong


@pytest.mark.parametrize(
    ("began", "until", "now", "says"),
    [
        (SINCE, None, SINCE + 100, ""),
        (SINCE + 10, SINCE + 20, SINCE + 100, ""),
        (SINCE - 1, None, SINCE + 100, "run r1 began before; run the campaign anew while its lab is up"),
        (SINCE + 30, SINCE + 20, SINCE + 100, "run r1 began after; name its own lab's --truth"),
        (SINCE, None, SINCE + REMEMBER_S + 1, "the ledger forgets load tests after 24 h; start the lab anew"),
    ],
)
def test_counters_of_another_time_say_nothing(began: float, until: float | None, now: float, says: str) -> None:
    counts, run = counted({}, until), replace(RUN, created_at=began)
    why = gap(counts, run, runs_counted(counts, [run]), now)
    assert (says in why) if says else not why


def test_a_new_run_is_not_judged_where_an_older_one_may_have_been_forgotten() -> None:
    counts, now = counted({}), SINCE + REMEMBER_S + 60
    runs = [replace(RUN, id="r0", created_at=SINCE + 1), replace(RUN, created_at=now - 1)]
    assert "forgets" in gap(counts, runs[1], runs_counted(counts, runs), now)


def test_the_runs_that_count_are_those_while_the_hosts_did() -> None:
    times = {"before": SINCE - 1, "first": SINCE, "last": SINCE + 20, "after": SINCE + 21}
    runs = [replace(RUN, id=name, created_at=at) for name, at in times.items()]
    assert [run.id for run in runs_counted(counted({}, SINCE + 20), runs)] == ["first", "last"]
    assert [run.id for run in runs_counted(counted({}), runs)] == ["first", "last", "after"]
