"""Plans: sets of addresses, the shuffled order, cursors, samples, reruns, and what `plan` says."""

from __future__ import annotations

import re
import tracemalloc
from collections import Counter
from collections.abc import Iterable
from fractions import Fraction
from ipaddress import ip_address
from itertools import islice, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.contract import HostAuthority, Target, Technology
from appliance.policy import Policy
from orchestrator.addresses import (
    AddressError,
    AddressSet,
    Name,
    canonical_address,
    number_of,
    parse_entry,
    text_of,
)
from orchestrator.assembly import Selection, prepare, recall, run_plan
from orchestrator.attempts import Planned, Unplannable
from orchestrator.campaign import Campaign, parse_campaign
from orchestrator.capacity.costs import NOTHING_KNOWN, Costs
from orchestrator.cli.engine import admission, campaign_networks
from orchestrator.dispatch import Source
from orchestrator.explain import Explanation, explain, unserved
from orchestrator.marked import Marked
from orchestrator.permutation import Permutation
from orchestrator.plan import NothingSelected, Plan, SampleSize, build_plan, job_id, only, sample
from orchestrator.records import RecordBook
from targets.material import public_line

# -- addresses ---------------------------------------------------------------------------------------------------------

EDGE = (1 << 32) - 8
"""Eight addresses before the end of IPv4, so that small sets reach into both families."""
SPANS = st.tuples(st.integers(EDGE, EDGE + 24), st.integers(0, 6)).map(lambda p: (p[0], p[0] + p[1]))
NAMES = st.sampled_from(["a.example", "b.example", "c.example"]).map(Name)
SETS = st.lists(SPANS | NAMES, max_size=6).map(AddressSet.of)


def members(addresses: AddressSet) -> set[str]:
    """The oracle's view: every address singly."""
    return {text_of(n) for first, last in addresses.spans for n in range(first, last + 1)} | set(addresses.names)


@given(st.lists(SPANS | NAMES, max_size=6))
def test_a_set_holds_what_its_entries_hold_once_in_merged_spans(entries: list[tuple[int, int] | Name]) -> None:
    addresses = AddressSet.of(entries)
    expected: set[str] = set()
    for entry in entries:
        expected |= {entry.text} if isinstance(entry, Name) else {text_of(n) for n in range(entry[0], entry[1] + 1)}
    assert members(addresses) == expected
    assert addresses.count == len(expected)
    gaps = [later[0] - earlier[1] for earlier, later in pairwise(addresses.spans)]
    assert all(gap > 1 for gap in gaps)


@given(SETS, SETS)
def test_set_arithmetic_is_that_of_sets(one: AddressSet, other: AddressSet) -> None:
    assert members(one - other) == members(one) - members(other)
    assert members(one & other) == members(one) & members(other)
    assert members(one | other) == members(one) | members(other)


@given(SETS)
def test_every_member_has_one_place_and_no_other_has_any(addresses: AddressSet) -> None:
    listed = [addresses.at(i) for i in range(addresses.count)]
    assert len(listed) == len(set(listed))
    assert set(listed) == members(addresses)
    universe = [text_of(n) for n in range(EDGE - 1, EDGE + 32)] + ["a.example", "b.example", "c.example"]
    assert {a for a in universe if a in addresses} == members(addresses)
    for outside in (-1, addresses.count):
        with pytest.raises(IndexError):
            addresses.at(outside)


