from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from targets.directory import Accounts
from targets.estate import AccountKey, Estate
from tests.unit.targets.targets_lab import Clock, build

DIRECTORY = '[[directories]]\nname = "CORP"\nthreshold = 3\nwindow = "10m"\nlockout = "5m"\n'
FLEET = DIRECTORY + '[[hosts]]\ncount = 4\naccount = "CORP"\n'
KEY = AccountKey("corp", "scan")


def accounts(what: Estate, clock: Clock) -> Accounts:
    return Accounts(what.accounts, what.directories, clock)


def test_failures_on_several_hosts_lock_one_account_for_a_while() -> None:
    what, clock = build(FLEET), Clock()
    those, hosts = accounts(what, clock), list(what.hosts.values())
    right = what.accounts[KEY].password
    assert [those.password(h, "scan", "wrong") for h in hosts[:3]] == [False] * 3
    assert those.locked(KEY)
    assert not those.password(hosts[3], "scan", right)
    assert those.records()[KEY].failed == 4
    clock.now += 301
    assert not those.locked(KEY)
    assert those.password(hosts[3], "scan", right)


def test_failures_outside_the_window_or_before_a_success_do_not_add_up() -> None:
    what, clock = build(FLEET), Clock()
    those, host = accounts(what, clock), next(iter(what.hosts.values()))
    for pause in (0.0, 0.0, 601.0, 0.0):
        clock.now += pause
        those.password(host, "scan", "wrong")
    assert not those.locked(KEY)
    assert those.password(host, "scan", what.accounts[KEY].password)
    for _ in range(2):
        those.password(host, "scan", "wrong")
    assert not those.locked(KEY)


@pytest.mark.parametrize("spelling", ["scan", "SCAN", "CORP\\scan", "Scan@corp.example"])
def test_all_spellings_are_one_account_of_a_directory(spelling: str) -> None:
    what = build(FLEET)
    those, host = accounts(what, Clock()), next(iter(what.hosts.values()))
    assert those.password(host, spelling, what.accounts[KEY].password)
    assert list(those.records()) == [KEY]


@given(st.lists(st.booleans(), max_size=30))
def test_a_local_account_counts_and_never_locks(tries: list[bool]) -> None:
    what = build("[[hosts]]\ncount = 2")
    those, host = accounts(what, Clock()), what.hosts["127.20.0.1"]
    right = what.accounts[host.account_key].password
    assert [those.password(host, "scan", right if t else "no") for t in tries] == tries
    assert sum(r.failed for r in those.records().values()) == tries.count(False)


def test_one_hosts_password_does_not_open_another() -> None:
    what = build("[[hosts]]\ncount = 2")
    one, other = what.hosts.values()
    those = accounts(what, Clock())
    assert not those.password(other, "scan", what.accounts[one.account_key].password)
    assert not those.password(one, "Scan", what.accounts[one.account_key].password)


def test_keys_are_not_the_directorys_business() -> None:
    what = build(FLEET)
    those, host = accounts(what, Clock()), next(iter(what.hosts.values()))
    assert those.public_key(host, "scan", what.accounts[KEY].public_blob)
    assert not any(those.public_key(host, "scan", b"other") for _ in range(9))
    assert not those.locked(KEY)
    assert not those.records()
