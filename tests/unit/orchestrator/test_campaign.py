"""Campaign files: what they mean, and that every fault is told at once, with its line, and without a secret."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from appliance.contract import Selection, Target, Technology
from orchestrator.campaign import (
    Campaign,
    CampaignError,
    Jump,
    Pace,
    PasswordReference,
    SecretReference,
    SnapshotError,
    TargetEntry,
    Targets,
    UnixRecord,
    Vault,
    VaultTls,
    WindowsRecord,
    campaign_schema,
    load_campaign,
    parse_campaign,
)
from orchestrator.campaign_template import Answers, campaign_text
from orchestrator.campaign_times import Daily, Once, Schedule
from orchestrator.records import RecordBook

# The example of the article that Keymuster follows, in its words.
ARTICLE = """\
name = "Using Secret Server"

[[vaults]]
title = "Secret Server Vault"
type = "Thycotic Secret Server"
url = "https://vault.example/SecretServer"
user = "qualys_webservices"
password = { env = "SECRET_SERVER_PASSWORD" }

[[records]]
title = "Windows scan account"
technology = "windows"
login_type = "Authentication Vault"
user = "vm_scan_account"
vault = "Secret Server Vault"
secret = "win_scan_secret"
ips = ["10.10.10.5", "10.10.10.20-10.10.10.40"]

[targets]
include = ["10.10.10.0/24"]
"""

UNIX = """
[[records]]
title = "Linux"
technology = "unix"
user = "scan"
vault = "Secret Server Vault"
secret = { path = '\\Linux\\{domain}\\{host}' }
ips = ["10.20.0.0/16", "web1.corp.example"]
accounts = "corp"
private_key = true
root_delegation = "sudo"
failure_budget = 5
failure_window = "1h"
"""


def faults_of(text: str) -> list[str]:
    with pytest.raises(CampaignError) as refusal:
        parse_campaign(text, "c.toml")
    assert str(refusal.value).splitlines() == [str(fault) for fault in refusal.value.faults]
    return str(refusal.value).splitlines()


def test_the_articles_example_works_as_written() -> None:
    campaign = parse_campaign(ARTICLE, "c.toml")
    (vault,) = campaign.vaults
    assert (vault.title, vault.type, vault.api) == ("Secret Server Vault", "Thycotic Secret Server", "rest")
    assert (vault.password.kind, vault.password.env, vault.domain) == ("env", "SECRET_SERVER_PASSWORD", None)
    book = RecordBook(campaign.records, campaign.vaults)
    candidates = book.candidates(Target(address="10.10.10.21"), Technology.WINDOWS)
    assert isinstance(candidates, tuple)
    (candidate,) = candidates
    assert (candidate.record, candidate.user, candidate.port) == ("Windows scan account", "vm_scan_account", 445)
    assert (candidate.secret.vault, candidate.secret.by, candidate.secret.key) == (
        "Secret Server Vault",
        "name",
        "win_scan_secret",
    )
    assert candidate.selection is Selection.USER_SELECTED
    assert str(candidate.account) == "vm_scan_account@dir:record:windows scan account"


def test_defaults_durations_and_kinds() -> None:
    campaign = parse_campaign(ARTICLE + UNIX, "c.toml")
    unix = campaign.records[1]
    assert isinstance(unix, UnixRecord)
    assert (unix.port, unix.crypto, unix.host_keys) == (22, "compat", "tofu")
    assert (unix.failure_budget, unix.failure_window, campaign.records[0].failure_window) == (5, 3600.0, 1800.0)
    assert campaign.pace == Pace()
    assert (campaign.pace.deadline, campaign.pace.vault_patience) == (30.0, 120.0)


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    file = tmp_path / "sub" / "c.toml"
    file.parent.mkdir()
    text = ARTICLE.replace('{ env = "SECRET_SERVER_PASSWORD" }', '{ file = "../pw" }\ntls = { ca = "/etc/ca.pem" }')
    file.write_text(text, encoding="utf-8-sig")
    (vault,) = load_campaign(file).vaults
    assert vault.password.file == str(tmp_path / "pw")
    assert vault.tls.ca == "/etc/ca.pem"


def test_a_snapshot_is_plain_data_and_gives_the_same_campaign(tmp_path: Path) -> None:
    text = 'gate = ["coverage >= 98%"]\n' + ARTICLE.replace('{ env = "SECRET_SERVER_PASSWORD" }', '{ file = "pw" }')
    campaign = parse_campaign(text + UNIX + '[pace]\ndeadline = "0.5m"\n', str(tmp_path / "c.toml"))
    stored = json.loads(json.dumps(campaign.snapshot()))
    assert stored["schema"] == 1
    assert stored["campaign"]["pace"]["deadline"] == "30s"
    assert stored["campaign"]["vaults"][0]["password"] == {"file": str(tmp_path / "pw")}
    assert Campaign.from_snapshot(stored) == campaign
    assert campaign.gates[0].text == "coverage>=98%"


@pytest.mark.parametrize(
    ("stored", "read"),
    [
        ("9999-12-31T23:59:59", "9998-12-28T23:59:59"),
        ("9999-02-01T00:00", "9998-02-01T00:00"),
        ("9998-12-31T00:00", "9998-12-31T00:00"),
    ],
)
def test_a_run_of_an_older_release_may_have_what_a_file_may_not(stored: str, read: str) -> None:
    """Its campaign was taken, and its report and its end are owed."""
    window = "[[windows]]\nstart = 2027-01-01T00:00:00\nend = 9998-01-01T00:00:00\ntime_zone = 'UTC'\n"
    snapshot = parse_campaign(ARTICLE + window, "c.toml").snapshot()
    campaign = snapshot["campaign"]
    campaign["windows"][0]["end"] = stored
    campaign["windows"][0].pop("stop_new", None)
    campaign["vaults"][0] |= {"url": "https://vault..example/a\\b", "proxy": "http://proxy..example:3128"}
    kept = Campaign.from_snapshot(snapshot)
    assert kept.snapshot()["campaign"]["windows"][0]["end"] == read
    assert kept.vaults[0].url == "https://vault..example/a\\b"
    assert kept.vaults[0].proxy == "http://proxy..example:3128"


@pytest.mark.parametrize(
    ("change", "says"),
    [({"schema": 2}, "finish the run with the release that began it"), ({"campaign": {"name": 3}}, "damaged at name")],
)
def test_a_snapshot_of_another_release_or_a_damaged_one_is_refused(change: dict[str, Any], says: str) -> None:
    with pytest.raises(SnapshotError, match=says):
        Campaign.from_snapshot({**parse_campaign(ARTICLE, "c.toml").snapshot(), **change})


EVERY_FAULT = """\
c.toml:2: zap: is no known key; remove it or correct it. Known here: gate, name, pace, priority, records, schedule, \
targets, vaults, windows, zones
c.toml:3: vaults[0].user: is missing; add it
c.toml:6: vaults[0].url: is no http or https URL; write for example https://vault.example/SecretServer
c.toml:7: vaults[0].usr: is no known key; did you mean user? Known here: api, approval, approval_wait, \
approval_window, check_out, comment, domain, fetch, \
max_age, password, proxy, ticket, ticket_system, title, tls, type, url, user
c.toml:9: records[0].vault: is missing; add it
c.toml:12: records[0].login_type: basic is refused: it would put the target's password into this file, the store and \
the bus; put the password into a secret and write login_type = "vault" with vault and secret
c.toml:14: records[0].secret: has an unknown placeholder {hots}; known ones are {address} {domain} {fqdn} {host}
c.toml:16: records[0].ips[1]: '10.0.0.300' is no address, range, CIDR block or DNS name; correct it
c.toml:18: records[1].title: 'A' is the title of records[0] too; give each its own
c.toml:21: records[1].vault: there is no vault 'W'; name one of this file's [[vaults]] by its title ('V')
c.toml:23: records[1].ips: record 'A' (records[1]) and record 'A' (records[0]) both claim 10.0.0.7-10.0.0.9; an \
address may be in one Unix record only: take it out of one of them"""


def test_every_fault_at_once_in_the_order_of_the_file() -> None:
    text = """\