def test_what_is_no_address_is_in_no_set() -> None:
    assert "fe80::1%eth0" not in AddressSet.parse(["fe80::/64", "a.example"])


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("10.0.0.1", "10.0.0.1", "10.0.0.1"),
        (" 10.0.0.0/30 ", "10.0.0.0", "10.0.0.3"),
        ("10.0.0.5 - 10.0.0.9", "10.0.0.5", "10.0.0.9"),
        ("2001:DB8::/126", "2001:db8::", "2001:db8::3"),
        ("2001:db8::1-2001:db8::f", "2001:db8::1", "2001:db8::f"),
        ("::ffff:10.0.0.1", "10.0.0.1", "10.0.0.1"),
        ("::ffff:10.0.0.0/126", "10.0.0.0", "10.0.0.3"),
        ("::ffff:10.0.0.1-::ffff:10.0.0.4", "10.0.0.1", "10.0.0.4"),
    ],
)
def test_entries(text: str, first: str, last: str) -> None:
    assert parse_entry(text) == (number_of(first), number_of(last))


@pytest.mark.parametrize("text", ["web-01.corp.example", "_svc.example", "WEB.example.", "10.0.0.1.example", "1-2"])
def test_names(text: str) -> None:
    assert parse_entry(text) == Name(text.lower().removesuffix("."))


@pytest.mark.parametrize("text", ["", ".", "a..b", "-a", "10.0.0", "10.0.0.256", "a b", "x" * 64, "é.example", "a/24"])
def test_what_is_neither(text: str) -> None:
    with pytest.raises(AddressError):
        parse_entry(text)


@given(st.ip_addresses())
def test_an_address_has_one_spelling(address: object) -> None:
    spelling = canonical_address(str(address))
    number = number_of(str(address))
    assert number is not None
    assert text_of(number) == spelling
    assert ip_address(spelling) in (address, getattr(address, "ipv4_mapped", None))


# -- order -------------------------------------------------------------------------------------------------------------


@given(st.integers(0, 700), st.integers(0, 2**64))
def test_the_order_is_a_bijection(count: int, seed: int) -> None:
    order = Permutation(count, seed)
    assert sorted(order[i] for i in range(count)) == list(range(count))
    for outside in (-1, count):
        with pytest.raises(IndexError):
            order[outside]


@given(st.integers(2, 2**129), st.integers(0, 2**64), st.data())
def test_the_order_of_huge_sets_keeps_inside_and_apart(count: int, seed: int, data: st.DataObject) -> None:
    order = Permutation(count, seed)
    one, two = (data.draw(st.integers(0, count - 1)) for _ in range(2))
    assert 0 <= order[one] < count
    assert (order[one] == order[two]) == (one == two)


