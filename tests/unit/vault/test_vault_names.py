"""Secrets by name for many hosts: one listing, or a search for each, against the simulated vault and by itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

import anyio
import pytest

from appliance.contract import CredentialRef, Failure, SecretLookup
from appliance.vault import SecretHandle, listing
from appliance.vault.answers import Page, Summary
from appliance.vault.definition import Hidden, VaultAccess, VaultLogin
from appliance.vault.failures import reason_of
from appliance.vault.grantor import open_grantor
from appliance.vault.listing import FIRST
from appliance.vault.names import NameListing
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
    SecretSpec(name="gone", template="unix", machine="old", state=SecretState.INACTIVE),
)


@asynccontextmanager
async def vault(state: Path, api: Literal["rest", "soap"] = "rest") -> AsyncIterator[tuple[SecretServerSource, World]]:
    what = build(EstateSpec(seed=7, vault=VaultSpec(), secrets=SECRETS))
    async with running(what, state) as (ready, world):
        access = VaultAccess(title="Vault", url=ready.vault_url, user=ready.vault_user, api=api)
        async with (
            open_grantor(VaultLogin(access, Hidden(what.vault_password))) as grantor,
            open_source(access, grantor.token) as source,
        ):
            world.vault.set_state("own-7", SecretState.AMBIGUOUS)
            yield source, world


async def settle(source: SecretServerSource, name: str) -> str:
    """The secret's id, or the reason."""
    got = await source.settle(CredentialRef(vault="Vault", by=SecretLookup.NAME, key=name))
    return reason_of(got) if isinstance(got, Failure) else str(got.secret_id)


async def settle_all(source: SecretServerSource, numbers: range) -> dict[int, str]:
    """By host; all asked at once, as the jobs of a run do."""
    found: dict[int, str] = {}

    async def one(number: int) -> None:
        found[number] = await settle(source, f"own-{number}")

    async with anyio.create_task_group() as tasks:
        for number in numbers:
            tasks.start_soon(one, number)
    return found


def as_the_vault_has_it(world: World, numbers: range) -> dict[int, str]:
    """Hosts beyond HOSTS have none, host 7 has two."""
    ids = {n: str(world.vault.named(f"own-{n}").id) for n in range(1, HOSTS + 1) if n != 7}
    of_all = ids | {7: "SECRET_AMBIGUOUS_NAME"} | dict.fromkeys(range(HOSTS + 1, HOSTS + 101), "SECRET_NOT_FOUND")
    return {n: of_all[n] for n in numbers}


async def test_many_names_are_answered_from_one_listing_and_those_it_has_not_are_searched_for(tmp_path: Path) -> None:
    async with vault(tmp_path) as (source, world):
        numbers = range(1, HOSTS + 11)
        assert await settle_all(source, numbers) == as_the_vault_has_it(world, numbers)
        pages = -(-len(world.vault.ordered()) // LISTED)
        assert world.metrics.vault.searches <= FIRST + pages + 10
        assert world.metrics.vault.views == 0
        assert await settle(source, "gone") == "SECRET_INACTIVE"


async def test_a_secret_that_is_younger_than_the_listing_is_found(tmp_path: Path) -> None:
    async with vault(tmp_path) as (source, world):
        world.vault.set_state("own-300", SecretState.MISSING)
        await settle_all(source, range(1, 60))
        world.vault.set_state("own-300", SecretState.READABLE)
        assert await settle(source, "own-300") == str(world.vault.named("own-300").id)


async def test_a_few_names_are_searched_for(tmp_path: Path) -> None:
    async with vault(tmp_path) as (source, world):
        for _ in range(2):
            await settle_all(source, range(1, FIRST + 1))
        assert world.metrics.vault.searches == FIRST


async def test_by_soap_each_name_is_searched_for_once(tmp_path: Path) -> None:
    async with vault(tmp_path, "soap") as (source, world):
        numbers = range(9, 49)
        for _ in range(2):
            assert await settle_all(source, numbers) == as_the_vault_has_it(world, numbers)
        assert world.metrics.vault.searches == len(numbers)
        assert world.metrics.vault.views == 0


@pytest.mark.parametrize("limit", ["MOST", "READ_ON"])
async def test_a_vault_too_large_or_slow_is_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    monkeypatch.setattr(listing, limit, 0.0)
    async with vault(tmp_path) as (source, world):
        numbers = range(1, 61)
        assert await settle_all(source, numbers) == as_the_vault_has_it(world, numbers)
        assert world.metrics.vault.searches >= len(numbers)


async def test_a_secret_that_nobody_may_view_since_is_refused_by_its_view(tmp_path: Path) -> None:
    """A listing is a picture of one moment: what stands before a view, the view says."""
    async with vault(tmp_path) as (source, world):
        await settle_all(source, range(1, 60))
        world.vault.set_state("own-200", SecretState.FORBIDDEN)
        got = await source.settle(CredentialRef(vault="Vault", by=SecretLookup.NAME, key="own-200"))
        assert isinstance(got, SecretHandle)
        refused = await source.fetch(got, private_key=False, purpose="test")
        assert isinstance(refused, Failure)
        assert reason_of(refused) == "SECRET_ACCESS_DENIED"


# -- by itself ---------------------------------------------------------------------------------------------------------


def pages_of(read: NameListing, size: int, total: int | None) -> int:
    """Reads until it is no longer worth it; how many pages that were."""
    pages = 0
    while read.worth_reading and not read.read:
        records = tuple(Summary(read.skip + n, f"n{read.skip + n}") for n in range(LISTED))
        read.take(Page(records, more=read.skip + LISTED < size, total=total))
        pages += 1
    return pages


@pytest.mark.parametrize("counted", [True, False])
def test_as_many_are_searched_for_as_the_listing_has_pages_before_it_is_read(counted: bool) -> None:
    """A large vault and a small run: never twice what the cheaper way costs."""
    size = 40 * LISTED
    read = NameListing()
    read.searched = FIRST
    total = size if counted else None
    first = pages_of(read, size, total)
    assert first <= FIRST + 1
    assert not read.worth_reading
    read.searched = 40
    assert first + pages_of(read, size, total) == 40


def test_a_name_that_the_listing_has_not_is_no_answer() -> None:
    read = NameListing()
    read.take(Page((Summary(1, "a"), Summary(2, "b"), Summary(3, "b")), more=False, total=3))
    assert read.hits("a") is None, "it is not whole"
    read.whole_at = 0.0
    assert [s.id for s in read.hits("b") or ()] == [2, 3]
    assert read.hits("B") is None
