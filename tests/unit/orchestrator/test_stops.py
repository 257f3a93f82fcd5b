"""What a stop binds, by whatever name; and that it is in force before it is written, and lifted after."""

from __future__ import annotations

import pytest

from appliance.contract import (
    PEER_TEXT_LIMIT,
    Account,
    Candidate,
    CredentialRef,
    RootBy,
    RootPassword,
    SecretLookup,
    Selection,
)
from orchestrator.campaign_model import Campaign
from orchestrator.stop_known import names
from orchestrator.stop_office import StopOffice
from orchestrator.stops import NAME_MAX, WHY_MAX, Selector, Stop, StopKind, Stops, checked_why
from orchestrator.store import StoreError


def account(user: str, authority: str) -> Account:
    return Account(authority=authority, user=user)


def secret(key: str, by: SecretLookup = SecretLookup.NAME, vault: str = "Vault") -> CredentialRef:
    return CredentialRef(vault=vault, by=by, key=key)


def login(whose: Account, what: CredentialRef) -> Candidate:
    return Candidate(record="r", user=whose.user, account=whose, secret=what, selection=Selection.IP, port=22)


def stop(selector: Selector, since: float = 1.0, why: str = "leaked") -> Stop:
    return Stop(selector, since, "alice", why)


# -- names -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "whose", "bound"),
    [
        ("svc@corp", account("svc", "dir:corp"), True),
        ("CORP\\SVC", account("svc", "dir:corp"), True),
        ("svc@dir:corp", account("svc", "dir:corp"), True),
        (" Svc@Corp ", account("svc", "dir:corp"), True),
        ("svc@realm@corp", account("svc", "dir:corp"), True),
        ("svc@record:Unix hosts", account("svc", "dir:record:unix hosts"), True),
        ("root@10.0.0.5", account("root", "host:10.0.0.5"), True),
        ("root@host:10.0.0.5", account("root", "host:10.0.0.5"), True),
        ("root@2001:DB8:0::1", account("root", "host:2001:db8::1"), True),
        ("root@web1", account("root", "host:web1"), True),
        ("root@web1", account("root", "dir:web1"), True),
        ("svc@corp", account("svc", "dir:corp.example"), False),
        ("svc@corp", account("svc2", "dir:corp"), False),
        ("root@10.0.0.5", account("root", "host:10.0.0.50"), False),
    ],
)
def test_an_account_by_each_of_its_names(text: str, whose: Account, bound: bool) -> None:
    assert Selector.of_account(text).binds_account(whose) is bound


