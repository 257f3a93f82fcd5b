"""Which zone a target belongs to, and what a campaign file may say of zones."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.addresses import AddressSet, text_of
from orchestrator.campaign import Campaign, parse_campaign
from orchestrator.campaign_faults import CampaignError
from orchestrator.plan import Plan, build_plan
from orchestrator.records import RecordBook
from orchestrator.zones import StandIn, Zoning, zone_map

BASE = """
name = "c"
[[vaults]]
title = "Vault"
url = "https://vault.example/SecretServer"
user = "svc"
password = { env = "X" }
[[records]]
title = "Unix"
technology = "unix"
user = "scan"
vault = "Vault"
secret = "s"
accounts = "local"
ips = ["10.0.0.0/8", "web.example", "db.example"]
[targets]
include = ["10.1.0.0/24", "10.2.0.0/24", "10.2.0.7", "10.3.0.1", "web.example", "db.example"]
"""


def campaign(zones: str) -> Campaign:
    return parse_campaign(BASE + zones, "c.toml")


def planned(parsed: Campaign) -> Plan:
    plan = build_plan(parsed, RecordBook(parsed.records, parsed.vaults), run="r", seed=7)
    assert isinstance(plan, Plan)
    return plan


def zone(name: str, ips: list[str], more: str = "") -> str:
    return f'[[zones]]\nname = "{name}"\nips = {ips}\n{more}\n'


def test_the_smallest_entry_says_which_zone() -> None:
    found = campaign(
        zone("dmz", ["10.2.0.0/16", "WEB.example."]) + zone("cell", ["10.2.0.4-10.2.0.7"]) + zone("one", ["10.2.0.6"])
    ).zone_map
    zones = {address: found.of(address) for address in ("10.1.0.1", "10.2.0.3", "10.2.0.4", "10.2.0.6", "10.2.0.8")}
    assert list(zones.values()) == ["default", "dmz", "cell", "one", "dmz"]
    assert (found.of("web.example"), found.of("db.example")) == ("dmz", "default")
    assert found.of("::ffff:10.2.0.6") == "one", "however it is written"


def test_every_target_is_planned_once_in_its_zone() -> None:
    parsed = campaign(zone("dmz", ["10.2.0.0/16", "web.example"]) + zone("cell", ["10.2.0.0/30"]))
    plan = planned(parsed)
    assert plan.by_zone() == {"default": 256 + 2, "dmz": 252 + 1, "cell": 4}
    units = list(plan.walk())
    assert len({unit.job for unit in units}) == len(units) == 515
    assert all(unit.zone == parsed.zone_map.of(unit.target.address) for unit in units)


def test_without_zones_all_is_the_campaigns_own() -> None:
    parsed = campaign('[pace]\nzone = "lan"\n')
    plan = planned(parsed)
    assert plan.by_zone() == {"lan": 515}
    assert plan.cursors() == ("unix/lan",), "as earlier releases have stored them"


@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.integers(0, 32), st.sampled_from("abc")), max_size=12, unique_by=lambda t: t[:2]
    ),
    st.integers(0, 64),
)
def test_what_is_split_is_what_each_address_says(blocks: list[tuple[int, int, str]], where: int) -> None:
    """Blocks whose sizes are powers of two, each on its boundary: within each other, or apart."""
    entries: dict[str, list[str]] = {"a": [], "b": [], "c": []}
    owner: dict[tuple[int, int], str] = {}
    for bits, at, name in blocks:
        first = (at << bits) & 63
        block = (first, bits)
        if owner.setdefault(block, name) == name:
            entries[name].append(f"{text_of(first)}-{text_of(first + (1 << bits) - 1)}")
    made = zone_map("rest", entries.items(), {})
    everything = AddressSet(((0, 64),))
    parts = made.split(everything)
    assert sum(part.count for part in parts.values()) == everything.count
    address = text_of(where)
    expected = min(
        ((bits, name) for (first, bits), name in owner.items() if first <= where < first + (1 << bits)),
        default=(0, "rest"),
    )[1]
    assert made.of(address) == expected
    assert [name for name, part in parts.items() if address in part] == [expected]


def test_where_entries_of_one_zone_cross_anothers_within_them_is_the_others() -> None:
    west = zone("west", ["10.2.0.0-10.2.1.255", "10.2.1.0-10.2.2.255"])
    found = campaign(west + zone("dmz", ["10.2.2.0/24"])).zone_map
    assert [found.of(address) for address in ("10.2.1.255", "10.2.2.0", "10.2.2.255")] == ["west", "dmz", "dmz"]


def _apart_or_within(one: tuple[int, int], other: tuple[int, int]) -> bool:
    (_, b), (c, d) = sorted((one, other), key=lambda span: (span[0], -span[1]))
    return one != other and (b < c or d <= b)


@settings(derandomize=True, max_examples=1000)
@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 12), st.sampled_from("abc")), max_size=9))
def test_entries_that_cross_within_their_zone_leave_every_address_to_the_smallest(
    drawn: list[tuple[int, int, str]],
) -> None:
    taken: list[tuple[int, int, str]] = []
    for first, more, name in drawn:
        last = first + more
        if all(name == its or _apart_or_within((first, last), (a, b)) for a, b, its in taken):
            taken.append((first, last, name))
    made = zone_map("rest", [(name, [f"{text_of(a)}-{text_of(b)}"]) for a, b, name in taken], {})
    for number in range(34):
        holding = [(b - a, name) for a, b, name in taken if a <= number <= b]
        assert made.of(text_of(number)) == min(holding, default=(0, "rest"))[1]


@pytest.mark.parametrize(
    ("zones", "line", "text"),
    [
        (zone("a", ["10.1.0.0/24"]) + zone("a", ["10.2.0.0/24"]), 23, "'a' is zones[0] too"),
        (zone("a", []), 20, "zone 'a' has no targets"),
        (zone("a", ["10.1.0.0/24"]) + zone("b", ["10.1.0.0/24"]), 24, "is in zone 'a' too"),
        (
            zone("a", ["10.1.0.0-10.1.0.9"]) + zone("b", ["10.1.0.5-10.1.0.15"]),
            24,
            "share 10.1.0.5-10.1.0.9, and neither",
        ),
        (zone("a", ["web.example"]) + zone("b", ["Web.Example"]), 24, "'web.example' is in zone 'a' too"),
        (
            zone("a", ["10.1.0.0/24"], 'fallback = "nowhere"'),
            21,
            "no zone 'nowhere'; name one of this file's ('a', 'default')",
        ),
        (zone("a", ["10.1.0.0/24"], 'fallback = "a"'), 21, "leads back to 'a'"),
        (
            zone("a", ["10.1.0.0/24"], 'fallback = "b"') + zone("b", ["10.2.0.0/24"], 'fallback = "a"'),
            21,
            "leads back to 'a' ('a' -> 'b' -> 'a')".replace("'a' -> 'b' -> 'a'", "a -> b -> a"),
        ),
        (zone("a", ["10.1.0.0/24"], 'fallback_after = "1s"'), 21, "has no effect without a fallback"),
        (zone("a", ["10.1.0.0/40"]), 20, "is no CIDR block"),
        (zone("A b", ["10.1.0.0/24"]), 19, "pattern"),
    ],
)
def test_faults_of_zones_are_told_with_their_line(zones: str, line: int, text: str) -> None:
    with pytest.raises(CampaignError) as refused:
        campaign(zones)
    assert text in str(refused.value)
    assert f"c.toml:{line}: " in str(refused.value)


def test_who_stands_in_may_have_no_targets_and_chains_are_each_ones_own() -> None:
    parsed = campaign(
        zone("a", ["10.1.0.0/24"], 'fallback = "b"')
        + zone("b", ["10.2.0.0/24"], 'fallback = "spare"\nfallback_after = "5s"')
        + '[[zones]]\nname = "spare"\n'
    )
    assert parsed.zone_map.fallbacks == {"a": StandIn("b", 30.0), "b": StandIn("spare", 5.0)}
    zones = Zoning({"a": 3, "b": 2}, parsed.zone_map.fallbacks)
    assert zones.all == ("a", "b", "spare")
    assert [zones.size(name) for name in zones.all] == [3, 2, 2]
    assert Zoning({"a": 3, "b": 2}, {}, stand_in="x").all == ("x",)
    assert Zoning({"a": 3, "b": 2}, {}, stand_in="x").size("x") == 5


def test_a_snapshot_brings_the_zones_back() -> None:
    parsed = campaign(zone("dmz", ["10.2.0.0/16"], 'fallback = "default"'))
    assert Campaign.from_snapshot(parsed.snapshot()).zone_map == parsed.zone_map
