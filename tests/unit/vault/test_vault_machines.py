"""Secrets by machine for many hosts: one listing, or a search for each, against the simulated vault and by itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.contract import CredentialRef, Failure, SecretLookup
from appliance.vault import SecretHandle, listing
from appliance.vault.answers import Page, Summary, read_page, read_slugs
from appliance.vault.choice import Machine, chosen
from appliance.vault.definition import Hidden, VaultAccess, VaultLogin
from appliance.vault.failures import reason_of
from appliance.vault.grantor import Grantor, open_grantor
from appliance.vault.listing import FIRST, Listing
from appliance.vault.machines import MachineListing
from appliance.vault.messages import Answer
from appliance.vault.rest import LISTED
from appliance.vault.secret_server import SecretServerSource, open_source
from targets.estate import build
from targets.faults import SecretState
from targets.lab import running
from targets.spec import EstateSpec, SecretSpec
from targets.vault_spec import VaultSpec
from targets.world import World

HOSTS = 600
SECRETS = (
    SecretSpec(name="own-{n}", count=HOSTS, template="unix", machine="h{n}", folder="\\Scan\\Linux"),
    SecretSpec(name="win-7", template="windows", machine="H7", folder="\\Scan\\Windows"),
    SecretSpec(name="domain", template="active-directory", domain="corp"),
    SecretSpec(name="gone", template="unix", machine="old", state=SecretState.INACTIVE),
)


@asynccontextmanager
async def vault(
    state: Path, api: Literal["rest", "soap"] = "rest", spec: VaultSpec | None = None
) -> AsyncIterator[tuple[SecretServerSource, Grantor, World]]:
    what = build(EstateSpec(seed=7, vault=spec or VaultSpec(), secrets=SECRETS))
    async with running(what, state) as (ready, world):
        access = VaultAccess(title="Vault", url=ready.vault_url, user=ready.vault_user, api=api)
        async with (
            open_grantor(VaultLogin(access, Hidden(what.vault_password))) as grantor,
            open_source(access, grantor.token) as source,
        ):
            yield source, grantor, world


def ref(machine: str, template: str = "") -> CredentialRef:
    return CredentialRef(vault="Vault", by=SecretLookup.MACHINE, key=machine, template=template)


async def settle_all(source: SecretServerSource, numbers: range, template: str = "") -> dict[int, str]:
    """By host: the secret's id, or the reason; all asked at once, as the jobs of a run do."""
    found: dict[int, str] = {}

    async def one(number: int) -> None:
        got = await source.settle(ref(f"h{number}", template))
        found[number] = reason_of(got) if isinstance(got, Failure) else str(got.secret_id)

    async with anyio.create_task_group() as tasks:
        for number in numbers:
            tasks.start_soon(one, number)
    return found


def as_the_vault_has_it(world: World) -> dict[int, str]:
    """Hosts beyond HOSTS have none, and host 7 has two."""
    ids = {n: str(world.vault.named(f"own-{n}").id) for n in range(1, HOSTS + 1) if n != 7}
    return ids | {7: "SECRET_AMBIGUOUS_NAME"} | dict.fromkeys(range(HOSTS + 1, HOSTS + 101), "SECRET_NOT_FOUND")