name = "x"
zap = 1
[[vaults]]
title = "V"
type = "Secret Server"
url = "ftp://vault"
usr = "svc"
password = { env = "PW" }
[[records]]
title = "A"
technology = "unix"
login_type = "basic"
user = "u"
secret = "{hots}"
ips = ["10.0.0.0/24",
       "10.0.0.300"]
[[records]]
title = "A"
technology = "unix"
user = "u"
vault = "W"
secret = "s"
ips = ["10.0.0.7-10.0.0.9"]
"""
    assert "\n".join(faults_of(text)) == EVERY_FAULT


def record(**changes: str) -> str:
    """The article's campaign with its record changed: key to its TOML text, empty to leave the key out."""
    keys = {
        "title": '"R"',
        "technology": '"windows"',
        "user": '"u"',
        "vault": '"Secret Server Vault"',
        "secret": '"s"',
        "ips": '["10.0.0.1"]',
    } | changes
    head, _, rest = ARTICLE.partition("[[records]]")
    targets = rest[rest.index("[targets]") :]
    return f"{head}[[records]]\n" + "".join(f"{k} = {v}\n" for k, v in keys.items() if v) + targets


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"technology": ""}, 'records[0]: needs technology = "windows" or technology = "unix"'),
        ({"technology": '"linux"'}, 'records[0]: needs technology = "windows" or technology = "unix"'),
        ({"login_type": '"vualt"'}, 'records[0].login_type: must be "vault"'),
        ({"private_key": "true"}, "records[0].private_key: is no key of windows records, only of the others"),
        ({"technology": '"unix"', "domain": '"C"'}, "records[0].domain: is no key of unix records"),
        ({"technology": '"unix"', "ips": ""}, "records[0].ips: is missing; say which addresses"),
        ({"technology": '"unix"', "ips": "[]"}, "records[0].ips: is missing; say which addresses"),
        ({"ips": ""}, "records[0].ips: is missing; say which addresses"),
        ({"ips": '"10.0.0.1"'}, "records[0].ips: must be a list, in square brackets"),
        ({"ips": "[1]"}, "records[0].ips[0]: must be text in quotes"),
        ({"ips": '["10.0.0.1/24"]'}, "does not begin on its own boundary; write 10.0.0.0/24, or a range"),
        ({"ips": '["10.0.0.9-10.0.0.1"]'}, "ends before it begins; swap the two addresses"),
        ({"ips": '["10.0.0.1-9"]'}, "write both ends in full, for example 10.0.0.5-10.0.0.20"),
        ({"ips": '["10.0.0.0/33"]'}, "is no CIDR block; write for example 10.0.0.0/24"),
        (
            {"domain_type": '"netbios-service-selected"', "domain": '"CORP"'},
            "records[0].ips: does not go with netbios-service-selected",
        ),
        ({"domain_type": '"active-directory"', "domain": '"c.x"'}, "records[0].ips: does not go with active-directory"),
        ({"domain_type": '"active-directory"', "ips": ""}, "records[0].domain: is missing; a record of type"),
        (
            {"domain_type": '"netbios-service-selected"', "domain": '"corp.example"', "ips": ""},
            "records[0].domain: 'corp.example' is no NetBIOS name",
        ),
        ({"domain_type": '"local"', "domain": '"CORP"'}, "records[0].domain: does not go with local"),
        ({"domain_type": '"local"', "accounts": '"corp"'}, "records[0].accounts: does not go with local"),
        ({"accounts": '"local"'}, "records[0].accounts: is for Unix; for the hosts' own Windows accounts write"),
        ({"domain_type": '"workgroup"'}, "records[0].domain_type: must be one of"),
        ({"kerberos": '"on"'}, "records[0].kerberos: must be one of"),
        ({"kerberos": '"required"'}, "records[0].realm: is missing; Kerberos goes by the full name of the directory"),
        ({"kerberos": '"prefer"', "domain": '"CORP"'}, "records[0].realm: is missing; Kerberos goes by the full name"),
        ({"kerberos": '"prefer"', "domain": '"no name.x"'}, "records[0].realm: is missing; Kerberos goes by the full"),
        ({"kerberos": '"prefer"', "realm": '"CORP"'}, "records[0].realm: 'CORP' is no full name of a directory; write"),
        (
            {"kerberos": '"prefer"', "realm": '"10.0.0.1"'},
            "records[0].realm: '10.0.0.1' is no full name of a directory",
        ),
        (
            {"kerberos": '"required"', "realm": '"corp.example"', "nt_hash": "true"},
            "records[0].nt_hash: does not go with Kerberos, whose keys are made of the password; remove one of them",
        ),
        ({"kerberos": '"required"', "domain_type": '"local"'}, "records[0].kerberos: does not go with local: the dir"),
        ({"realm": '"corp.example"'}, "records[0].realm: has no effect without Kerberos; add kerberos ="),
        ({"kdc": '"dc1.corp.example"'}, "records[0].kdc: has no effect without Kerberos; add kerberos ="),
        *(
            ({"kerberos": '"required"', "realm": '"corp.example"', "kdc": kdc}, f"records[0].kdc{place}")
            for kdc, place in (
                ('"dc1:0"', ": 'dc1:0' is no domain controller; write its name or address"),
                ('"dc1:65536"', ": 'dc1:65536' is no domain controller"),
                ('"dc1:"', ": 'dc1:' is no domain controller"),
                ('["dc1", "d c"]', "[1]: 'd c' is no domain controller"),
                ('"[::1"', ": '[::1' is no domain controller"),
                ("[]", ": "),
                ("88", ": "),
            )
        ),
        ({"user": "'CORP\\u'"}, "records[0].user: must be the bare account name"),
        ({"user": '" "'}, "records[0].user: must not be empty"),
        ({"secret": '"{host.x}"'}, "records[0].secret: has an unknown placeholder {host.x}"),
        ({"secret": '"{host!r}"'}, "records[0].secret: has an unknown placeholder {host}"),
        ({"secret": '"{host"'}, "records[0].secret: has a brace without its partner"),
        ({"secret": '{ id = "3" }'}, "records[0].secret.id: must be a whole number, without quotes"),
        ({"secret": '{ id = 3, name = "x" }'}, "records[0].secret: must name the secret in one way"),
        ({"secret": '{ machine = "x", path = "y" }'}, "records[0].secret: must name the secret in one way"),
        ({"secret": '{ machine = "{hots}" }'}, "records[0].secret.machine: has an unknown placeholder {hots}"),
        ({"secret": '{ name = "x", template = "T" }'}, "records[0].secret: has template or folder beside what names"),
        ({"secret": '{ machine = "x", folder = "Linux" }'}, "records[0].secret.folder: is no folder's path; write it"),
        (
            {"secret": "{ machine = 'x', folder = '\\A\\\\B' }"},
            "records[0].secret.folder: is no folder's path; write it",
        ),
        (
            {"secret": "{ machine = 'x', folder = '\\{host}' }"},
            "records[0].secret.folder: takes nothing from the target",
        ),
        (
            {"secret": '{ machine = "x", templat = "T" }'},
            "records[0].secret.templat: is no known key; did you mean templ",
        ),
        ({"secret": '{ nam = "x" }'}, "records[0].secret.nam: is no known key; did you mean name?"),
        *(
            ({"technology": '"unix"', "root_delegation": given}, f"records[0].root_delegation{says}")
            for given, says in (
                ('"doas"', ": must be one of 'none', 'sudo' or 'su'"),
                ('{ type = "none", secret = "r" }', ": has a password and no way to root"),
                ('{ type = "su" }', ": su needs root's password"),
                ('{ type = "su", password = "login" }', ": su asks for root's own password, never the login's"),
                ('{ type = "sudo", password = "login", secret = "r" }', ": password and secret are two answers"),
                ('{ type = "sudo", user = "root" }', ": vault and user say something of a secret, and there is none"),
                ('{ type = "su", secret = "r", user = "a b" }', ".user: string should match pattern"),
                ('{ type = "su", secret = "{hots}" }', ".secret: has an unknown placeholder {hots}"),
                ('{ type = "su", secret = "r", vault = "Other" }', ".vault: there is no vault 'Other'"),
                ('{ type = "sudo", password = "Secret-1" }', ".password: must be one of 'login'"),
            )
        ),
        ({"failure_window": "30"}, "records[0].failure_window: is no duration; write a number with its unit in quotes"),
        ({"failure_budget": "0"}, "records[0].failure_budget: must be at least 1"),
        ({"port": "70000"}, "records[0].port: must be at most 65535"),
    ],
)
def test_what_is_said_of_a_record(changes: dict[str, str], says: str) -> None:
    faults = faults_of(record(**changes))
    assert len([fault for fault in faults if says in fault]) == 1, faults