def test_the_order_is_shuffled_and_belongs_to_the_seed() -> None:
    count = 4096
    orders = [[Permutation(count, seed)[i] for i in range(count)] for seed in range(8)]
    assert len({tuple(order) for order in orders}) == 8
    for order in orders:
        # Places of the first 256 spread evenly: each quarter gets 64 of them, with a deviation of 7 (here 6 of those).
        quarters = Counter(place * 4 // count for place in order[:256])
        assert all(abs(quarters[q] - 64) < 42 for q in range(4))
        # A shuffled order has about one pair of neighbours that were neighbours before; a run over a subnet has all.
        assert sum(abs(a - b) == 1 for a, b in pairwise(order)) < 16


# -- plans -------------------------------------------------------------------------------------------------------------

HEAD = """
name = "x"
[[vaults]]
title = "V"
url = "https://vault.example/SecretServer"
user = "svc"
password = { prompt = true }
"""
UNIX = """
[[records]]
title = "Linux"
technology = "unix"
user = "scan"
vault = "V"
secret = "{address}"
ips = ["10.0.0.0/8", "web.example"]
accounts = "corp"
"""
WINDOWS = """
[[records]]
title = "Windows"
technology = "windows"
user = "scan"
vault = "V"
secret = "s"
ips = ["10.0.0.0-10.0.0.9"]
"""
SERVICE = """
[[records]]
title = "Service"
technology = "windows"
user = "scan"
vault = "V"
secret = "s"
domain = "CORP"
domain_type = "netbios-service-selected"
"""


def campaign(records: str, targets: str) -> Campaign:
    return parse_campaign(f"{HEAD}{records}\n[targets]\n{targets}\n", "c.toml")


def planned(records: str, targets: str, seed: int = 1) -> Plan | NothingSelected:
    parsed = campaign(records, targets)
    return build_plan(parsed, RecordBook(parsed.records, parsed.vaults), run="r1", seed=seed)


def plan_of(records: str, targets: str, seed: int = 1) -> Plan:
    plan = planned(records, targets, seed)
    assert isinstance(plan, Plan), plan
    return plan


def keys(units: Iterable[Planned | Unplannable]) -> list[tuple[str, str]]:
    return [(unit.technology.value, unit.target.address) for unit in units]


def test_every_target_and_technology_that_a_record_could_serve_once() -> None:
    plan = plan_of(UNIX + WINDOWS, 'include = ["10.0.0.8/29", "10.0.0.8", "10.0.0.10-10.0.0.12", "10.0.0.9"]')
    listed = keys(plan.walk())
    assert sorted(listed) == sorted(
        [("unix", f"10.0.0.{n}") for n in range(8, 16)] + [("windows", f"10.0.0.{n}") for n in (8, 9)]
    )
    assert plan.totals() == {Technology.UNIX: 8, Technology.WINDOWS: 2}
    assert plan.count_all == len(listed)


def test_a_record_that_goes_by_domain_could_serve_any_target() -> None:
    plan = plan_of(SERVICE, 'include = ["192.0.2.0/30", "2001:db8::/127", "any.example"]')
    assert plan.totals() == {Technology.WINDOWS: 7}


def test_named_technologies_are_planned_for_every_target_and_lack_a_record_aloud() -> None:
    plan = plan_of(UNIX, 'include = ["192.0.2.1", "10.0.0.1"]\ntechnologies = ["unix", "windows", "unix"]')
    units = {(u.technology.value, u.target.address): u for u in plan.walk()}
    assert len(units) == plan.count_all == 4
    assert isinstance(units["unix", "10.0.0.1"], Planned)
    lacking = units["windows", "10.0.0.1"]
    assert isinstance(lacking, Unplannable)
    assert (lacking.reason, lacking.text) == ("NO_RECORD", "no windows record contains 10.0.0.1")


def test_exclusions_make_no_rows_however_a_target_is_spelt() -> None:
    plan = plan_of(
        UNIX,
        'include = ["10.0.0.0/29", "WEB.example", { address = "10.1.0.1", fqdn = "db.example" },'
        ' { address = "10.1.0.2", host = "db" }, { address = "10.1.0.3", host = "kept" }]\n'
        'exclude = ["10.0.0.1-10.0.0.5", "::ffff:10.0.0.6", "web.example.", "db.example", "DB"]',
    )
    assert sorted(keys(plan.walk())) == [("unix", a) for a in ("10.0.0.0", "10.0.0.7", "10.1.0.3")]


def test_a_target_keeps_its_attributes_whatever_else_names_it() -> None:
    plan = plan_of(
        UNIX, 'include = ["10.0.0.0/30", { address = "10.0.0.2", host = "h", fqdn = "h.x", domain = "x" }, "10.0.0.2"]'
    )
    targets = {u.target.address: u.target for u in plan.walk()}
    assert len(targets) == 4
    assert targets["10.0.0.2"] == Target(address="10.0.0.2", host="h", fqdn="h.x", domain="x")
    assert targets["10.0.0.1"] == Target(address="10.0.0.1")


@pytest.mark.parametrize(
    ("records", "targets", "says"),
    [
        (UNIX, "", "the campaign names no targets; add them to"),
        (UNIX, 'include = ["10.0.0.1"]\nexclude = ["10.0.0.0/8"]', "every target of the campaign is excluded; correct"),
        (UNIX, 'include = ["192.0.2.1"]', "no record serves any target of the campaign; add the targets to"),
        ("", 'include = ["192.0.2.1"]', "no record serves any target of the campaign; add the targets to"),
    ],
)
def test_nothing_selected_says_why(records: str, targets: str, says: str) -> None:
    plan = planned(records, targets)
    assert isinstance(plan, NothingSelected)
    assert plan.text.startswith(says)


def test_the_plan_is_the_dispatchers_source_and_resumes_by_index() -> None:
    plan = plan_of(UNIX + WINDOWS, 'include = ["10.0.0.0/26"]')
    source: Source = plan
    assert list(source.cursors()) == [f"{t}/default" for t in RecordBook(plan.book._records, ()).technologies()]
    whole = keys(plan.walk())
    indices = {"unix/default": 5, "windows/default": 3}
    rest = keys(plan.walk(indices))
    gone = {(name.split("/")[0], plan.at(name, i).target.address) for name, n in indices.items() for i in range(n)}
    assert sorted(rest) == sorted(set(whole) - gone)
    again = plan_of(UNIX + WINDOWS, 'include = ["10.0.0.0/26"]')
    assert [again.at("unix/default", i) for i in range(64)] == [plan.at("unix/default", i) for i in range(64)]
    assert keys(plan_of(UNIX, 'include = ["10.0.0.0/26"]', seed=2).walk()) != keys(
        plan_of(UNIX, 'include = ["10.0.0.0/26"]', seed=1).walk()
    )


def test_cursors_take_turns_until_each_is_done() -> None:
    plan = plan_of(UNIX + WINDOWS, 'include = ["10.0.0.0/27"]')
    order = [technology for technology, _ in keys(plan.walk())]
    assert all(set(order[i : i + 2]) == {"unix", "windows"} for i in range(0, 20, 2))
    assert set(order[20:]) == {"unix"}
    assert len(order) == 42


def test_job_ids_belong_to_run_target_and_technology() -> None:
    target = Target(address="10.0.0.1")
    ids = {
        job_id(run, t, technology)
        for run in ("r1", "r2")
        for t in (target, Target(address="10.0.0.2"))
        for technology in Technology
    }
    assert len(ids) == 8
    assert all(len(i) == 20 and set(i) <= set("0123456789abcdef") for i in ids)
    assert job_id("r1", target, Technology.UNIX) == job_id("r1", Target(address="10.0.0.1", host="h"), Technology.UNIX)
    plan = plan_of(UNIX, 'include = ["10.0.0.1"]')
    assert plan.at("unix/default", 0).job == job_id("r1", target, Technology.UNIX)


def test_a_slash_8_with_a_thousand_exclusions_takes_no_room() -> None:
    holes = ", ".join(f'"10.{n // 4}.{n % 4 * 64}.7"' for n in range(1000))
    parsed = campaign(UNIX, f'include = ["10.0.0.0/8"]\nexclude = [{holes}]')
    tracemalloc.start()
    try:
        plan = build_plan(parsed, RecordBook(parsed.records, parsed.vaults), run="r", seed=3)
        assert isinstance(plan, Plan)
        assert plan.count_all == 2**24 - 1000
        first = [plan.at("unix/default", i).target.address for i in range(100)]
        last = plan.at("unix/default", plan.count_all - 1).target.address
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len({*first, last}) == 101
    assert peak < 4_000_000  # listed, it would be a gigabyte


def test_a_64_of_ipv6_is_planned_too() -> None:
    plan = plan_of(SERVICE, 'include = ["2001:db8::/64"]')
    assert plan.totals() == {Technology.WINDOWS: 2**64}
    assert plan.at("windows/default", 2**64 - 1).target.address.startswith("2001:db8::")


RANGES = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 8)), min_size=1, max_size=4)


