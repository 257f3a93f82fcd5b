from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from targets.directory import Accounts
from targets.estate import AccountKey, Estate
from targets.material import Material
from targets.spec import EstateError
from tests.unit.targets.targets_lab import Clock, build, opened

DIRECTORY = '[[directories]]\nname = "CORP"\nthreshold = 3\nwindow = "10m"\nlockout = "5m"\n'
FLEET = DIRECTORY + '[[hosts]]\ncount = 4\naccount = "CORP"\n'
KEY = AccountKey("corp", "scan")


def accounts(what: Estate, clock: Clock) -> Accounts:
    return Accounts(what.accounts, what.directories, clock)


def test_failures_on_several_hosts_lock_one_account_for_a_while() -> None:
    what, clock = build(FLEET), Clock()
    those, hosts = accounts(what, clock), list(what.hosts.values())
    right = what.accounts[KEY].password
    assert [opened(those, h, "scan", "wrong") for h in hosts[:3]] == [False] * 3
    assert those.locked(KEY)
    assert not opened(those, hosts[3], "scan", right)
    assert (those.records()[KEY].failed, those.records()[KEY].lockouts) == (4, 1)
    clock.now += 301
    assert not those.locked(KEY)
    assert those.records()[KEY].lockouts == 1, "it is not forgotten"
    assert opened(those, hosts[3], "scan", right)


def test_failures_outside_the_window_or_before_a_success_do_not_add_up() -> None:
    what, clock = build(FLEET), Clock()
    those, host = accounts(what, clock), next(iter(what.hosts.values()))
    for pause in (0.0, 0.0, 601.0, 0.0):
        clock.now += pause
        opened(those, host, "scan", "wrong")
    assert not those.locked(KEY)
    assert opened(those, host, "scan", what.accounts[KEY].password)
    for _ in range(2):
        opened(those, host, "scan", "wrong")
    assert not those.locked(KEY)


@pytest.mark.parametrize("spelling", ["scan", "SCAN", "CORP\\scan", "Scan@corp.example"])
def test_all_spellings_are_one_account_of_a_directory(spelling: str) -> None:
    what = build(FLEET)
    those, host = accounts(what, Clock()), next(iter(what.hosts.values()))
    assert opened(those, host, spelling, what.accounts[KEY].password)
    assert list(those.records()) == [KEY]


@given(st.lists(st.booleans(), max_size=30))
def test_a_local_account_counts_and_never_locks(tries: list[bool]) -> None:
    what = build("[[hosts]]\ncount = 2")
    those, host = accounts(what, Clock()), what.hosts["127.20.0.1"]
    right = what.accounts[host.account_key].password
    assert [opened(those, host, "scan", right if t else "no") for t in tries] == tries
    assert sum(r.failed for r in those.records().values()) == tries.count(False)


def test_one_hosts_password_does_not_open_another() -> None:
    what = build("[[hosts]]\ncount = 2")
    one, other = what.hosts.values()
    those = accounts(what, Clock())
    assert not opened(those, other, "scan", what.accounts[one.account_key].password)
    assert not opened(those, one, "Scan", what.accounts[one.account_key].password)


def test_keys_are_not_the_directorys_business() -> None:
    what = build(FLEET)
    those, host = accounts(what, Clock()), next(iter(what.hosts.values()))
    assert those.public_key(host, "scan", what.accounts[KEY].public_blob)
    assert not any(those.public_key(host, "scan", b"other") for _ in range(9))
    assert not those.locked(KEY)
    assert not those.records()


@pytest.mark.parametrize(("changes", "locks"), [(1, False), (2, False), (3, True)])
def test_a_previous_password_is_refused_but_not_counted(changes: int, locks: bool) -> None:
    what, clock = build(FLEET), Clock()
    those, host = accounts(what, clock), next(iter(what.hosts.values()))
    first = what.accounts[KEY]
    for number in range(changes):
        those.change(KEY, Material(1, f"generation {number}"))
    assert [opened(those, host, "scan", first.password) for _ in range(3)] == [False] * 3
    assert those.locked(KEY) == locks
    assert those.records()[KEY].failed == 3


def test_an_estate_may_begin_with_the_vault_one_password_behind() -> None:
    what = build(
        DIRECTORY + 'accounts = { scan = "old_password" }\n[[hosts]]\ncount = 4\naccount = "CORP"\nsecret = "shared"'
    )
    those, hosts = Accounts(what.accounts, what.directories, Clock(), what.former), list(what.hosts.values())
    held = what.secrets[hosts[0].secret].material.password
    assert {h.fault.name for h in hosts} == {"old_password"}
    assert [opened(those, h, "scan", held) for h in hosts] == [False] * 4
    assert not those.locked(KEY)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('accounts = { scan = "closed" }', "is none of an account"),
        ('accounts = { scan = "no_sudo" }', "is none of an account"),
        ('accounts = { scan = "nonsense" }', "unknown fault 'nonsense'"),
        ('accounts = { scan = "disabled" }\n[[hosts]]\naccount = "CORP"', "a unix host cannot tell"),
        ('accounts = { scan = "locked" }\n[[hosts]]\naccount = "CORP"\nlogin = "key"', "a login by key does not meet"),
        ('[[hosts]]\naccount = "CORP"\nfault = "unknown_user"', "say so in [[directories]], accounts"),
        ('[[hosts]]\nsystem = "beos"', "known are debian"),
        ('[[hosts]]\nsystem = "debian"\nsystems = { rhel = 1 }', "give `system` or `systems`, not both"),
    ],
)
def test_what_no_account_or_host_can_be(text: str, said: str) -> None:
    with pytest.raises(EstateError, match=re.escape(said)):
        build(DIRECTORY + text)


def test_the_fault_that_a_login_meets_first_is_the_truth() -> None:
    text = 'accounts = { scan = "locked" }\n[[hosts]]\ncount = 4\naccount = "CORP"\nsecret = "shared"\n'
    what = build(f"{DIRECTORY}{text}faults = {{ none = 1, closed = 1, no_sudo = 1, slow_command = 1 }}")
    assert sorted(h.fault.name for h in what.hosts.values()) == ["closed", "locked", "locked", "locked"]
    devices = build(
        '[[hosts]]\ncount = 3\nsystem = "network-device"\nfaults = { none = 1, silent = 1, wrong_password = 1 }'
    )
    assert sorted(h.fault.name for h in devices.hosts.values()) == ["network_device", "silent", "wrong_password"]
    [box] = build('[[hosts]]\nsystem = "busybox"').hosts.values()
    [root] = build('[[hosts]]\nsystem = "busybox"\nuser = "root"').hosts.values()
    assert (box.fault.name, root.fault.name) == ("sudo_missing", "none")