@pytest.mark.parametrize(
    ("section", "says"),
    [
        ('[pace]\ndeadline = "0s"', "pace.deadline: must be at least 1 s"),
        ('[pace]\nzone = "a.b"', "pace.zone: string should match pattern"),
        ("[pace]\ncapacity = true", "pace.capacity: must be a whole number"),
        ("[pace]\ncapacty = 5", "pace.capacty: is no known key; did you mean capacity?"),
        (
            "[[vaults]]\ntitle = 'Secret Server Vault'",
            "vaults[1].title: 'Secret Server Vault' is the title of vaults[0]",
        ),
    ],
)
def test_what_is_said_of_other_tables(section: str, says: str) -> None:
    faults = faults_of(ARTICLE + section + "\n")
    assert any(says in fault for fault in faults), faults


@pytest.mark.parametrize(
    ("include", "says"),
    [
        (
            '["::1", { address = "10.0.0.0/24", host = "a" }]',
            "targets.include[1]: '10.0.0.0/24' is more than one",
        ),
        ('[{ address = "10.0.0.1", hots = "a" }]', "targets.include[0].hots: is no known key; did you mean host?"),
        ('[{ address = "10.0.0.1", host = "a\\\\b" }]', "targets.include[0].host: string should match pattern"),
        ('["fe80::1%eth0"]', "names a network interface after '%'"),
        ('["::/0"]', "holds IPv4-mapped addresses and others"),
        (
            '[{ address = "10.0.0.1", host = "a" }, { address = "::ffff:10.0.0.1", host = "b" }]',
            "targets.include[1]: 10.0.0.1 has other attributes in targets.include[0]",
        ),
    ],
)
def test_what_is_said_of_targets(include: str, says: str) -> None:
    faults = faults_of(ARTICLE[: ARTICLE.index("[targets]")] + f"[targets]\ninclude = {include}\n")
    assert any(says in fault for fault in faults), faults


