"""Leases in the store, on every database: of two that take one has it, and whoever has lost it writes nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio
import anyio.lowlevel
import pytest

from appliance.contract import OK, Account, Evidence, Phase, Technology
from appliance.reasons import Status
from orchestrator.cli.firing import LeasedTurns, schedule_lease
from orchestrator.lease_keeper import LeaseKeeper, run_lease
from orchestrator.leases import LOST_S
from orchestrator.permit_ledger import EntryKind, LedgerEntry
from orchestrator.run_state import RunState, Standing
from orchestrator.sharding import shard_lease, shard_of
from orchestrator.store import AttemptRow, JobRow, Settled, Store
from orchestrator.store.leases import FencedError, LeaseRow
from tests.contract.conftest import Place
from tests.contract.test_store import RUN, job, run_record


@pytest.fixture
async def first(place: Place) -> AsyncIterator[Store]:
    store = await place.open()
    await store.runs.add(run_record())
    yield store
    await store.close()


@pytest.fixture
async def second(place: Place, first: Store) -> AsyncIterator[Store]:
    """Another process's."""
    store = await place.open()
    yield store
    await store.close()


def rows(name: str = "a", attempt: int = 1) -> list[tuple[JobRow, AttemptRow | None]]:
    made = job(name, attempt)
    return [(JobRow.of(made), AttemptRow.of(made, 1.0))]


def settled(name: str = "a", attempt: int = 1) -> Settled:
    return Settled(
        run=RUN,
        job=name,
        technology=Technology.UNIX,
        attempt=attempt,
        lease=f"{name}-{attempt}",
        appliance="alpha",
        reason="PASSED",
        status=Status.PASSED,
        evidence=Evidence(phase=Phase.LOGOFF, signal=OK),
        finished_at=2.0,
        final=True,
    )


async def taken_by(store: Store, name: str, owner: str, seen: LeaseRow | None = None) -> LeaseRow:
    assert await store.leases.take({name: seen}, owner, f"token of {owner}") == [name]
    return (await store.leases.all())[name]


async def test_of_two_that_take_one_has_it(first: Store, second: Store) -> None:
    had: list[str] = []

    async def take(store: Store, owner: str) -> None:
        if await store.leases.take({"x": None}, owner, owner):
            had.append(owner)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(take, first, "one")
        tasks.start_soon(take, second, "two")
    assert len(had) == 1
    assert (await second.leases.all())["x"] == LeaseRow("x", had[0], had[0], 0)


async def test_it_is_taken_over_as_it_was_seen_and_no_otherwise(first: Store, second: Store) -> None:
    seen = await taken_by(first, "x", "one")
    assert await first.leases.renew({"x": seen.token}) == []
    assert await second.leases.take({"x": seen}, "two", "t") == [], "its holder has counted it up"
    seen = (await second.leases.all())["x"]
    assert seen.beat == 1
    taken = await taken_by(second, "x", "two", seen)
    assert (taken.owner, taken.beat) == ("two", 0)
    assert await first.leases.renew({"x": seen.token, "y": "t"}) == ["x", "y"]
    await first.leases.give_back({"x": seen.token})
    assert await second.leases.renew({"x": taken.token}) == [], "whoever has lost it gives back nothing"
    await second.leases.give_back({"x": taken.token})
    assert await second.leases.all() == {}


async def test_a_run_that_was_taken_over_is_not_written_about(first: Store, second: Store) -> None:
    seen = await taken_by(first, run_lease(RUN), "one")
    first.fences.put_up(RUN, run_lease(RUN), seen.token)
    await first.attempts.dispatched(RUN, rows(), {"unix": 1})
    await taken_by(second, run_lease(RUN), "two", seen)
    for late in (
        lambda: first.attempts.dispatched(RUN, rows("b"), {"unix": 2}),
        lambda: first.attempts.settle([settled()]),
        lambda: first.runs.update(RUN, standing=Standing(RunState.FINISHED)),
        lambda: first.remainders.close(
            RUN, {"unix": (Technology.UNIX, 9)}, reason="CANCELLED", status=Status.NOT_ATTEMPTED,
            evidence=settled().evidence, finished_at=3.0,
        ),
    ):  # fmt: skip
        with pytest.raises(FencedError, match="taken over"):
            await late()
    [open_one] = await second.attempts.open(RUN)
    assert (open_one.job, open_one.attempt) == ("a", 1)
    record = await second.runs.get(RUN)
    assert record is not None
    assert (record.state, record.cursors) == (RunState.QUEUED, {"unix": 1})
    assert await second.attempts.settle([settled()]) == [True]
    first.fences.take_down(RUN)


def entry(kind: EntryKind = EntryKind.GRANTED, host: str = "host:10.0.0.1") -> LedgerEntry:
    account = Account(authority=host, user="scan")
    return LedgerEntry(kind, account, RUN, "a", 1, at=5.0, expires_at=9.0, holder="h")


async def test_a_grant_is_fenced_by_its_shard_and_its_run(first: Store, second: Store) -> None:
    shard, run = shard_lease(shard_of("host:10.0.0.1")), run_lease(RUN)
    seen = {name: await taken_by(first, name, "one") for name in (shard, run)}
    held = [(name, row.token) for name, row in seen.items()]
    assert await first.ledger.append_fenced([entry()], held) == []
    await taken_by(second, run, "two", seen[run])
    assert await first.ledger.append_fenced([entry()], held) == [(run, seen[run].token)]
    await taken_by(second, shard, "two", seen[shard])
    assert sorted(await first.ledger.append_fenced([entry()], held)) == sorted(held)
    assert await second.ledger.load(0.0) == [entry()], "the holder's token too, for who takes over"