def _entries(ranges: list[tuple[int, int]]) -> str:
    return "[" + ", ".join(f'"10.0.0.{a}-10.0.0.{a + n}"' for a, n in ranges) + "]"


@given(RANGES, RANGES, st.integers(0, 2**32))
def test_a_plan_is_included_minus_excluded_each_once(
    include: list[tuple[int, int]], exclude: list[tuple[int, int]], seed: int
) -> None:
    expected = {f"10.0.0.{n}" for a, size in include for n in range(a, a + size + 1)}
    expected -= {f"10.0.0.{n}" for a, size in exclude for n in range(a, a + size + 1)}
    plan = planned(UNIX, f"include = {_entries(include)}\nexclude = {_entries(exclude)}", seed)
    listed = [] if isinstance(plan, NothingSelected) else [address for _, address in keys(plan.walk())]
    assert sorted(listed) == sorted(expected)


# -- samples and reruns ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("10", SampleSize(units=10)),
        ("1%", SampleSize(share=Fraction(1, 100))),
        (" 0.5% ", SampleSize(share=Fraction(1, 200))),
        ("100%", SampleSize(share=Fraction(1))),
    ],
)
def test_sample_sizes(text: str, size: SampleSize) -> None:
    assert SampleSize.parse(text) == size


@pytest.mark.parametrize("text", ["", "0", "0%", "-1", "101%", "ten", "1.5", "%"])
def test_what_is_no_sample_size(text: str) -> None:
    with pytest.raises(ValueError, match="is no sample"):
        SampleSize.parse(text)