@pytest.mark.parametrize(
    "text",
    [
        'password = "MARKER"',
        'password = { env = "MARKER DOLLAR" }',
        "password = { MARKER = 1 }",
        'password = { prompt = "MARKER" }',
        'password = { env = "A", keyring = "MARKER" }',
        'password = { env = "A", file = "MARKER" }',
        'password = ["MARKER"]',
        "password = {}",
        'pasword = "MARKER"',
        "password = MARKER",
        'password = "MARKER',
        'password = { env = "A" }\nurl = "https://u:MARKER@vault/"',
        'password = { env = "A" }\nurl = "https://vault:MARKER/"',
        'password = { env = "A" }\nurl = "https://vault/?token=MARKER"',
    ],
)
def test_a_password_in_the_file_is_refused_and_never_repeated(text: str) -> None:
    article = ARTICLE.replace('url = "https://vault.example/SecretServer"\n', "") if "url" in text else ARTICLE
    faults = faults_of(article.replace('password = { env = "SECRET_SERVER_PASSWORD" }', text))
    assert "MARKER" not in "\n".join(faults)
    assert all(
        fault.startswith(("c.toml:8:", "c.toml:7:", "c.toml:3: vaults[0].password: is missing")) for fault in faults
    ), faults


def test_a_literal_password_is_told_where_it_belongs() -> None:
    (fault,) = faults_of(ARTICLE.replace('{ env = "SECRET_SERVER_PASSWORD" }', '"hunter2"'))
    assert fault == (
        "c.toml:8: vaults[0].password: the password itself must not be in this file; say where it is: "
        '{ env = "NAME" }, { file = "PATH" }, { prompt = true } or { keyring = "service/user" }'
    )


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ('name = "x"\nvaults = [\n', "c.toml:2: file: is not valid TOML: "),
        (
            'name = "x"\n\nname = 3',
            "c.toml:3: file: is not valid TOML: Cannot overwrite a value at the end of the file; a key may",
        ),
        ("name = x", "c.toml:1: file: is not valid TOML: Invalid value at column "),
        ("name = 1\na = " + "[" * 5000 + "]" * 5000, "c.toml:1: file: is nested too deeply"),
        ("name = " + "9" * 5000, "c.toml:1: file: is not valid TOML: a number or date in it is out of range"),
    ],
)
def test_what_is_no_toml_is_told_with_its_line(text: str, start: str) -> None:
    (fault,) = faults_of(text)
    assert fault.startswith(start)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(CampaignError, match="No such file or directory; check the path"):
        load_campaign(tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes(b'name = "x"\n# caf\xe9\n')
    with pytest.raises(CampaignError, match=r"latin\.toml:2: file: is not UTF-8 text"):
        load_campaign(tmp_path / "latin.toml")


def test_two_names_for_one_host_in_two_unix_records_are_an_overlap_too() -> None:
    second = UNIX.replace('"Linux"', '"Web"').replace('["10.20.0.0/16", "web1.corp.example"]', '["WEB1.corp.example."]')
    (fault,) = faults_of(ARTICLE + UNIX + second)
    assert "record 'Web' (records[2]) and record 'Linux' (records[1]) both claim web1.corp.example;" in fault


@given(st.lists(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 4)), min_size=1, max_size=2), max_size=5))
def test_exactly_the_pairs_of_unix_records_that_share_an_address_are_told(records: list[list[tuple[int, int]]]) -> None:
    text = ARTICLE
    held: list[set[int]] = []
    for n, ranges in enumerate(records):
        ips = ", ".join(f'"10.0.0.{first}-10.0.0.{first + size}"' for first, size in ranges)
        text += UNIX.replace('"Linux"', f'"{n}"').replace('"10.20.0.0/16", "web1.corp.example"', ips)
        held.append({address for first, size in ranges for address in range(first, first + size + 1)})
    expected = {(b, a) for a in range(len(held)) for b in range(a + 1, len(held)) if held[a] & held[b]}
    try:
        parse_campaign(text, "c.toml")
        told = set()
    except CampaignError as error:
        pairs = [re.findall(r"record '(\d)'", fault.message) for fault in error.faults]
        told = {(int(later), int(earlier)) for later, earlier in pairs}
    assert told == expected


