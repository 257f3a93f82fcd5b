"""Enrolment as the store keeps it: how often, until when, and under which name, decided in one step."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import anyio
import pytest

from orchestrator.fleet.roster import Drain, Invitation, Member
from orchestrator.store import Store
from tests.contract.conftest import Place

INVITATION = Invitation("i1", "dmz", 2, 1000.0)


@pytest.fixture
async def store(place: Place) -> AsyncIterator[Store]:
    store = await place.open()
    yield store
    await store.close()


ONE = Member("a", "UA", "s", "dmz", "0.1", "i1", 900.0)


async def test_an_invitation_serves_as_often_as_it_says(store: Store) -> None:
    fleet = store.fleet
    await fleet.invite(INVITATION)
    assert await fleet.enrol(ONE, 900.0) == ""
    assert await fleet.enrol(replace(ONE, enrolled_at=950.0), 950.0) == "", "its answer was lost, and it asks again"
    assert await fleet.enrol(replace(ONE, public="UB"), 950.0) == "taken"
    assert await fleet.enrol(replace(ONE, name="b", public="UB"), 950.0) == ""
    assert await fleet.enrol(replace(ONE, name="c", public="UC"), 950.0) == "used up"
    assert await fleet.enrol(replace(ONE, invitation="i2"), 950.0) == "unknown"
    assert [(m.name, m.public, m.enrolled_at) for m in await fleet.members()] == [
        ("a", "UA", 900.0),
        ("b", "UB", 900.0),
    ]
    known = await fleet.invitation("i1")
    assert known is not None
    assert (known.used, known.left) == (2, 0)


async def test_an_invitation_ends(store: Store) -> None:
    await store.fleet.invite(INVITATION)
    assert await store.fleet.enrol(ONE, 1000.0) == "expired"
    assert await store.fleet.members() == []


async def test_who_comes_at_once_is_counted_all_the_same(store: Store) -> None:
    await store.fleet.invite(INVITATION)
    answers: list[str] = []

    async def come(n: int) -> None:
        answers.append(await store.fleet.enrol(replace(ONE, name=f"m{n}", public=f"U{n}"), 900.0))

    async with anyio.create_task_group() as tasks:
        for n in range(8):
            tasks.start_soon(come, n)
    assert sorted(answers) == ["", "", *["used up"] * 6]


async def test_a_key_enrols_once_whatever_it_calls_itself(store: Store) -> None:
    await store.fleet.invite(INVITATION)
    await store.fleet.invite(replace(INVITATION, id="i2"))
    await store.fleet.enrol(ONE, 900.0)
    assert await store.fleet.enrol(replace(ONE, name="b"), 900.0) == "known"
    assert await store.fleet.enrol(replace(ONE, invitation="i2"), 900.0) == "known"
    await store.fleet.revoke("a", 910.0)
    assert await store.fleet.enrol(ONE, 920.0) == "known"
    assert await store.fleet.enrol(replace(ONE, name="c", public="UC"), 920.0) == "used up", "its invitation is void"


async def test_two_invitations_cannot_give_one_name_twice(store: Store) -> None:
    answers: list[str] = []

    async def come(n: int) -> None:
        member = replace(ONE, public=f"U{n}", invitation=f"i{n}")
        answers.append(await store.fleet.enrol(member, 900.0))

    for n in range(4):
        await store.fleet.invite(replace(INVITATION, id=f"i{n}"))
    async with anyio.create_task_group() as tasks:
        for n in range(4):
            tasks.start_soon(come, n)
    assert sorted(answers) == ["", "taken", "taken", "taken"]


async def test_a_revoked_name_is_free_again(store: Store) -> None:
    await store.fleet.invite(INVITATION)
    await store.fleet.invite(replace(INVITATION, id="i2"))
    await store.fleet.enrol(ONE, 900.0)
    assert [m.revoked_at for m in await store.fleet.revoke("a", 910.0)] == [910.0]
    assert await store.fleet.revoke("a", 920.0) == []
    assert await store.fleet.enrol(replace(ONE, public="UB", invitation="i2"), 930.0) == ""
    assert [m.revoked_at for m in await store.fleet.members()] == [910.0, None]


async def test_who_is_drained_stays_so_until_it_is_lifted(store: Store) -> None:
    fleet = store.fleet
    one, zone = Drain("dmz", "a", 5.0, "alice", "new disk"), Drain("dmz", "", 6.0, "bob")
    await fleet.drain(one)
    await fleet.drain(zone)
    await fleet.drain(replace(one, since=9.0, by="carol"))
    assert await fleet.drains() == [zone, one], "the first word stands"
    assert not await fleet.undrain("lan", "a")
    assert await fleet.undrain("dmz", "")
    assert not await fleet.undrain("dmz", "")
    assert await fleet.drains() == [one]