@pytest.mark.parametrize(
    ("size", "totals"),
    [
        ("10", {Technology.UNIX: 5, Technology.WINDOWS: 5}),
        ("50", {Technology.UNIX: 40, Technology.WINDOWS: 10}),
        ("1", {Technology.UNIX: 0, Technology.WINDOWS: 1}),
        ("1000", {Technology.UNIX: 64, Technology.WINDOWS: 10}),
        ("1%", {Technology.UNIX: 0, Technology.WINDOWS: 1}),
        ("25%", {Technology.UNIX: 9, Technology.WINDOWS: 10}),
        ("100%", {Technology.UNIX: 64, Technology.WINDOWS: 10}),
    ],
)
def test_a_sample_is_a_part_of_the_plan_spread_over_its_cursors(size: str, totals: dict[Technology, int]) -> None:
    plan = plan_of(UNIX + WINDOWS, 'include = ["10.0.0.0/26"]')
    part = sample(plan, SampleSize.parse(size), seed=9)
    assert part.totals() == {technology: n for technology, n in totals.items() if n}
    listed = keys(part.walk())
    assert len(listed) == len(set(listed)) == sum(totals.values())
    assert set(listed) <= set(keys(plan.walk()))


def test_another_seed_takes_another_sample() -> None:
    plan = plan_of(UNIX, 'include = ["10.0.0.0/16"]')
    one, two = (keys(sample(plan, SampleSize(units=20), seed=seed).walk()) for seed in (1, 2))
    assert one != two
    assert one == keys(sample(plan, SampleSize(units=20), seed=1).walk())


def test_a_rerun_plans_just_the_given_units_that_are_still_planned() -> None:
    plan = plan_of(
        UNIX + WINDOWS, 'include = ["10.0.0.0/28", { address = "10.0.0.3", host = "h" }]\nexclude = ["10.0.0.5"]'
    )
    units = [
        (Target(address="10.0.0.3"), Technology.UNIX),
        (Target(address="10.0.0.3"), Technology.UNIX),
        (Target(address="10.0.0.5"), Technology.UNIX),
        (Target(address="10.0.0.12"), Technology.WINDOWS),
        (Target(address="10.0.0.9"), Technology.WINDOWS),
    ]
    rerun = only(plan, units)
    assert isinstance(rerun, Plan)
    assert sorted(keys(rerun.walk())) == [("unix", "10.0.0.3"), ("windows", "10.0.0.9")]
    assert rerun.at("unix/default", 0).target.host == "h"
    nothing = only(plan, [(Target(address="192.0.2.1"), Technology.UNIX)])
    assert isinstance(nothing, NothingSelected)