LINES = ARTICLE.splitlines() + UNIX.splitlines() + ["[pace]", 'deadline = "1s"', "x = { y = [1, {}] }", "[[targets]]"]
VALUES = ["1", "true", '"x"', "[]", "{}", "[[1]]", '["10.0.0.0/8"]', '{ name = "{host}" }', "nan", "1979-05-27"]
VALUES += ['"\\u0000"', '"\\n"', '"\\u0085"', '["\\u2028"]']


@given(
    st.text()
    | st.lists(st.sampled_from(LINES)).map("\n".join)
    | st.lists(st.tuples(st.sampled_from(LINES), st.sampled_from(VALUES))).map(
        lambda edits: "\n".join(
            next((f"{line.split(' = ')[0]} = {v}" for old, v in edits if old == line and " = " in line), line)
            for line in LINES[:-2]
        )
    )
)
def test_any_text_is_read_or_refused_with_faults(text: str) -> None:
    refusal: CampaignError | None = None
    try:
        campaign = parse_campaign(text, "c.toml")
    except CampaignError as error:
        refusal = error
    if refusal is None:
        assert Campaign.from_snapshot(campaign.snapshot()) == campaign
        return
    assert refusal.faults
    assert all(1 <= fault.line <= text.count("\n") + 1 for fault in refusal.faults)
    assert len(str(refusal).splitlines()) == len(refusal.faults)


# -- what init writes, and the schema ----------------------------------------------------------------------------------

TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=("Zs", "Zl", "Zp", "Cc")), min_size=1, max_size=9)


@given(TEXTS, TEXTS, TEXTS, st.sampled_from(Technology))
def test_what_init_writes_is_a_campaign(name: str, title: str, user: str, technology: Technology) -> None:
    unix = technology is Technology.UNIX
    answers = Answers(name=name, vault=title, record=title, vault_user=user, technology=technology)
    campaign = parse_campaign(campaign_text(replace(answers, user=user if unix else "u", ips=("10.0.0.1",))), "c.toml")
    assert (campaign.name, campaign.vaults[0].title, campaign.vaults[0].user) == (name, title, user)
    assert campaign.records[0].technology == technology.value
    assert campaign.targets.include[0].address == "10.0.0.1"


@pytest.mark.parametrize(("kind", "reference"), [("env", "A"), ("file", "a"), ("prompt", ""), ("keyring", "s/u")])
def test_init_writes_every_kind_of_password_reference(kind: str, reference: str) -> None:
    answers = Answers(reference_kind=kind, reference=reference, vault_domain="corp.example")
    (vault,) = parse_campaign(campaign_text(answers), "c.toml").vaults
    assert (vault.password.kind, vault.domain) == (kind, "corp.example")


def test_what_init_writes_names_every_key_of_the_format() -> None:
    text = campaign_text(Answers()) + campaign_text(Answers(technology=Technology.WINDOWS))
    models: list[type[BaseModel]] = [
        *(Campaign, Vault, VaultTls, PasswordReference, WindowsRecord, UnixRecord),
        *(SecretReference, Jump, Targets, TargetEntry, Pace),
        *(Daily, Once, Schedule),
    ]
    for model in models:
        for key in model.model_fields:
            assert f"{key} = " in text or f"[[{key}]]" in text or f"[{key}]" in text, (model.__name__, key)


@pytest.mark.parametrize("technology", Technology)
def test_the_defaults_that_init_shows_in_comments_are_the_defaults(technology: Technology) -> None:
    text = campaign_text(Answers(technology=technology))
    shown = {
        "failure_budget",
        "failure_window",
        "domain_type",
        "port",
        "kerberos",
        "private_key",
        "root_delegation",
        "host_keys",
    }
    shown |= {"crypto", "retries", "deadline", "per_subnet", "vault_requests", "vault_patience", "capacity", "zone"}
    shown |= {"fetch", "max_age", "nt_hash", "throttle_patience"}
    spoken = "\n".join(
        line[2:] if line.startswith("# ") and line[2:].split(" =")[0] in shown else line for line in text.splitlines()
    )
    assert spoken != text
    assert parse_campaign(spoken, "c.toml") == parse_campaign(text, "c.toml")


def test_the_schema_has_the_files_keys_and_accepts_its_short_forms() -> None:
    schema = json.loads(json.dumps(campaign_schema()))
    assert schema["additionalProperties"] is False
    assert set(schema["properties"]) == set(Campaign.model_fields)
    definitions = schema["$defs"]
    assert {d.get("type") for d in definitions["UnixRecord"]["properties"]["secret"]["anyOf"]} == {"string", None}
    assert definitions["Pace"]["properties"]["deadline"]["type"] == "string"
    assert "password" in definitions["Vault"]["required"]


@pytest.mark.parametrize(
    "proxy",
    [
        "http://[",
        "http://p:99999",
        "http://p:x",
        "http://scan:hunter2\u2100@p",
        "http://scan:hunter2@p",
        "http://p p",
        "http://p#x",
        "http://p..q",
        "http://10.20.30.400:1",
        "http://p\\\\q",
    ],
)
def test_a_proxy_that_is_none_is_not_quoted(proxy: str) -> None:
    text = f"""name = "n"
[[vaults]]
title = "V"
url = "https://vault.example"
user = "u"
password = {{ prompt = true }}
proxy = "{proxy}"
"""
    with pytest.raises(CampaignError) as caught:
        parse_campaign(text, "c.toml")
    [fault] = caught.value.faults
    assert (fault.line, fault.key) == (7, "vaults[0].proxy")
    assert "hunter2" not in fault.message


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("url", "https://vault.example/a b"),
        ("url", "https://vault..example"),
        ("url", "https://10.20.30.400"),
        ("url", "https://vault.example\\\\SecretServer"),
        ("url", "https://vault.example/\\u0000"),
        ("tls", '{ ca = "a\\u0000b" }'),
    ],
)
def test_what_no_url_and_no_path_can_hold(key: str, value: str) -> None:
    given = {"url": "https://vault.example"} | {key: value}
    lines = [f"{name} = {text if name == 'tls' else chr(34) + text + chr(34)}" for name, text in given.items()]
    text = '[[vaults]]\ntitle = "V"\nuser = "u"\npassword = { prompt = true }\n' + "\n".join(lines)
    with pytest.raises(CampaignError, match=rf"vaults\[0\]\.{key}"):
        parse_campaign('name = "n"\n' + text, "c.toml")