@pytest.mark.parametrize(
    "text", ["", "svc", "@corp", "svc@", "\\svc", "CORP\\", "svc@dir:", "a\nb@corp", "x" * 300 + "@c"]
)
def test_what_is_no_account(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no (account|name)"):
        Selector.of_account(text)


@pytest.mark.parametrize(
    ("name", "what", "bound"),
    [
        ("corp-scan", secret("Corp-Scan"), True),
        ("42", secret("42", SecretLookup.ID), True),
        ("\\Scan\\web1", secret("\\Scan\\web1", SecretLookup.PATH), True),
        ("scan/web1", secret("\\Scan\\web1", SecretLookup.PATH), True),
        ("web1", secret("\\Scan\\web1", SecretLookup.PATH), True),
        ("Scan", secret("\\Scan\\web1", SecretLookup.PATH), False),
        ("\\Other\\web1", secret("\\Scan\\web1", SecretLookup.PATH), False),
        ("web1", secret("Scan\\web1"), False),
        ("WEB1", secret("web1", SecretLookup.MACHINE), True),
        ("machine web1", secret("web1", SecretLookup.MACHINE), True),
        ("web", secret("web1", SecretLookup.MACHINE), False),
        ("corp", secret("corp-scan"), False),
    ],
)
def test_a_secret_by_each_of_its_names(name: str, what: CredentialRef, bound: bool) -> None:
    assert Selector.of_secret(name).binds_secret(what) is bound


def test_a_secret_of_one_vault_or_of_all() -> None:
    here, there = secret("s", vault="Vault"), secret("s", vault="Other")
    assert [Selector.of_secret("s").binds_secret(ref) for ref in (here, there)] == [True, True]
    assert [Selector.of_secret("s", "VAULT").binds_secret(ref) for ref in (here, there)] == [True, False]
    assert [Selector.of_vault("vault").binds_secret(ref) for ref in (here, there)] == [True, False]


@pytest.mark.parametrize("name", ["", "  ", "a\tb", "x" * (NAME_MAX + 1)])
def test_what_is_no_name(name: str) -> None:
    for make in (Selector.of_secret, Selector.of_vault):
        with pytest.raises(ValueError, match="is no name"):
            make(name)


def test_a_reason_is_one_line() -> None:
    assert checked_why(" leaked ") == "leaked"
    for bad in ("a\nb", "x" * (WHY_MAX + 1), "\x1b[31m"):
        with pytest.raises(ValueError, match="one line"):
            checked_why(bad)


def test_the_longest_stop_fits_into_evidence() -> None:
    widest = stop(Selector.of_secret("ä" * NAME_MAX, "ö" * NAME_MAX), why="ü" * WHY_MAX)
    assert len(widest.text.encode()) <= PEER_TEXT_LIMIT


def test_a_stop_is_read_back_from_its_plain_data() -> None:
    for selector in (Selector.of_account("a@b"), Selector.of_secret("s", "V"), Selector.of_vault("V")):
        assert Stop.of(stop(selector, 1.25).data()) == stop(selector, 1.25)
    with pytest.raises(ValueError, match="host"):
        Selector.of({"kind": "host", "name": "x", "vault": ""})


# -- what stands -------------------------------------------------------------------------------------------------------


def test_a_login_is_bound_by_its_account_its_secret_or_its_vault_and_by_nothing_else() -> None:
    whose, what = account("svc", "dir:corp"), secret("corp-scan")
    for selector in (Selector.of_account("svc@corp"), Selector.of_secret("corp-scan"), Selector.of_vault("Vault")):
        stops = Stops([stop(selector)])
        found = stops.on_login(login(whose, what))
        assert found is not None
        assert found.text == f"{selector}: stopped since 1970-01-01 00:00:01 UTC by alice: leaked"
        assert stops.on_login(login(account("svc", "dir:other"), secret("other", vault="Other"))) is None
        assert (stops.on_secret(what) is None) is (selector.kind is StopKind.ACCOUNT)
        assert (stops.on_vault("Vault") is None) is (selector.kind is not StopKind.VAULT)


def test_root_is_bound_by_its_own_account_and_secret_and_the_login_is_not() -> None:
    whose, what = account("root", "host:192.0.2.1"), secret("roots")
    root = RootPassword(by=RootBy.SU, user="root", account=whose, secret=what)
    record = login(account("svc", "dir:corp"), secret("corp-scan")).model_copy(update={"root": root})
    for selector in (Selector.of_account("root@192.0.2.1"), Selector.of_secret("roots")):
        stops = Stops([stop(selector)])
        assert stops.on_root(record) is not None
        assert stops.on_login(record) is None
        assert stops.on_root(record.model_copy(update={"root": None})) is None
    assert Stops([stop(Selector.of_account("svc@corp"))]).on_root(record) is None


def test_the_first_stop_stands_until_it_is_lifted() -> None:
    stops = Stops()
    first, second = stop(Selector.of_account("svc@corp"), 1.0), stop(Selector.of_account("CORP\\svc"), 2.0, "again")
    assert stops.put(first) is first
    assert stops.put(second) is first
    assert stops.get(second.selector) is first
    stops.put(stop(Selector.of_vault("V"), 0.5))
    assert [one.since for one in stops] == [0.5, 1.0]
    stops.lift(second)
    assert stops.get(first.selector) is None


# -- a slip of the pen -------------------------------------------------------------------------------------------------

CAMPAIGN = Campaign.model_validate(
    {
        "name": "c",
        "vaults": [
            {
                "title": "V",
                "type": "Thycotic Secret Server",
                "url": "https://vault.example",
                "user": "svc",
                "password": {"env": "P"},
            }
        ],
        "records": [
            {"title": "W", "technology": "windows", "user": "svc", "vault": "V", "secret": "win", "domain": "CORP"}
            | {"ips": ["10.0.0.0/24"]},
            {"title": "U", "technology": "unix", "user": "root", "vault": "V", "secret": "unix", "accounts": "local"}
            | {"ips": ["10.0.1.0/24"]},
        ],
        "targets": {"include": ["10.0.0.0/16"]},
    }
)


@pytest.mark.parametrize(
    ("selector", "named"),
    [
        (Selector.of_vault("v"), True),
        (Selector.of_vault("W"), False),
        (Selector.of_account("CORP\\svc"), True),
        (Selector.of_account("svc@corp.example"), False),
        (Selector.of_account("root@10.0.1.7"), True),
        (Selector.of_account("root2@10.0.1.7"), False),
        (Selector.of_secret("WIN", "v"), True),
        (Selector.of_secret("win", "Other"), False),
        (Selector.of_secret("wim"), False),
    ],
    ids=str,
)
def test_what_a_campaign_names(selector: Selector, named: bool) -> None:
    assert names(CAMPAIGN, selector) is named


def test_a_secret_named_by_the_target_may_be_any() -> None:
    data = CAMPAIGN.snapshot()["campaign"]
    data["records"][1]["secret"] = "unix-{address}"
    assert names(Campaign.model_validate(data), Selector.of_secret("wim"))


@pytest.mark.parametrize(
    ("selector", "named"),
    [
        (Selector.of_secret("root-pw"), True),
        (Selector.of_secret("root-pw", "Safe"), True),
        (Selector.of_secret("root-pw", "V"), False),
        (Selector.of_secret("second-key"), True),
        (Selector.of_account("root@10.0.1.7"), True),
        (Selector.of_account("toor@10.0.1.7"), False),
    ],
    ids=str,
)
def test_what_a_campaign_names_beside_the_login_itself(selector: Selector, named: bool) -> None:
    data = CAMPAIGN.snapshot()["campaign"]
    data["records"][1] |= {
        "user": "scan",
        "private_key": True,
        "fallback": [{"secret": "second-key", "private_key": True}, {"password": "login"}],
        "root_delegation": {"type": "su", "secret": "root-pw", "vault": "Safe"},
    }
    assert names(Campaign.model_validate(data), selector) is named


# -- the office --------------------------------------------------------------------------------------------------------


class Rows:
    """Says, when it is asked to write, what is in force at that moment."""

    def __init__(self, *standing: Stop) -> None:
        self.rows = list(standing)
        self.seen: list[tuple[str, bool]] = []
        self.broken = False
        self.office: StopOffice

    def _note(self, what: str, one: Stop) -> None:
        self.seen.append((what, self.office.stops.get(one.selector) is not None))
        if self.broken:
            raise StoreError("its disk is full")

    async def put(self, one: Stop) -> None:
        self._note("put", one)
        self.rows.append(one)

    async def drop(self, one: Stop) -> None:
        self._note("drop", one)
        self.rows.remove(one)

    async def all(self) -> list[Stop]:
        return self.rows


def office_of(rows: Rows) -> tuple[StopOffice, list[int]]:
    """An office, and how many stops stood whenever it said that something has changed."""
    told: list[int] = []
    rows.office = StopOffice(rows, lambda: told.append(len(list(rows.office.stops))))
    return rows.office, told


ONE, TWO = Selector.of_account("svc@corp"), Selector.of_vault("Vault")


async def test_a_stop_is_in_force_before_it_is_written_and_until_it_is_gone() -> None:
    rows = Rows()
    office, told = office_of(rows)
    assert await office.stop(stop(ONE)) == stop(ONE)
    assert await office.allow(ONE) == [stop(ONE)]
    assert rows.seen == [("put", True), ("drop", True)]
    assert told == [1, 0]
    assert (rows.rows, list(office.stops)) == ([], [])


async def test_what_cannot_be_written_stays_in_force() -> None:
    rows = Rows()
    office, _ = office_of(rows)
    rows.broken = True
    with pytest.raises(StoreError):
        await office.stop(stop(ONE))
    assert office.stops.get(ONE) is not None
    with pytest.raises(StoreError):
        await office.allow(ONE)
    assert office.stops.get(ONE) is not None


async def test_what_was_stopped_before_a_restart_is_stopped_after_it() -> None:
    office, _ = office_of(Rows(stop(ONE, 5.0), stop(TWO, 6.0)))
    await office.load()
    assert [one.selector for one in office.stops] == [ONE, TWO]
    assert await office.stop(stop(ONE, 9.0)) == stop(ONE, 5.0)
    assert await office.allow(Selector.of_vault("Other")) == []
    assert [one.selector for one in await office.allow(None)] == [ONE, TWO]
    assert list(office.stops) == []