# -- what `plan` says --------------------------------------------------------------------------------------------------


def explained(records: str, targets: str, limit: int = 100, costs: Costs = NOTHING_KNOWN) -> Explanation:
    parsed = campaign(records, targets)
    plan = build_plan(parsed, RecordBook(parsed.records, parsed.vaults), run="r1", seed=1)
    assert isinstance(plan, Plan)
    return explain(plan, parsed, limit=limit, costs=costs)


def test_which_record_secret_and_account_and_why() -> None:
    said = explained(SERVICE + WINDOWS, 'include = ["10.0.0.1"]')
    (row,) = said.rows
    assert (row.address, row.technology, row.cause) == ("10.0.0.1", Technology.WINDOWS, "")
    assert [(r.record, r.user, r.secret, r.account, r.why) for r in row.records] == [
        ("Service", "scan", "name s in 'V'", "scan@dir:corp", "if the host says that it is of domain CORP"),
        ("Windows", "scan", "name s in 'V'", "scan@dir:record:windows", "the record's ips contain the address"),
    ]
    (row,) = explained(UNIX, 'include = ["192.0.2.1"]\ntechnologies = ["unix"]').rows
    assert (row.records, row.cause) == ((), "NO_RECORD: no unix record contains 192.0.2.1")


def test_bounds_of_vault_views_and_of_a_directorys_rate() -> None:
    said = explained(
        UNIX, 'include = ["10.0.0.0/24", "192.0.2.0/24"]', limit=5, costs=Costs(verdicts={"scan@dir:corp": 0.25})
    )
    assert len(said.rows) == 5
    assert said.totals == {Technology.UNIX: 256}
    # Two logins (the second after a rotation) of two reads each, and one retry.
    assert (said.vault_views_expected, said.vault_views_at_most, said.audit_rows_at_most) == (256, 1280, 1280)
    (rate,) = said.directories
    assert (rate.account, rate.records, rate.budget, rate.window_s) == ("scan@dir:corp", ("Linux",), 2, 1800.0)
    assert (rate.targets_at_most, rate.logins_per_s, rate.at_least_s) == (256, 8.0, 32.0)


def test_a_record_that_goes_by_domain_may_serve_every_windows_target() -> None:
    said = explained(SERVICE, 'include = ["10.0.0.0/24"]')
    assert [r.targets_at_most for r in said.directories] == [256]


def test_accounts_of_hosts_and_unused_records_bound_no_rate() -> None:
    local = UNIX.replace('"corp"', '"local"')
    assert explained(local, 'include = ["10.0.0.0/24"]').directories == ()
    assert [r.records for r in explained(UNIX + WINDOWS, 'include = ["10.0.1.0/24"]').directories] == [("Linux",)]


def test_explaining_a_slash_8_touches_only_what_it_shows() -> None:
    said = explained(UNIX, 'include = ["10.0.0.0/8"]', limit=3)
    assert said.vault_views_expected == 2**24
    assert len(list(islice(said.rows, 4))) == 3


def test_shared_views_are_expected_once_per_secret() -> None:
    parsed = campaign(UNIX.replace("{address}", "one"), 'include = ["10.0.0.0/28", "10.9.9.9"]')
    shared = parsed.model_copy(update={"vaults": (parsed.vaults[0].model_copy(update={"fetch": "shared"}),)})
    plan = build_plan(shared, RecordBook(shared.records, shared.vaults), run="r", seed=1)
    assert isinstance(plan, Plan)
    own, one = explain(plan, parsed, limit=1), explain(plan, shared, limit=1)
    secrets = {c.secret for unit in plan.walk() if isinstance(unit, Planned) for c in unit.candidates[:1]}
    unserved = sum(not isinstance(unit, Planned) for unit in plan.walk())
    assert own.vault_views_expected == plan.count_all
    assert one.vault_views_expected == len(secrets) + unserved < own.vault_views_expected
    assert one.vault_views_at_most == own.vault_views_at_most
    assert "once per 60 s" in one.notes[0]