@pytest.mark.parametrize("api", ["rest", "soap", "auto"])
def test_a_vault_is_spoken_to_as_the_campaign_says(api: str) -> None:
    campaign = parse_campaign(ARTICLE.replace("[[vaults]]", f'[[vaults]]\napi = "{api}"'), "c.toml")
    assert campaign.vaults[0].api == api


def test_a_vault_is_spoken_to_in_no_other_way() -> None:
    (fault,) = faults_of(ARTICLE.replace("[[vaults]]", '[[vaults]]\napi = "graphql"'))
    assert "vaults[0].api" in fault
    assert "'rest', 'soap' or 'auto'" in fault


def test_a_path_is_not_for_a_vault_that_is_asked_by_soap() -> None:
    by_path = ARTICLE.replace('secret = "win_scan_secret"', "secret = { path = '\\Scan\\{host}' }")
    assert by_path != ARTICLE
    for api in ("rest", "auto"):
        parse_campaign(by_path.replace("[[vaults]]", f'[[vaults]]\napi = "{api}"'), "c.toml")
    (fault,) = faults_of(by_path.replace("[[vaults]]", '[[vaults]]\napi = "soap"'))
    assert "records[0].secret.path" in fault
    assert "SOAP finds no secret by its path" in fault


def test_a_folder_is_not_for_a_vault_that_is_asked_by_soap() -> None:
    machine = "secret = { machine = '{host}', template = 'Windows Account', folder = '\\Scan' }"
    text = ARTICLE.replace('secret = "win_scan_secret"', machine)
    parse_campaign(text, "c.toml")
    parse_campaign(text.replace("[[vaults]]", '[[vaults]]\napi = "auto"'), "c.toml")
    (fault,) = faults_of(text.replace("[[vaults]]", '[[vaults]]\napi = "soap"'))
    assert "records[0].secret.folder" in fault
    assert "SOAP tells no folder's path" in fault


PIN = "sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="


def vault_with(*lines: str, url: str = "https://vault.example") -> str:
    """A campaign of one vault; its lines of interest begin with the seventh, and the url is on the fourth."""
    table = f'[[vaults]]\ntitle = "V"\nurl = "{url}"\nuser = "u"\npassword = {{ prompt = true }}\n'
    return "\n".join((f'name = "n"\n{table}{lines[0] if lines else ""}', *lines[1:])) + "\n"


@pytest.mark.parametrize(("text", "pins"), [(f'"{PIN}"', (PIN,)), (f'["{PIN}"]', (PIN,)), ("[]", ())])
def test_one_pin_or_several(text: str, pins: tuple[str, ...]) -> None:
    campaign = parse_campaign(vault_with(f"tls = {{ pin = {text} }}"), "c.toml")
    assert campaign.vaults[0].tls.pin == pins
    assert Campaign.from_snapshot(campaign.snapshot()) == campaign


def test_a_client_certificate_and_where_its_key_is() -> None:
    keys = 'client_cert = "c.pem", client_key = { env = "K" }, client_key_passphrase = { prompt = true }'
    campaign = parse_campaign(vault_with(f"tls = {{ {keys} }}"), "/etc/c.toml")
    tls = campaign.vaults[0].tls
    assert (tls.client_cert, tls.client_key and tls.client_key.env) == ("/etc/c.pem", "K")
    assert Campaign.from_snapshot(campaign.snapshot()) == campaign


@pytest.mark.parametrize(
    ("line", "url", "where", "said"),
    [
        ('tls = { pin = "sha256//x" }', "https://v", "7: vaults[0].tls.pin", "is no pin; write"),
        (
            'tls = { pin = "sha256//x" }',
            "https://v",
            "7: vaults[0].tls.pin",
            "openssl dgst -sha256",
        ),
        (f'tls = {{ pin = "{PIN}" }}', "http://127.0.0.1", "7: vaults[0].tls.pin", "url begins with https://"),
        ('tls = { client_cert = "c" }', "https://v", "7: vaults[0].tls", "client_cert and client_key go together"),
        ('tls = { client_key = { file = "c" } }', "https://v", "7: vaults[0].tls", "go together"),
        (
            'tls = { client_key_passphrase = { file = "c" } }',
            "https://v",
            "7: vaults[0].tls",
            "no client_key to go with",
        ),
        (
            'tls = { client_cert = "c", client_key = { prompt = true } }',
            "https://v",
            "7: vaults[0].tls",
            "cannot be typed at a prompt",
        ),
        ("", "http://vault.example", "4: vaults[0].url", "tls = { plain_http = true }"),
        ("", "HTTP://vault.example", "4: vaults[0].url", "tls = { plain_http = true }"),
        (
            "tls = { verify = false }",
            "http://10.0.0.1",
            "4: vaults[0].url",
            "cross the network in clear; write https://",
        ),
        ("tls = { plain_http = true }", "https://v", "7: vaults[0].tls.plain_http", "begins with http://; remove it"),
        ('proxy = "http://p:1"', "http://127.0.0.1", "7: vaults[0].proxy", "url begins with https://"),
    ],
)
def test_tls_that_does_not_fit(line: str, url: str, where: str, said: str) -> None:
    [fault] = faults_of(vault_with(line, url=url))
    assert fault.startswith(f"c.toml:{where}: ")
    assert said in fault