async def test_many_hosts_are_answered_from_one_listing(tmp_path: Path) -> None:
    async with vault(tmp_path) as (source, _grantor, world):
        found = await settle_all(source, range(1, HOSTS + 101))
        assert found == as_the_vault_has_it(world)
        pages = -(-len(world.vault.ordered()) // LISTED)
        assert world.metrics.vault.searches <= FIRST + pages, "those without a secret need no search either"
        assert world.metrics.vault.views == 0
        old = await source.settle(ref("OLD"))
        assert isinstance(old, Failure)
        assert reason_of(old) == "SECRET_INACTIVE"


async def test_a_few_hosts_are_searched_for(tmp_path: Path) -> None:
    async with vault(tmp_path) as (source, _grantor, world):
        for _ in range(2):
            await settle_all(source, range(1, FIRST + 1))
        assert world.metrics.vault.searches == FIRST


async def test_by_soap_each_host_is_searched_for_once(tmp_path: Path) -> None:
    async with vault(tmp_path, "soap") as (source, _grantor, world):
        hosts = range(1, 41)
        expected = {n: one for n, one in as_the_vault_has_it(world).items() if n in hosts}
        for _ in range(2):
            assert await settle_all(source, hosts) == expected
        assert world.metrics.vault.searches == len(hosts)
        assert world.metrics.vault.views == 0


async def test_a_field_that_is_not_exposed_is_searched_for(tmp_path: Path) -> None:
    """Nothing shows a machine: a listing could not tell that there is none."""
    async with vault(tmp_path, spec=VaultSpec(exposed=())) as (source, _grantor, world):
        hosts = range(HOSTS - 39, HOSTS + 41)
        found = await settle_all(source, hosts)
        assert found == {n: one for n, one in as_the_vault_has_it(world).items() if n in hosts}
        assert world.metrics.vault.searches >= len(hosts)


async def test_what_a_template_narrows_is_no_longer_ambiguous(tmp_path: Path) -> None:
    async with vault(tmp_path) as (source, _grantor, world):
        found = await settle_all(source, range(1, HOSTS + 1), "Unix Account (SSH)")
        assert found[7] == str(world.vault.named("own-7").id)


@pytest.mark.parametrize("limit", ["MOST", "READ_ON"])
async def test_a_vault_too_large_or_slow_is_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    monkeypatch.setattr(listing, limit, 0.0)
    async with vault(tmp_path) as (source, _grantor, world):
        hosts = range(1, 61)
        expected = {n: one for n, one in as_the_vault_has_it(world).items() if n in hosts}
        assert await settle_all(source, hosts) == expected
        assert world.metrics.vault.searches >= len(hosts)


async def test_a_listing_that_takes_too_long_in_all_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for limit in ("READ_ON", "PATIENCE"):
        monkeypatch.setattr(listing, limit, 0.0)
    async with vault(tmp_path) as (source, _grantor, world):
        await settle_all(source, range(1, FIRST + 2))
        monkeypatch.setattr(listing, "READ_ON", 3.0)
        before = world.metrics.vault.searches
        await settle_all(source, range(100, 140))
        assert world.metrics.vault.searches == before + 40


@pytest.mark.slow
async def test_what_one_has_read_the_next_goes_on_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has time for one answer of a slow vault, and is cut off in the next: no page is taken twice."""
    taken: list[int] = []
    take = Listing.take

    def noted(read: Listing[Machine], page: Page) -> None:
        taken.append(read.skip)
        take(read, page)

    monkeypatch.setattr(Listing, "take", noted)
    monkeypatch.setattr(listing, "READ_ON", 0.8)
    async with vault(tmp_path, spec=VaultSpec(slow=0.5)) as (source, _grantor, world):
        await settle_all(source, range(1, FIRST + 1))
        world.order_vault_faults(frozenset({"slow"}))
        for number in (100, 101, 102):
            assert isinstance(await source.settle(ref(f"h{number}")), SecretHandle)
        world.order_vault_faults(frozenset())
        assert taken == [0, LISTED]
        before = world.metrics.vault.searches
        assert isinstance(await source.settle(ref("h103")), SecretHandle)
        assert world.metrics.vault.searches == before


async def test_a_listing_that_the_vault_refuses_is_not_tried_for_ever(tmp_path: Path) -> None:
    async with vault(tmp_path) as (source, _grantor, world):
        await settle_all(source, range(1, FIRST + 1))
        world.order_vault_faults(frozenset({"forbidden"}))
        for number in range(100, 100 + listing.FAILURES + 2):
            assert isinstance(await source.settle(ref(f"h{number}")), Failure)
        world.order_vault_faults(frozenset())
        before = world.metrics.vault.searches
        assert isinstance(await source.settle(ref("h200")), SecretHandle)
        assert world.metrics.vault.searches == before + 1


async def test_a_plan_is_checked_by_one_listing_and_the_next_check_sees_what_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.vault.grantor.LISTING_AGE", 0.05)
    async with vault(tmp_path) as (_source, grantor, world):
        for n in range(100, 100 + FIRST):
            assert (await grantor.look(ref(f"h{n}"))).ok
        world.vault.set_state("own-300", SecretState.MISSING)
        assert (await grantor.look(ref("h300"))).reason == "SECRET_NOT_FOUND"
        world.vault.set_state("own-300", SecretState.READABLE)
        await anyio.sleep(0.1)
        assert (await grantor.look(ref("h300"))).ok
        assert world.metrics.vault.views == 0


# -- by itself ---------------------------------------------------------------------------------------------------------


def summary(number: int, machine: str | None, template: int = 1, folder: str = "\\Scan") -> Summary:
    return Summary(number, "n", folder, template=f"T{template}", template_id=template, machine=machine)


def whole(*records: Summary, total: int | None = None) -> MachineListing:
    read = MachineListing()
    read.take(Page(records, more=False, total=total))
    read.whole_at = 0.0
    return read


def test_a_listing_answers_for_what_it_shows() -> None:
    read = whole(summary(1, " Web1 "), summary(2, "web2"), summary(3, ""))
    assert [s.id for s in read.hits(Machine("WEB1")) or ()] == [1]
    assert read.hits(Machine("web3")) == ()
    assert read.hits(Machine("")) == ()


def test_a_template_that_shows_none_may_have_another_secret() -> None:
    read = whole(summary(1, "web1"), summary(2, None, 2))
    assert read.hits(Machine("web1")) is None
    assert read.hits(Machine("web1", "T2")) is None
    assert read.hits(Machine("web1", "t1")) is not None, "narrowed to one that shows it"
    read.has_no_machine(2)
    assert read.hits(Machine("web2")) == ()


def test_an_empty_field_of_a_template_that_shows_others_hides_nothing() -> None:
    assert whole(summary(2, None), summary(1, "web1")).hits(Machine("x")) == ()


def test_a_listing_with_fewer_secrets_than_were_counted_answers_nothing() -> None:
    assert whole(summary(1, "web1"), summary(1, "web1"), total=2).hits(Machine("web1")) is None


def test_what_is_chosen_is_in_the_folder_or_below_it() -> None:
    hits = [summary(1, "w", folder="\\Scan\\Linux\\dmz"), summary(2, "w", folder="\\Scan\\LinuxOld")]
    got = chosen(hits, Machine("w", folder="\\scan\\linux"))
    assert isinstance(got, Summary)
    assert got.id == 1
    none = chosen(hits, Machine("w", folder="\\Other"))
    assert isinstance(none, Failure)
    left_out = "id 1 in \\Scan\\Linux\\dmz (T1), id 2 in \\Scan\\LinuxOld (T1)"
    assert none.text == f"no secret has the machine 'w', in \\Other; left out: {left_out}"


def test_many_that_are_left_out_are_counted() -> None:
    none = chosen([summary(n, "w") for n in range(1, 9)], Machine("w", "T2"))
    assert isinstance(none, Failure)
    assert none.text.endswith(" and 3 more")


@given(st.binary(max_size=200) | st.from_regex(rb'\{"(records|fields)": \[.{0,60}\]\}'))
def test_answers_of_any_bytes_are_read_or_refused(body: bytes) -> None:
    for read in (read_page, read_slugs):
        got = read(Answer(200, body=body))
        assert not isinstance(got, Failure) or reason_of(got) == "VAULT_BAD_RESPONSE"


@pytest.mark.parametrize(
    ("extended", "machine"),
    [
        ('[{"name": "Machine", "value": "web1"}]', "web1"),
        ('[{"name": "notes", "value": "x"}, {"name": "machine", "value": ""}]', ""),
        ('[{"name": "machine", "value": null}]', None),
        ('[7, {"name": "machine"}]', None),
        ("[]", None),
        ("null", None),
        ('"machine"', None),
    ],
)
def test_what_a_summary_shows(extended: str, machine: str | None) -> None:
    body = f'{{"records": [{{"id": 1, "name": "n", "extendedFields": {extended}}}], "total": 3}}'
    page = read_page(Answer(200, body=body.encode()))
    assert isinstance(page, Page)
    assert (page.records[0].machine, page.total) == (machine, 3)