def test_notes_tell_of_what_the_file_allows_and_a_reader_may_not_want() -> None:
    records = UNIX + SERVICE.replace('"CORP"', '"LAB"')
    parsed = campaign(records, 'include = ["10.0.0.1"]')
    vault = parsed.vaults[0]
    open_vault = vault.model_copy(update={"url": "http://vault.example/x"})
    unchecked = vault.model_copy(update={"title": "W", "tls": vault.tls.model_copy(update={"verify": False})})
    plan = build_plan(parsed, RecordBook(parsed.records, parsed.vaults), run="r", seed=1)
    assert isinstance(plan, Plan)
    notes = explain(plan, parsed.model_copy(update={"vaults": (open_vault, unchecked)}), limit=1).notes
    assert [note.split(" ")[0] for note in notes] == ["vault", "vault", "user"]
    assert "without TLS" in notes[0]
    assert "certificate" in notes[1]
    assert "user 'scan' is counted apart in corp, lab;" in notes[2]
    assert explain(plan, campaign(UNIX, 'include = ["10.0.0.1"]'), limit=1).notes == ()


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ("", ""),
        ('"192.0.2.1"', "1 target is served by no record, and so no part of the run: 192.0.2.1; add"),
        ('"192.0.2.0/30", "db1.example"', "5 targets are served by no record, and so no part of the run: 192.0.2.0, "),
        ('"2001:db8::/64"', " and 18,446,744,073,709,551,611 more; add them to a record's ips, or exclude them"),
    ],
)
def test_targets_that_no_record_serves_are_told(more: str, told: str) -> None:
    parsed = campaign(UNIX, f'include = ["10.0.0.1", {more}]')
    book = RecordBook(parsed.records, parsed.vaults)
    plan = build_plan(parsed, book, run="r", seed=1)
    assert isinstance(plan, Plan)
    assert told in unserved(plan)
    assert explain(plan, parsed, limit=1).notes == tuple([unserved(plan)] * bool(more))
    again = only(plan, [(Target(address="10.0.0.1"), Technology.UNIX)])
    assert isinstance(again, Plan)
    assert unserved(again) == ""
    wanted = parsed.targets.model_copy(update={"technologies": (Technology.UNIX,)})
    everything = build_plan(parsed.model_copy(update={"targets": wanted}), book, run="r", seed=1)
    assert isinstance(everything, Plan)
    assert unserved(everything) == "", "they are planned, and end as NO_RECORD"


def test_a_note_tells_what_secrets_by_machine_cost_by_soap() -> None:
    parsed = campaign(re.sub("secret = .*", "secret = { machine = '{address}' }", UNIX), 'include = ["10.0.0.1"]')
    plan = build_plan(parsed, RecordBook(parsed.records, parsed.vaults), run="r", seed=1)
    assert isinstance(plan, Plan)
    assert explain(plan, parsed, limit=1).notes == ()
    by_soap = parsed.model_copy(update={"vaults": (parsed.vaults[0].model_copy(update={"api": "soap"}),)})
    told = explain(plan, by_soap, limit=1)
    assert "a search for each target" in told.notes[0]
    assert told.rows[0].records[0].secret.startswith("machine 10.0.0.1 in ")