async def test_the_ledger_of_some_shards(first: Store) -> None:
    hosts = [f"host:10.0.0.{n}" for n in range(20)]
    await first.ledger.append([entry(host=host) for host in hosts])
    some = {shard_of(host) for host in hosts[:3]}
    found = {one.account.authority for one in await first.ledger.load(0.0, some)}
    assert found == {host for host in hosts if shard_of(host) in some}


async def test_a_write_goes_before_the_take_over_or_finds_its_fence_down(first: Store, second: Store) -> None:
    """The row stays as it was seen until what was written under it is committed."""
    name = run_lease(RUN)
    seen = await taken_by(first, name, "one")
    first.fences.put_up(RUN, name, seen.token)
    written: list[int] = []

    async def write() -> None:
        try:
            while True:
                n = len(written)
                await first.attempts.dispatched(RUN, rows(f"j{n}"), {})
                written.append(n)
        except FencedError:
            return

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(write)
        while len(written) < 5:  # noqa: ASYNC110 - the other side is a database
            await anyio.sleep(0.005)
        await taken_by(second, name, "two", seen)
        known = len(await second.attempts.open(RUN))
    assert known == len(written) == len(await second.attempts.open(RUN)), "all that was written was there to be read"
    first.fences.take_down(RUN)


class Clock:
    """Goes as fast as a test likes."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_keepers_take_over_from_the_dead_alone(first: Store, second: Store) -> None:
    dead = LeaseKeeper(first.leases, first.fences, "dead")
    assert await dead.take_run(RUN) is None
    clock = Clock()
    heir = LeaseKeeper(second.leases, second.fences, "heir", clock=clock)
    lost: list[str] = []
    dead.on_loss(run_lease(RUN), lambda: lost.append(RUN))
    while clock.now < LOST_S:
        assert await heir.take([run_lease(RUN)]) == []
        assert heir.elsewhere(run_lease(RUN)) == "dead"
        clock.now += 1.0
    assert heir.elsewhere(run_lease(RUN)) is None
    assert await heir.take_run(RUN) is None
    with dead.under(run_lease(RUN)) as scope:
        await dead._renew()
        await anyio.lowlevel.checkpoint()
    assert scope.cancelled_caught
    with pytest.raises(FencedError):
        await first.attempts.dispatched(RUN, rows(), {})
    await heir.put_down(RUN)
    assert await first.leases.all() == {}
    await dead.put_down(RUN)


async def test_a_living_keeper_is_not_taken_over_from_and_gives_all_back(first: Store, second: Store) -> None:
    living, other = (LeaseKeeper(s.leases, s.fences, n) for s, n in ((first, "living"), (second, "other")))
    async with anyio.create_task_group() as tasks:
        await tasks.start(other.run)
        async with anyio.create_task_group() as life:
            await life.start(living.run)
            assert await living.take_run(RUN) is None
            assert await living.take_run(RUN) is None, "it has it"
            assert await other.take_run(RUN) == "living"
            await other.looked()
            assert other.orchestrators() == ["living", "other"]
            life.cancel_scope.cancel()
        assert await other.take_run(RUN) is None, "at once"
        assert sorted(await second.leases.all()) == ["orchestrator other", "run r1"]
        await other.put_down(RUN)
        first.fences.take_down(RUN)
        tasks.cancel_scope.cancel()
    assert await second.leases.all() == {}


async def test_what_the_dead_have_left_is_forgotten_as_it_was_seen(first: Store, second: Store) -> None:
    left = [await taken_by(first, name, "dead") for name in ("orchestrator dead", "x")]
    assert await first.leases.renew({"x": left[1].token}) == []
    await second.leases.forget(left)
    assert list(await second.leases.all()) == ["x"], "its holder has counted it up"


async def test_one_orchestrator_attends_to_a_fire(first: Store, second: Store) -> None:
    await first.schedules.note("nightly", 100.0)
    assert await first.schedules.claim("nightly", 200.0, queue=False)
    assert not await second.schedules.claim("nightly", 200.0, queue=True)
    assert not await second.schedules.claim("nightly", 150.0, queue=True), "somebody has attended to a later one"
    assert not await first.schedules.queued("nightly")
    assert await second.schedules.claim("nightly", 300.0, queue=False)
    assert await first.schedules.last("nightly") == 300.0


async def test_one_orchestrator_at_a_time_attends_to_a_schedule(first: Store, second: Store) -> None:
    keepers = [LeaseKeeper(store.leases, store.fences, name) for store, name in ((first, "one"), (second, "other"))]
    one, other = map(LeasedTurns, keepers)
    async with one.turn("nightly") as ours:
        assert ours
        async with other.turn("nightly") as theirs, other.turn("weekly") as another:
            assert (theirs, another) == (False, True)
        assert keepers[0].token(schedule_lease("nightly")), "whom it is not given to gives back nothing"
    async with other.turn("nightly") as theirs:
        assert theirs


async def test_that_a_run_is_due_is_known_to_all_until_it_has_begun(first: Store, second: Store) -> None:
    await first.schedules.note("nightly", 100.0)
    assert await first.schedules.claim("nightly", 200.0, queue=True)
    assert await second.schedules.claim("nightly", 300.0, queue=False), "a fire that is skipped changes nothing of it"
    assert (await first.schedules.queued("nightly"), await second.schedules.queued("nightly")) == (True, True)
    await second.schedules.unqueue("nightly")
    assert not await first.schedules.queued("nightly")
    await first.schedules.unqueue("another")
    assert not await first.schedules.queued("another")