@pytest.mark.parametrize("key", ["client_key", "client_key_passphrase"])
@pytest.mark.parametrize("value", ['"hunter2"', "{ hunter2 = 1 }", '{ env = "hunter 2" }', "[1]"])
def test_a_key_in_the_file_is_not_quoted(key: str, value: str) -> None:
    others = 'client_cert = "c"' + ("" if key == "client_key" else ', client_key = { env = "K" }')
    faults = faults_of(vault_with(f"tls = {{ {others}, {key} = {value} }}"))
    assert faults
    assert [fault for fault in faults if "hunter" in fault] == []
    assert f"7: vaults[0].tls.{key}: the" in faults[0]
    assert "itself must not be in this file" in faults[0]


@pytest.mark.parametrize(
    ("url", "line"),
    [("http://127.0.0.1:8080", ""), ("http://[::1]", ""), ("http://vault.example", "tls = { plain_http = true }")],
)
def test_http_on_this_machine_or_by_leave(url: str, line: str) -> None:
    assert parse_campaign(vault_with(line, url=url), "c.toml").vaults[0].url == url


CERTIFICATE = "ssh-ed25519-cert-v01@openssh.com AAAAIHNzaC1lZDI1NTE5"


def certified(tmp_path: Path, given: str, *, key: str = "true") -> str:
    return f"""
[[records]]
title = "R"
technology = "unix"
user = "scan"
vault = "Secret Server Vault"
secret = "s"
ips = ["192.0.2.7"]
private_key = {key}
certificate = "{given}"
"""


def test_a_certificate_is_read_with_the_campaign_and_kept_as_its_line(tmp_path: Path) -> None:
    (tmp_path / "id-cert.pub").write_text(f"{CERTIFICATE} scan@example\n")
    file = tmp_path / "campaign.toml"
    file.write_text(ARTICLE + certified(tmp_path, "id-cert.pub"))
    read = load_campaign(file)
    assert getattr(read.records[-1], "certificate") == CERTIFICATE  # noqa: B009 - a key of Unix records alone
    (tmp_path / "id-cert.pub").unlink()
    assert Campaign.from_snapshot(read.snapshot()) == read


@pytest.mark.parametrize(
    ("given", "key", "says"),
    [
        ("none.pub", "true", "certificate: cannot be read; give the path of an OpenSSH user certificate"),
        ("secret.pem", "true", "certificate: is no OpenSSH certificate; ssh-keygen -s writes one"),
        (CERTIFICATE, "false", "certificate: is for records with private_key = true"),
    ],
)
def test_a_certificate_that_is_none(tmp_path: Path, given: str, key: str, says: str) -> None:
    (tmp_path / "secret.pem").write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nU0VDUkVU\n")
    file = tmp_path / "campaign.toml"
    file.write_text(ARTICLE + certified(tmp_path, given, key=key))
    with pytest.raises(CampaignError) as refused:
        load_campaign(file)
    assert says in str(refused.value)
    assert "U0VDUkVU" not in str(refused.value)


VAULT = """\
[[vaults]]
title = "V"
url = "https://v.example"
user = "svc"
password = { env = "PW" }
"""


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (
            'comment = "{hots}"',
            "comment: has an unknown placeholder {hots}; known ones are {campaign} {job} {record} {run} {target}",
        ),
        (
            'comment = "{run"',
            "comment: has a brace without its partner; write {{ or }} for a brace that is meant literally",
        ),
        (
            'comment = "a\\nb"',
            "comment: holds a line break or another character that cannot be shown; write it in one line",
        ),
        ('ticket = ""', "ticket: must not be empty; give it a value, or remove the key"),
        ("ticket_system = 3", 'ticket_system: goes with ticket; add ticket = "NUMBER", or remove it'),
        ('ticket = "C"\nticket_system = 0', "ticket_system: must be at least 1"),
        ('approval = "ask"', "approval: must be one of 'fail' or 'request'"),
        ('api = "soap"\napproval = "request"', 'approval: "request" needs api = "rest": SOAP files no access request'),
        ('api = "auto"\napproval = "request"', 'approval: "request" needs api = "rest": SOAP files no access request'),
        (
            'approval_wait = "5h"\napproval_window = "5h"',
            (
                "approval_window: must be longer than approval_wait (18000 s): it begins when the request is filed, "
                "so what is approved at last would be over already"
            ),
        ),
        ('approval_window = "1s"', "approval_window: must be at least 60 s"),
    ],
)
def test_what_a_vault_is_told_and_asked_is_checked(line: str, fault: str) -> None:
    text = f'name = "x"\n{VAULT}{line}\n'
    with pytest.raises(CampaignError) as raised:
        parse_campaign(text, "c.toml")
    number = text.count("\n")
    assert str(raised.value) == f"c.toml:{number}: vaults[0].{fault}"


