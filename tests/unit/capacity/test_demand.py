"""How much work a campaign is."""

from __future__ import annotations

import pytest

from appliance.contract import Technology
from orchestrator.campaign import parse_campaign
from orchestrator.capacity.demand import Demand, Stream, demand_of
from orchestrator.plan import NothingSelected, SampleSize, build_plan, sample
from orchestrator.records import RecordBook

VAULT = """
name = "c"
[[vaults]]
title = "Vault"
type = "Thycotic Secret Server"
url = "https://vault.example/SecretServer"
user = "svc"
password = { env = "P" }
"""
RECORD = '[[records]]\ntitle = "%s"\ntechnology = "%s"\nuser = "%s"\nvault = "Vault"\nsecret = "%s"\n'
LOCAL = RECORD % ("Local", "unix", "scan", "unix-{address}") + 'ips = ["10.0.0.0/24"]\naccounts = "local"\n'
CORP = RECORD % ("Corp", "unix", "corp", "corp") + 'ips = ["10.0.1.0-10.0.1.99"]\naccounts = "CORP"\n'
DOMAIN = RECORD % ("Domain", "windows", "svc", "domain") + (
    'domain = "CORP"\ndomain_type = "netbios-service-selected"\nfailure_budget = 5\n'
)
OTHER = RECORD % ("Other", "windows", "svc", "other") + 'domain = "OTHER"\ndomain_type = "netbios-service-selected"\n'


def asked(records: str, targets: str, *, vault: str = "", pace: str = "", part: str = "") -> Demand:
    parsed = parse_campaign(f"{VAULT}{vault}\n{records}\n[targets]\n{targets}\n[pace]\n{pace}\n", "c.toml")
    plan = build_plan(parsed, RecordBook(parsed.records, parsed.vaults), run="r", seed=7)
    assert not isinstance(plan, NothingSelected)
    return demand_of(sample(plan, SampleSize.parse(part), seed=7) if part else plan, parsed)


def counts(streams: tuple[Stream, ...]) -> dict[tuple[str, str], int]:
    return {(stream.technology.value, stream.account): stream.count for stream in streams}


def test_targets_by_technology_and_account() -> None:
    told = asked(LOCAL + CORP + DOMAIN, 'include = ["10.0.0.0/23"]')
    assert counts(told.streams) == {
        ("unix", "corp@dir:corp"): 100,
        ("unix", ""): 256,
        ("windows", "svc@dir:corp"): 512,
    }
    assert told.count == 868
    assert {stream.account: stream.budget for stream in told.streams}["svc@dir:corp"] == 5


def test_what_two_domains_may_claim_is_theirs_by_halves() -> None:
    told = asked(DOMAIN + OTHER, 'include = ["10.0.0.0/24"]')
    assert counts(told.streams) == {("windows", "svc@dir:corp"): 128, ("windows", "svc@dir:other"): 128}


def test_a_sample_has_its_part_of_each() -> None:
    told = asked(LOCAL + CORP, 'include = ["10.0.0.0/23"]', part="178")
    assert told.count == 178
    assert counts(told.streams) == {("unix", "corp@dir:corp"): 50, ("unix", ""): 128}


def test_targets_that_no_record_serves_log_in_as_nobody() -> None:
    told = asked(CORP, 'include = ["10.0.0.0/23"]\ntechnologies = ["unix"]')
    assert told.streams[1] == Stream(Technology.UNIX, "", 412, 0, 0.0)


@pytest.mark.parametrize(
    ("secret", "api", "requests"),
    [
        ('"one-for-all"', "rest", 1.0),
        ('"unix-{address}"', "rest", 1.0),
        ('"unix-{address}"', "soap", 2.0),
        ('{ path = "/Scan/{address}" }', "rest", 2.0),
        ("{ id = 7 }", "rest", 1.0),
        ('{ machine = "{address}" }', "rest", 1.0),
        ('{ machine = "{address}" }', "soap", 2.0),
    ],
)
def test_a_secret_of_its_own_is_looked_up_where_no_listing_has_it(secret: str, api: str, requests: float) -> None:
    told = asked(LOCAL.replace('"unix-{address}"', secret), 'include = ["10.0.0.0/24"]', vault=f'api = "{api}"')
    assert [(v.title, v.share, v.requests_per_view) for v in told.vaults] == [("Vault", 1.0, requests)]


def test_secrets_that_are_shared() -> None:
    told = asked(LOCAL + CORP + DOMAIN, 'include = ["10.0.0.0/23"]', vault='fetch = "shared"\nmax_age = "30s"')
    assert told.shared_secrets == 256 + 1 + 1
    assert [(v.shared, v.max_age) for v in told.vaults] == [(True, 30.0)]
    assert asked(CORP, 'include = ["10.0.1.0/24"]').shared_secrets == 0


@pytest.mark.parametrize(
    ("targets", "widest"),
    [
        ('include = ["10.0.0.0/24"]', 256),
        ('include = ["10.0.0.250-10.0.0.255"]', 6),
        ('include = ["10.0.0.200-10.0.0.209", "10.0.0.220-10.0.0.229"]', 20),
    ],
)
def test_the_fullest_subnet(targets: str, widest: int) -> None:
    assert asked(LOCAL, targets, pace="per_subnet = 4").widest_subnet == widest
    assert asked(LOCAL, targets).widest_subnet == 0


def test_a_span_over_subnets_fills_those_in_its_middle() -> None:
    wide = LOCAL.replace('"10.0.0.0/24"', '"10.0.0.0/16", "2001:db8::/48", "a.example"')
    for targets, widest in (
        ('"10.0.0.250-10.0.2.5"', 256),
        ('"10.0.0.250-10.0.1.5"', 6),
        ('"2001:db8::fff0-2001:db8::1:f"', 32),
        ('"a.example"', 1),
    ):
        assert asked(wide, f"include = [{targets}]", pace="per_subnet = 4").widest_subnet == widest
