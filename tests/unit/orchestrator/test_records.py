"""Selection of records, accounts, budgets, and secrets named by the target."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.contract import (
    Account,
    Candidate,
    KdcPlace,
    KerberosTerms,
    Selection,
    Target,
    Technology,
    account_key,
)
from orchestrator.account_state import Budget
from orchestrator.campaign import Campaign, UnixRecord, parse_campaign
from orchestrator.records import NoCandidate, RecordBook, service_host, template_values

HEAD = """
name = "x"
[[vaults]]
title = "V"
url = "https://vault.example/SecretServer"
user = "svc"
password = { prompt = true }
"""

WINDOWS = """
[[records]]
title = "AD"
technology = "windows"
user = "ad"
vault = "V"
secret = { id = 7 }
domain = "corp.example"
domain_type = "active-directory"
[[records]]
title = "Local"
technology = "windows"
user = "Administrator"
vault = "V"
secret = "{address}-admin"
ips = ["10.0.0.0/24"]
domain_type = "local"
port = 4450
[[records]]
title = "Service A"
technology = "windows"
user = "svc_a"
vault = "V"
secret = "a"
domain = "CORP"
domain_type = "netbios-service-selected"
[[records]]
title = "User"
technology = "windows"
user = "u"
vault = "V"
secret = "u"
domain = "CORP"
ips = ["10.0.0.5", "win1.corp.example"]
[[records]]
title = "Service B"
technology = "windows"
user = "svc_b"
vault = "V"
secret = "b"
domain = "LAB"
domain_type = "netbios-service-selected"
"""


def campaign(text: str) -> Campaign:
    return parse_campaign(HEAD + text, "c.toml")


def book(text: str) -> RecordBook:
    parsed = campaign(text)
    return RecordBook(parsed.records, parsed.vaults)


def unix(title: str, ips: str, **more: str) -> str:
    keys = {"user": '"scan"', "secret": '"s"'} | more
    return f'[[records]]\ntitle = "{title}"\ntechnology = "unix"\nvault = "V"\nips = {ips}\n' + "".join(
        f"{key} = {value}\n" for key, value in keys.items()
    )


def found(records: RecordBook, address: str, technology: Technology, **attributes: str) -> tuple[Candidate, ...]:
    candidates = records.candidates(Target(address=address, **attributes), technology)
    assert not isinstance(candidates, NoCandidate), candidates
    return candidates


@pytest.mark.parametrize(
    ("address", "titles"),
    [
        ("10.0.0.5", ["Service A", "Service B", "Local", "User", "AD"]),
        ("10.0.0.6", ["Service A", "Service B", "Local", "AD"]),
        ("10.0.1.0", ["Service A", "Service B", "AD"]),
        ("WIN1.corp.example", ["Service A", "Service B", "User", "AD"]),
        ("win2.corp.example", ["Service A", "Service B", "AD"]),
        ("2001:db8::5", ["Service A", "Service B", "AD"]),
    ],
)
def test_windows_service_selected_then_by_address_then_directory(address: str, titles: list[str]) -> None:
    assert [c.record for c in found(book(WINDOWS), address, Technology.WINDOWS)] == titles


def test_what_a_windows_candidate_says() -> None:
    by_title = {c.record: c for c in found(book(WINDOWS), "10.0.0.5", Technology.WINDOWS)}
    assert {t: (c.selection, c.domain, c.port, str(c.account), c.secret.key) for t, c in by_title.items()} == {
        "Service A": (Selection.SERVICE_SELECTED, "CORP", 445, "svc_a@dir:corp", "a"),
        "Service B": (Selection.SERVICE_SELECTED, "LAB", 445, "svc_b@dir:lab", "b"),
        "Local": (Selection.LOCAL, "", 4450, "administrator@host:10.0.0.5", "10.0.0.5-admin"),
        "User": (Selection.USER_SELECTED, "CORP", 445, "u@dir:corp", "u"),
        "AD": (Selection.ACTIVE_DIRECTORY, "corp.example", 445, "ad@dir:corp.example", "7"),
    }


def test_unix_has_one_record_by_address_or_by_the_same_name() -> None:
    records = book(
        unix("A", '["10.0.0.0/24", "Web.example"]', private_key="true", root_delegation='"sudo"', crypto='"legacy"')
        + unix("B", '["10.0.1.0-10.0.1.9", "2001:db8::/64"]', host_keys='"pinned"', port="2222")
    )
    (a,) = found(records, "web.example.", Technology.UNIX)
    assert (a.record, a.private_key, a.sudo, a.crypto, a.host_keys, a.port) == ("A", True, True, "legacy", "tofu", 22)
    (b,) = found(records, "2001:db8::ffff", Technology.UNIX)
    assert (b.record, b.private_key, b.sudo, b.crypto, b.host_keys, b.port) == (
        "B",
        False,
        False,
        "compat",
        "pinned",
        2222,
    )
    assert records.candidates(Target(address="10.0.1.10"), Technology.UNIX) == NoCandidate(
        "NO_RECORD", "no unix record contains 10.0.1.10"
    )
    assert isinstance(records.candidates(Target(address="10.0.0.1"), Technology.WINDOWS), NoCandidate)


def test_the_technologies_that_some_record_could_serve() -> None:
    assert book("").technologies() == ()
    assert book(unix("A", '["10.0.0.1"]')).technologies() == (Technology.UNIX,)
    assert set(book(WINDOWS + unix("A", '["10.0.0.1"]')).technologies()) == set(Technology)


@pytest.mark.parametrize(
    ("accounts", "account"),
    [
        ({}, "scan@dir:record:my linux"),
        ({"accounts": '"CORP"'}, "scan@dir:corp"),
        ({"accounts": '"local"'}, "scan@host:10.0.0.1"),
        ({"accounts": '"corp"', "user": "'CORP\\Scan'"}, "scan@dir:corp"),
        ({"accounts": '"corp"', "user": '"scan@corp.example"'}, "scan@dir:corp"),
    ],
)
def test_the_account_that_a_unix_record_logs_in_with(accounts: dict[str, str], account: str) -> None:
    (candidate,) = found(book(unix("My Linux", '["10.0.0.1"]', **accounts)), "10.0.0.1", Technology.UNIX)
    assert str(candidate.account) == account


def test_windows_records_of_differently_spelt_domains_can_share_a_directory() -> None:
    text = WINDOWS.replace('domain = "corp.example"', 'domain = "corp.example"\naccounts = "corp"')
    by_title = {c.record: c for c in found(book(text.replace('"ad"', '"svc_a"')), "10.0.0.5", Technology.WINDOWS)}
    assert by_title["AD"].account == by_title["Service A"].account
    assert by_title["AD"].domain == "corp.example"


# -- budgets -----------------------------------------------------------------------------------------------------------


def test_where_two_records_name_one_account_the_safest_budget_holds() -> None:
    records = book(
        unix("A", '["10.0.0.1"]', accounts='"corp"', failure_budget="5", failure_window='"10m"')
        + unix("B", '["10.0.0.2"]', accounts='"Corp"', user="'CORP\\SCAN'", failure_budget="3", failure_window='"2h"')
        + unix("C", '["10.0.0.3"]', accounts='"corp"', user='"other"', failure_budget="1")
    )
    assert records.budget("A") == Budget(failures=5, window_s=600.0)
    assert records.budget_for(account_key("dir:corp", "scan")) == Budget(failures=3, window_s=7200.0)
    assert records.budget_for(account_key("dir:corp", "other")) == Budget(failures=1, window_s=1800.0)


def test_the_budget_of_a_hosts_own_account_is_that_of_its_record() -> None:
    records = book(
        unix("A", '["10.0.0.0/24", "web.example"]', accounts='"local"', failure_budget="5")
        + WINDOWS.replace('user = "Administrator"', 'user = "scan"\nfailure_budget = 3').replace(
            "10.0.0.0/24", "10.0.0.9"
        )
    )
    assert records.budget_for(account_key("host:10.0.0.1", "scan")) == Budget(failures=5)
    assert records.budget_for(account_key("host:web.example", "scan")) == Budget(failures=5)
    assert records.budget_for(account_key("host:10.0.0.9", "scan")) == Budget(failures=3)


@pytest.mark.parametrize(
    ("authority", "user"),
    [
        ("dir:corp", "scan"),
        ("host:10.0.0.1", "root"),
        ("host:10.9.9.9", "scan"),
        ("host:", "scan"),
        ("dir:record:a", "scan"),
    ],
)
def test_an_account_that_no_record_names_has_no_budget(authority: str, user: str) -> None:
    records = book(unix("A", '["10.0.0.0/24"]', accounts='"local"'))
    assert records.budget_for(Account(authority=authority, user=user)) is None


# -- secrets -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "values"),
    [
        (Target(address="10.0.0.1"), {"address": "10.0.0.1"}),
        (Target(address="10.0.0.1", host="web1"), {"address": "10.0.0.1", "host": "web1"}),
        (
            Target(address="10.0.0.1", fqdn="web1.corp.example"),
            {"address": "10.0.0.1", "fqdn": "web1.corp.example", "host": "web1", "domain": "corp.example"},
        ),
        (
            Target(address="web1.corp.example", host="w", domain="d"),
            {"address": "web1.corp.example", "fqdn": "web1.corp.example", "host": "w", "domain": "d"},
        ),
        (Target(address="web1"), {"address": "web1", "host": "web1"}),
    ],
)
def test_what_a_secrets_name_may_take_from_a_target(target: Target, values: dict[str, str]) -> None:
    assert template_values(target) == values


def test_a_secret_is_named_by_the_target() -> None:
    records = book(unix("A", '["10.0.0.1"]', secret="{ path = '\\Linux\\{domain}\\{{x}}-{host}' }"))
    (candidate,) = found(records, "10.0.0.1", Technology.UNIX, fqdn="web1.corp.example")
    assert (candidate.secret.vault, candidate.secret.by, candidate.secret.key) == (
        "V",
        "path",
        "\\Linux\\corp.example\\{x}-web1",
    )


def test_a_secret_is_found_by_the_targets_machine() -> None:
    secret = "{ machine = '{host}', template = 'Unix Account (SSH)', folder = '\\Linux' }"
    records = book(unix("A", '["10.0.0.1-10.0.0.2"]', secret=secret))
    (candidate,) = found(records, "10.0.0.1", Technology.UNIX, fqdn="web1.corp.example")
    assert candidate.secret.described == "machine web1, template Unix Account (SSH), folder \\Linux"
    assert (candidate.secret.by, candidate.secret.key) == ("machine", "web1")
    lacking = records.candidates(Target(address="10.0.0.2"), Technology.UNIX)
    assert lacking == NoCandidate(
        "NO_RECORD", "record 'A' names its secret '{host}', and the target list gives no host for 10.0.0.2"
    )


def test_a_target_that_lacks_what_its_secret_is_named_by_has_no_candidate() -> None:
    records = book(unix("A", '["10.0.0.1"]', secret='"{host}-root"'))
    assert records.candidates(Target(address="10.0.0.1"), Technology.UNIX) == NoCandidate(
        "NO_RECORD", "record 'A' names its secret '{host}-root', and the target list gives no host for 10.0.0.1"
    )


def test_a_record_that_lacks_its_value_leaves_the_others() -> None:
    records = book(WINDOWS.replace('secret = "a"', 'secret = "{host}"'))
    assert [c.record for c in found(records, "10.0.1.0", Technology.WINDOWS)] == ["Service B", "AD"]


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 20)), max_size=6), st.integers(0, 90))
def test_look_up_by_address_is_what_a_walk_over_the_records_finds(ranges: list[tuple[int, int]], probe: int) -> None:
    """Overlapping records, as Windows has them, found in the order of the file."""
    text = "".join(
        f'[[records]]\ntitle = "{n}"\ntechnology = "windows"\nuser = "u"\nvault = "V"\nsecret = "s"\n'
        f'ips = ["10.0.0.{first}-10.0.0.{first + size}"]\n'
        for n, (first, size) in enumerate(ranges)
    )
    expected = [str(n) for n, (first, size) in enumerate(ranges) if first <= probe <= first + size]
    applicable = book(text).applicable(Target(address=f"10.0.0.{probe}"), Technology.WINDOWS)
    assert [record.title for record in applicable] == expected
    assert not any(isinstance(record, UnixRecord) for record in applicable)


@pytest.mark.parametrize(
    ("accounts", "way", "asked_of", "account", "secret"),
    [
        ("corp", '{ type = "sudo", password = "login" }', "scan", "scan@dir:corp", "s"),
        ("local", '{ type = "sudo", password = "login" }', "scan", "scan@host:10.0.0.1", "s"),
        ("corp", '{ type = "sudo", secret = "sudo-{address}" }', "scan", "scan@dir:corp", "sudo-10.0.0.1"),
        ("corp", '{ type = "sudo", secret = "r", user = "root" }', "root", "root@host:10.0.0.1", "r"),
        ("corp", '{ type = "su", secret = "r" }', "root", "root@host:10.0.0.1", "r"),
        ("local", '{ type = "su", secret = "r", user = "toor" }', "toor", "toor@host:10.0.0.1", "r"),
    ],
)
def test_whose_password_root_delegation_submits(
    accounts: str, way: str, asked_of: str, account: str, secret: str
) -> None:
    records = book(unix("A", '["10.0.0.1"]', accounts=f'"{accounts}"', root_delegation=way, failure_budget="3"))
    (candidate,) = found(records, "10.0.0.1", Technology.UNIX)
    root = candidate.root
    assert root is not None
    assert (root.user, str(root.account), root.secret.key) == (asked_of, account, secret)
    assert candidate.sudo is (root.by == "sudo")
    assert candidate.secrets == tuple(dict.fromkeys((candidate.secret, root.secret)))
    budget = records.budget_for(root.account)
    assert budget is not None
    assert budget.failures == 3
    assert records.budgets_of_hosts() == (set() if root.account.is_directory else {budget})


def test_without_a_password_nothing_is_submitted() -> None:
    for way in ('"none"', '"sudo"', '{ type = "sudo" }'):
        (candidate,) = found(book(unix("A", '["10.0.0.1"]', root_delegation=way)), "10.0.0.1", Technology.UNIX)
        assert (candidate.root, candidate.sudo) == (None, "sudo" in way)


def test_a_record_whose_second_secret_needs_what_the_target_lacks_is_left_out() -> None:
    records = book(unix("A", '["10.0.0.1"]', root_delegation='{ type = "su", secret = "root-{host}" }'))
    none = records.candidates(Target(address="10.0.0.1"), Technology.UNIX)
    assert isinstance(none, NoCandidate)
    assert "gives no host for 10.0.0.1" in none.text


KERBEROS = """
[[records]]
title = "{title}"
technology = "windows"
user = "u"
vault = "V"
secret = "u"
ips = ["10.0.0.0/24", "win1.corp.example", "win1"]
realm = "corp.example"
kerberos = "{kerberos}"
"""


@pytest.mark.parametrize(
    ("target", "host"),
    [
        (Target(address="10.0.0.5", fqdn="win5.corp.example"), "win5.corp.example"),
        (Target(address="10.0.0.5", host="win5", domain="corp.example"), "win5.corp.example"),
        (Target(address="10.0.0.5", host="win5"), "win5"),
        (Target(address="win1.corp.example"), "win1.corp.example"),
        (Target(address="win1"), "win1"),
        (Target(address="win1", fqdn="other.corp.example"), "other.corp.example"),
        (Target(address="10.0.0.5"), ""),
        (Target(address="10.0.0.5", domain="corp.example"), ""),
    ],
)
def test_a_ticket_is_for_the_name_in_the_target_list(target: Target, host: str) -> None:
    assert service_host(target) == host
    kdcs = (KdcPlace(host="corp.example", port=88),)
    for kerberos in ("required", "prefer"):
        records = book(KERBEROS.format(title="K", kerberos=kerberos))
        found = records.candidates(target, Technology.WINDOWS)
        if kerberos == "required" and not host:
            text = (
                "record 'K' logs in with Kerberos, which goes by name, and the target list gives no name for 10.0.0.5; "
                "give it an fqdn"
            )
            assert found == NoCandidate("NO_RECORD", text)
        else:
            assert not isinstance(found, NoCandidate)
            required = kerberos == "required"
            assert found[0].kerberos == KerberosTerms(required=required, realm="CORP.EXAMPLE", kdcs=kdcs, host=host)
            assert found[0].domain == "corp.example"  # for NTLM in its place
            assert found[0].account == Account(authority="dir:corp.example", user="u")


def test_a_record_that_needs_a_name_leaves_the_others() -> None:
    without = KERBEROS.format(title="N", kerberos="off").replace('realm = "corp.example"', "")
    found = book(KERBEROS.format(title="K", kerberos="required") + without).candidates(
        Target(address="10.0.0.5"), Technology.WINDOWS
    )
    assert not isinstance(found, NoCandidate)
    assert [(c.record, c.kerberos) for c in found] == [("N", None)]


def test_a_jump_host_is_an_account_of_its_own() -> None:
    jump = (
        '{ host = "Bastion.example.", user = "CORP\\\\Jumper", secret = { id = 7 }, port = 2222, private_key = true }'
    )
    records = book(
        unix("A", '["10.0.0.0/24"]', jump=jump, failure_budget="3")
        + unix("B", '["10.0.1.0/24"]', jump=jump, failure_budget="1")
        + unix("C", '["10.0.2.0/24"]', jump='{ host = "::1", user = "j", secret = "a{{b", accounts = "corp" }')
        + unix("D", '["10.0.3.0/24"]', accounts='"corp"', user='"J"', failure_budget="5")
    )
    a, c = (found(records, address, Technology.UNIX)[0] for address in ("10.0.0.1", "10.0.2.1"))
    assert a.jump is not None
    assert c.jump is not None
    assert (a.jump.place, str(a.jump.account), a.jump.private_key) == (
        "bastion.example:2222",
        "jumper@host:bastion.example",
        True,
    )
    assert (c.jump.place, str(c.jump.account), c.jump.secret.key) == ("[::1]:22", "j@dir:corp", "a{b")
    assert a.accounts == (a.account, a.jump.account)
    assert a.secrets == (a.secret, a.jump.secret)
    shared = records.budget_for(a.jump.account)
    assert shared is not None
    assert shared.failures == 1, "where two records use it, the smaller budget wins"
    directory = records.budget_for(c.jump.account)
    assert directory is not None
    assert directory.failures == 2
    assert c.jump.account not in [account for account in records.directory_accounts() if account.user != "j"]


def test_what_a_login_goes_on_with() -> None:
    further = '[{ secret = "old-{address}", private_key = true }, { password = "login" }]'
    records = book(unix("A", '["10.0.0.1"]', private_key="true", fallback=further))
    (candidate,) = found(records, "10.0.0.1", Technology.UNIX)
    answers = [(answer.secret.key, answer.private_key) for answer in candidate.answers]
    assert answers == [("s", True), ("old-10.0.0.1", True), ("s", False)]
    assert all(answer.fallbacks == () for answer in candidate.answers)
    assert [secret.key for secret in candidate.secrets] == ["s", "old-10.0.0.1"]
    assert candidate.accounts == (candidate.account,)


def test_a_record_whose_fallback_needs_what_the_target_lacks_is_left_out() -> None:
    further = '[{ secret = "{host}-old", private_key = true }]'
    records = book(unix("A", '["10.0.0.1"]', private_key="true", fallback=further))
    none = records.candidates(Target(address="10.0.0.1"), Technology.UNIX)
    assert isinstance(none, NoCandidate)
    assert "gives no host for 10.0.0.1" in none.text