def test_a_name_may_lead_anywhere_but_to_what_is_excluded() -> None:
    """What an appliance may dial for a campaign: its targets, or with a DNS name among them all but the excluded."""
    named = campaign(
        UNIX, 'include = ["web.example", "10.0.0.1"]\nexclude = ["10.0.0.9", "2001:db8::/64", "db.example"]'
    )
    policy = Policy.of(campaign_networks(named), "any", {})
    reachable = ("0.0.0.1", "10.0.0.8", "10.0.0.10", "255.255.255.255", "::1", "2001:db8:0:1::", "ffff::1")
    assert [a for a in reachable if not policy.allows_address(a)] == []
    assert not any(map(policy.allows_address, ("10.0.0.9", "::ffff:10.0.0.9", "2001:db8::1")))
    plain = Policy.of(campaign_networks(campaign(UNIX, 'include = ["10.0.0.0/30"]\nexclude = ["10.0.0.2"]')), "any", {})
    assert [n for n in range(6) if plain.allows_address(f"10.0.0.{n}")] == [0, 1, 3]


KERBEROS = """
[[records]]
title = "K"
technology = "windows"
user = "u"
vault = "V"
secret = "s"
ips = ["10.0.0.0/30"]
realm = "corp.example"
kerberos = "required"
kdc = [%s]
"""


def test_domain_controllers_may_be_reached_too() -> None:
    """By its address, also one that is no target; by name, any that is not excluded."""
    targets = 'include = ["10.0.0.0/30"]\nexclude = ["10.0.0.2", "10.1.0.1"]'
    networks = campaign_networks(campaign(KERBEROS % '"10.1.0.1", "10.2.0.1:8888"', targets))
    policy = Policy.of(networks, "any", {})
    assert all(map(policy.allows_address, ("10.0.0.1", "10.1.0.1", "10.2.0.1")))
    assert not any(map(policy.allows_address, ("10.0.0.2", "10.1.0.2", "10.2.0.2")))
    named = Policy.of(campaign_networks(campaign(KERBEROS % '"dc1.corp.example"', targets)), "any", {})
    assert named.allows_address("10.2.0.1")
    assert not any(map(named.allows_address, ("10.0.0.2", "10.1.0.1")))


JUMP = 'jump = { host = "10.0.5.1", user = "j", secret = "jump", accounts = "corp", host_keys = "any" }\n'


def test_marked_lines_of_a_jump_hosts_file_are_stored_with_the_run_and_are_for_the_jump_host() -> None:
    parsed = campaign(UNIX + JUMP, 'include = ["10.0.0.1"]')
    ca, bad = public_line(b"1" * 32), public_line(b"2" * 32)
    lines = (f"@cert-authority 10.0.5.1 {ca}", f"@revoked * {bad}")
    prepared = prepare(parsed, Selection(), run="r", seed=1, now=0.0, jump_marks={"Linux": lines})
    assert not isinstance(prepared, NothingSelected)
    recalled = recall(prepared.record)
    assert not isinstance(recalled, NothingSelected)
    plan = run_plan(recalled)
    [unit] = [unit for unit in prepared.plan.walk() if isinstance(unit, Planned)]
    marked = plan.jump_marks(unit)
    assert marked.authorities == [HostAuthority(key=ca, names=("10.0.5.1",))]
    assert len(marked.revoked) == 1
    assert plan.marks(unit) == Marked()


def test_a_jump_host_is_dialled_beside_the_targets_and_its_secret_is_one_of_the_plans() -> None:
    parsed = campaign(UNIX + JUMP, 'include = ["10.0.0.0/30"]')
    policy = Policy.of(campaign_networks(parsed), "any", {})
    assert policy.allows_address("10.0.5.1")
    assert not policy.allows_address("10.0.5.2")
    assert admission("r", parsed, ()).host_keys == "any"
    plan = build_plan(parsed, RecordBook(parsed.records, parsed.vaults), run="r", seed=1)
    assert isinstance(plan, Plan)
    assert [len(jobs) for secret, jobs in plan.uses().items() if secret.key == "jump"] == [4]
    told = explain(plan, parsed, limit=1)
    assert told.rows[0].records[0].why.endswith("; reached through jump host 10.0.5.1:22 as j")
    assert any("jump host 10.0.5.1:22: every scan process logs in there once as j@dir:corp" in n for n in told.notes)