def test_terms_outlive_a_snapshot() -> None:
    terms = (
        'comment = "{run}: {target}"\nticket = "CHG-1"\nticket_system = 3\napproval = "request"\napproval_wait = "2h"\n'
    )
    campaign = parse_campaign(f'name = "x"\n{VAULT}{terms}', "c.toml")
    stored = json.loads(json.dumps(campaign.snapshot()))
    assert Campaign.from_snapshot(stored) == campaign
    assert (campaign.vaults[0].approval_wait, campaign.vaults[0].approval_window) == (7200.0, 14400.0)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ('kerberos = "required"\ndomain = "Corp.Example"', ("CORP.EXAMPLE", (("corp.example", 88),))),
        ('kerberos = "prefer"\ndomain = "CORP"\nrealm = "corp.example"', ("CORP.EXAMPLE", (("corp.example", 88),))),
        (
            'kerberos = "prefer"\nrealm = "c.example"\nkdc = ["DC1.c.example", "10.0.0.5:8888", "[::1]:90", "::1"]',
            ("C.EXAMPLE", (("dc1.c.example", 88), ("10.0.0.5", 8888), ("::1", 90), ("::1", 88))),
        ),
        ('kerberos = "prefer"\nrealm = "corp.example"\nkdc = "10.0.0.5"', ("CORP.EXAMPLE", (("10.0.0.5", 88),))),
        ('kerberos = "off"\ndomain = "corp.example"', None),
        ("", None),
    ],
)
def test_where_a_record_has_its_tickets_from(keys: str, expected: object) -> None:
    parsed = parse_campaign(ARTICLE.replace("ips = [", f"{keys}\nips = ["), "c.toml")
    (record,) = parsed.records
    assert isinstance(record, WindowsRecord)
    assert record.tickets_from == expected
    assert Campaign.from_snapshot(parsed.snapshot()).records == parsed.records


@pytest.mark.parametrize(
    ("jump", "exclude", "where", "said"),
    [
        ('{ host = "10.0.0.0/24", user = "j", secret = "s" }', "", "jump.host", "'10.0.0.0/24' is not one host; write"),
        ('{ host = "b", user = "j", secret = "{host}-jump" }', "", "jump.secret", "takes nothing from the target"),
        (
            '{ host = "b", user = "j", secret = "s", ports = 1 }',
            "",
            "jump.ports",
            "did you mean port?",
        ),
        ('{ host = "b", user = "j", secret = { nam = "s" } }', "", "jump.secret.nam", "did you mean name?"),
        ('{ host = "b", user = "j" }', "", "jump.secret", "is missing; add it"),
        ('{ host = "b", user = "j", secret = "s", vault = "W" }', "", "jump.vault", "there is no vault 'W'"),
        ('{ host = "B.", user = "j", secret = "s" }', '"b"', "jump.host", "is excluded by [targets] exclude"),
        (
            '{ host = "fe80::1%eth0", user = "j", secret = "s" }',
            "",
            "jump.host",
            "'fe80::1%eth0' is not one host",
        ),
        ('{ host = "b", user = "j", secret = "s" }', '"10.20.0.9"', "ips", "'web1.corp.example' would be resolved by"),
    ],
)
def test_what_is_said_of_a_jump_host(jump: str, exclude: str, where: str, said: str) -> None:
    head = ARTICLE.replace("[targets]", f"{UNIX}jump = {jump}\n[targets]\nexclude = [{exclude}]")
    assert any(f"records[1].{where}: " in fault and said in fault for fault in faults_of(head)), faults_of(head)


def test_a_windows_record_has_no_jump_host() -> None:
    text = ARTICLE.replace("[targets]", 'jump = { host = "b", user = "j", secret = "s" }\n[targets]')
    [fault] = faults_of(text)
    assert "records[0].jump: is for unix records: SMB is not spoken through an SSH host; remove it" in fault


def test_the_jump_hosts_secret_by_soap_has_no_path() -> None:
    jump = "jump = { host = 'b', user = 'j', secret = { path = '\\s' } }"
    text = ARTICLE.replace("[targets]", f"{UNIX}{jump}\n[targets]")
    faults = faults_of(text.replace("password = {", 'api = "soap"\npassword = {'))
    assert any("records[1].jump.secret.path: is for vaults with api" in fault for fault in faults)


FIRST, LAST = '{ secret = "k", private_key = true }', '{ password = "login" }'


@pytest.mark.parametrize(
    ("fallback", "said"),
    [
        (f"[{LAST}, {FIRST}]", "records[1].fallback[0]: is a password, and so the last; put the keys before it"),
        (f"[{LAST}, {LAST}]", "records[1].fallback[0]: is a password, and so the last"),
        (f"[{', '.join([FIRST] * 6)}]", "records[1].fallback: "),
        ("[{ private_key = true }]", "records[1].fallback[0]: names one thing to go on with"),
        ('[{ secret = "s", password = "login" }]', "records[1].fallback[0]: names one thing to go on with"),
        ('[{ password = "login", private_key = true }]', "records[1].fallback[0]: password is no private key"),
        ('[{ password = "secret" }]', "records[1].fallback[0].password: must be one of 'login'"),
        ('[{ secret = "s", vault = "V" }]', "records[1].fallback[0].vault: is no known key"),
        ('[{ secret = { nam = "s" } }]', "records[1].fallback[0].secret.nam: is no known key; did you mean name?"),
    ],
)
def test_what_is_said_of_fallbacks(fallback: str, said: str) -> None:
    text = ARTICLE.replace("[targets]", f"{UNIX}fallback = {fallback}\n[targets]")
    assert any(said in fault for fault in faults_of(text)), faults_of(text)


def test_a_refused_password_is_followed_by_nothing() -> None:
    unix = UNIX.replace("private_key = true", f"fallback = [{LAST}]")
    [fault] = faults_of(ARTICLE.replace("[targets]", f"{unix}[targets]"))
    assert "records[1].fallback: is for records with private_key = true" in fault
    [fault] = faults_of(ARTICLE.replace("[targets]", f"fallback = [{LAST}]\n[targets]"))
    assert "records[0].fallback: is no key of windows records" in fault


def test_an_unknown_key_of_root_delegation() -> None:
    unix = UNIX.replace('root_delegation = "sudo"', 'root_delegation = { type = "su", secrt = "r" }')
    assert any(
        "records[1].root_delegation.secrt: is no known key; did you mean secret?" in fault
        for fault in faults_of(ARTICLE.replace("[targets]", f"{unix}[targets]"))
    )
