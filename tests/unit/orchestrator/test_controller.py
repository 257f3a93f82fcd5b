"""A run at work, on the simulated bus and a virtual clock: what is written before what is sent, and how it ends.

Schedules with everything going wrong at once are `tests/simulation`'s; here is one thing at a time.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from random import Random
from typing import Any, cast

import anyio
import pytest

from appliance.bus import BusUnavailable, Placed
from appliance.contract import (
    CUT,
    OK,
    Account,
    Candidate,
    CredentialRef,
    Deferred,
    Evidence,
    HostAuthority,
    HostKeyPolicy,
    Job,
    Jump,
    Outcome,
    Phase,
    PhaseTime,
    RunNotice,
    SecretLookup,
    Selection,
    Target,
    Technology,
)
from appliance.contract import (
    DEADLINE as STRUCK,
)
from appliance.reasons import Status
from orchestrator.account_state import Budget
from orchestrator.attempts import Planned, Unplannable
from orchestrator.controller import DRAIN_GRACE_S, GATHER_S, RunController
from orchestrator.dispatch import WINDOW, Dispatcher, Pace
from orchestrator.marked import Marked
from orchestrator.pacer_desk import PacerDesk
from orchestrator.pacing import Pacer
from orchestrator.permits import PermitOffice
from orchestrator.purposes import Purposes
from orchestrator.run_plan import ZONE_PATIENCE_S, RunPlan
from orchestrator.stops import Selector, Stop, Stops
from orchestrator.store.attempts import Attempts
from orchestrator.store.host_keys import HostKeys
from orchestrator.store.records import AttemptRow, JobRow, Settled, Undispatched
from orchestrator.zones import Zoning
from tests.simulation.sim_bus import SimBroker, SimOrchestrator
from tests.simulation.virtual_loop import run as run_virtually

RUN, ZONE = "run", "z"
DEADLINE = 10.0


class Plan:
    """The dispatcher's source: so many targets, and perhaps one that no record serves."""

    def __init__(self, targets: int, *, nobody: bool = False) -> None:
        self._units: list[Planned | Unplannable] = [_planned(number) for number in range(targets)]
        if nobody:
            self._units.append(Unplannable("nobody", Technology.UNIX, Target(address="10.9.9.9"), "NO_RECORD", "none"))

    def cursors(self) -> Sequence[str]:
        return ("unix",)

    def count(self, cursor: str) -> int:
        return len(self._units)

    def zone(self, cursor: str) -> str:
        return ZONE

    def at(self, cursor: str, index: int) -> Planned | Unplannable:
        return self._units[index]


def _planned(number: int) -> Planned:
    address = f"10.0.0.{number}"
    account = Account(authority=f"host:{address}", user="u")
    secret = CredentialRef(vault="Vault", by=SecretLookup.NAME, key="s")
    candidate = Candidate(record="r", user="u", account=account, secret=secret, selection=Selection.IP, port=22)
    return Planned(f"job {number}", Technology.UNIX, Target(address=address), (candidate,), ZONE)


class _Shared(Plan):
    """All log in as one directory account."""

    def at(self, cursor: str, index: int) -> Planned:
        unit = _planned(index)
        account = Account(authority="dir:corp", user="u")
        (candidate,) = unit.candidates
        return replace(unit, candidates=(candidate.model_copy(update={"account": account}),))


class _Single(Plan):
    """One unit, made by the test."""

    def __init__(self, unit: Planned) -> None:
        self._units = [unit]


class Store:
    """Attempts and host keys; writes down what is asked of it, in order."""

    def __init__(self, story: list[str]) -> None:
        self.story = story
        self.batches: list[int] = []
        """Attempts that were written together."""
        self.settled: list[Settled] = []
        self.unsent: list[Undispatched] = []
        self.learnt: list[Any] = []
        self.fresh = True
        self.keys: dict[str, list[str]] = {}

    async def dispatched(
        self,
        run: str,
        rows: Sequence[tuple[JobRow, AttemptRow | None]],
        cursors: Mapping[str, int],
        ended: Sequence[Undispatched] = (),
    ) -> list[bool]:
        await anyio.sleep(0.01)
        self.unsent += ended
        self.batches.append(len(rows))
        self.story += [f"finished {row.job.job} {row.reason}" for row in ended]
        self.story += [f"stored {job.job}:{attempt.attempt}" for job, attempt in rows if attempt is not None]
        return [True] * len(ended)

    async def settle(self, rows: Sequence[Settled]) -> list[bool]:
        await anyio.sleep(0.01)
        self.settled += rows
        self.story += [f"settled {row.job}:{row.attempt}" for row in rows]
        return [self.fresh] * len(rows)

    async def known(self, addresses: Iterable[str]) -> dict[str, list[str]]:
        return {address: self.keys[address] for address in addresses if address in self.keys}

    async def learn(self, keys: Sequence[Any]) -> None:
        self.learnt += keys


class Bus(SimOrchestrator):
    """Writes down what is sent, and refuses what it is told to refuse."""

    def __init__(self, broker: SimBroker, story: list[str]) -> None:
        super().__init__(broker)
        self.story = story
        self.notices: list[tuple[bool, int]] = []
        self.refusals = 0
        self.last: RunNotice

    async def put(self, jobs: Sequence[Job]) -> Sequence[Placed | None]:
        self.story += [f"put {job.job}:{job.attempt}" for job in jobs]
        return await super().put(jobs)

    async def open_run(self, notice: RunNotice, capacity: int) -> None:
        if self.refusals:
            self.refusals -= 1
            raise BusUnavailable("not now")
        self.notices.append((notice.paused, capacity))
        self.last = notice
        await super().open_run(notice, capacity)


class World:
    """A controller and all around it; the test plays the appliances."""

    def __init__(self, plan: Plan, zones: Zoning | None = None, pace: Pace | None = None) -> None:
        self.story: list[str] = []
        self.broker = SimBroker(Random(1))  # noqa: S311 - a schedule, not a secret
        self.bus = Bus(self.broker, self.story)
        self.store = Store(self.story)
        self.appliances = 4
        self.stops = Stops()
        self._leases = iter(range(1_000_000))
        self.capacities: dict[str, int] = {}
        """Of zones that have their own; else `appliances`."""
        pace = pace or Pace(DEADLINE, 0.0)
        self.controller = RunController(
            plan=RunPlan(
                RUN,
                Purposes("c", RUN),
                zones or Zoning({ZONE: plan.count("unix")}),
                0.0,
                sum(map(plan.count, plan.cursors())),
                pace,
                ("Vault",),
                lambda _a, _r: Budget(2, 60.0),
            ),
            dispatcher=Dispatcher(plan, pace, {}, lambda: f"lease {next(self._leases)}", lambda _a: 2),
            attempts=cast("Attempts", self.store),
            host_keys=cast("HostKeys", self.store),
            bus=self.bus,
            office=PermitOffice(PacerDesk(Pacer(), _NoLedger(), anyio.current_time), anyio.current_time, self.stops),
            stops=self.stops,
            capacity=lambda zone: self.capacities.get(zone, self.appliances),
            clock=anyio.current_time,
        )
        self.ended: bool | None = None

    async def drive(self) -> None:
        self.ended = await self.controller.drive()

    async def collect(self) -> None:
        """As `Service` does it."""
        async with self.bus.reports(RUN) as batches:
            async for batch in batches:
                await self.controller.take(batch)
                for delivery in batch:
                    self.story.append(f"acknowledged {delivery.report.job}:{delivery.report.attempt}")
                    await delivery.done()

    async def work(self, jobs: int | None = None, zone: str = ZONE) -> None:
        """Log in everywhere, or at so many targets."""
        appliance = self.broker.appliance("a", zone)
        while jobs is None or jobs > 0:
            for lease in await appliance.lease(RUN, 1, 1.0):
                job = lease.job
                ids = {"run": job.run, "job": job.job, "attempt": job.attempt, "lease": job.lease, "appliance": "a"}
                await appliance.publish(Outcome(**ids, evidence=Evidence(phase=Phase.LOGOFF, signal=OK)))
                await lease.done()
                jobs = None if jobs is None else jobs - 1

    @property
    def passed(self) -> int:
        return self.controller.counts[Status.PASSED]


class _NoLedger:
    async def append(self, entries: Sequence[Any]) -> None:
        raise AssertionError(f"nobody asks for a permit here: {entries}")


def with_run(plan: Plan, *, appliances: int = 4) -> Callable[[Callable[[World], Awaitable[None]]], Callable[[], None]]:
    """Runs the test beside a controller that drives this plan."""

    def decorate(test: Callable[[World], Awaitable[None]]) -> Callable[[], None]:
        def sync() -> None:
            async def whole() -> None:
                world = World(plan)
                world.appliances = appliances
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(world.drive, name="drive")
                    tasks.start_soon(world.collect, name="collect")
                    await test(world)
                    tasks.cancel_scope.cancel()

            run_virtually(whole, Random(1))  # noqa: S311 - as above

        return sync

    return decorate


async def _working(world: World, seconds: float) -> None:
    with anyio.move_on_after(seconds):
        await world.work()


# -- order -------------------------------------------------------------------------------------------------------------


@with_run(Plan(3))
async def test_written_then_sent_settled_then_acknowledged(world: World) -> None:
    await _working(world, 5.0)
    assert world.ended is True
    assert world.passed == 3
    for number in range(3):
        its = [event.split()[0] for event in world.story if event.endswith(f"job {number}:1")]
        assert its == ["stored", "put", "settled", "acknowledged"]


@with_run(_Shared(200), appliances=100)
async def test_as_many_are_sent_at_once_as_hardly_wait_for_their_permits(world: World) -> None:
    appliance = world.broker.appliance("a", ZONE)
    sent = []
    for _ in range(6):
        await anyio.sleep(1.0)
        leases = await appliance.lease(RUN, 100, 1.0)
        sent.append(len(leases))
        for lease in leases:
            job = lease.job
            ids = {"run": job.run, "job": job.job, "attempt": job.attempt, "lease": job.lease, "appliance": "a"}
            waited = (PhaseTime(phase=Phase.PERMIT, ms=5.0),)
            await appliance.publish(Outcome(**ids, evidence=Evidence(phase=Phase.LOGOFF, signal=OK, phases=waited)))
            await lease.done()
    assert sent[:2] == [8, 8]
    assert sent == sorted(sent)
    assert sent[-1] > 16


@with_run(Plan(1))
async def test_a_report_that_the_store_has_already_changes_nothing(world: World) -> None:
    world.store.fresh = False
    await _working(world, 2.0)
    assert [row.final for row in world.store.settled] == [True]
    assert world.ended is None
    assert not world.passed


@with_run(Plan(1, nobody=True))
async def test_a_target_that_nobody_serves_ends_at_once(world: World) -> None:
    await _working(world, 2.0)
    assert world.ended is True
    assert "finished nobody NO_RECORD" in world.story
    assert world.controller.progress().done == 2


@with_run(Plan(2))
async def test_a_key_that_a_ca_vouches_for_is_not_learnt(world: World) -> None:
    """Its certificate is what counts; once known by itself, the key would pass without one."""
    appliance = world.broker.appliance("a", ZONE)
    for facts in ({"host_key": "ssh-ed25519 AAAA"}, {"host_key": "ssh-ed25519 BBBB", "host_certificate": "'web'"}):
        (lease,) = await appliance.lease(RUN, 1, 1.0)
        job = lease.job
        ids = {"run": job.run, "job": job.job, "attempt": job.attempt, "lease": job.lease, "appliance": "a"}
        await appliance.publish(Outcome(**ids, evidence=Evidence(phase=Phase.LOGOFF, signal=OK, facts=facts)))
        await lease.done()
    await anyio.sleep(1.0)
    assert world.passed == 2
    assert [key for _, _, key, _ in world.store.learnt] == ["ssh-ed25519 AAAA"]


# -- how much at a time ------------------------------------------------------------------------------------------------


@with_run(Plan(250), appliances=30)
async def test_while_the_appliances_have_enough_dispatching_gathers(world: World) -> None:
    await world.work(10)
    began = anyio.current_time()
    for _ in range(100):
        await world.work(1)
        await anyio.sleep(0.01)
    took = anyio.current_time() - began
    assert world.store.batches[0] == WINDOW * 30
    assert len(world.store.batches) <= 2 + took / GATHER_S


@with_run(Plan(200), appliances=1)
async def test_and_no_appliance_waits_for_that(world: World) -> None:
    """One that empties its stock faster than that has the next jobs when it is half empty."""
    await world.work(200)
    took = anyio.current_time()
    assert max(world.store.batches) <= WINDOW
    assert took < 200 / WINDOW * GATHER_S, "as long as it would take by the timer"


# -- jump hosts --------------------------------------------------------------------------------------------------------


def _behind(policy: HostKeyPolicy) -> Planned:
    planned = _planned(0)
    [candidate] = planned.candidates
    account = Account(authority="host:bastion.example", user="j")
    secret = candidate.secret
    jump = Jump(address="bastion.example", port=2222, user="j", account=account, secret=secret, host_keys=policy)
    return replace(planned, candidates=(candidate.model_copy(update={"jump": jump}),))


async def _keys_travel(world: World, learnt: list[Any], **shown: str) -> None:
    authority = HostAuthority(key="ssh-ed25519 CA", names=("bastion.example",))
    plan = replace(world.controller.plan, jump_marks=lambda _: Marked([authority], ["SHA256:gone"]))
    world.controller.plan = plan
    world.store.keys = {"bastion.example": ["ssh-ed25519 BASTION"], "10.0.0.0": ["ssh-ed25519 TARGET"]}
    appliance = world.broker.appliance("a", ZONE)
    while not (leases := await appliance.lease(RUN, 1, 1.0)):
        pass
    [lease] = leases
    job = lease.job
    assert job.known_jump_keys == ("ssh-ed25519 BASTION",)
    assert (job.jump_authorities, job.revoked_jump_keys) == ((authority,), ("SHA256:gone",))
    assert job.known_host_keys == ("ssh-ed25519 TARGET",)
    assert (job.host_authorities, job.revoked_host_keys) == ((), ())
    ids = {"run": job.run, "job": job.job, "attempt": job.attempt, "lease": job.lease, "appliance": "a"}
    seen = Evidence(phase=Phase.LOGOFF, signal=OK, facts={"jump_host_key": "ssh-ed25519 SEEN", **shown})
    await appliance.publish(Outcome(**ids, evidence=seen))
    await lease.done()
    await anyio.sleep(1.0)
    assert world.store.learnt == learnt


@with_run(_Single(_behind(HostKeyPolicy.TOFU)))
async def test_a_jump_hosts_keys_travel_in_the_job_and_those_it_shows_are_learnt(world: World) -> None:
    await _keys_travel(world, [("bastion.example", 2222, "ssh-ed25519 SEEN", RUN)])


@with_run(_Single(_behind(HostKeyPolicy.ANY)))
async def test_where_any_key_will_do_none_is_learnt(world: World) -> None:
    await _keys_travel(world, [])


@with_run(_Single(_behind(HostKeyPolicy.TOFU)))
async def test_nor_is_a_jump_hosts_key_that_a_ca_vouches_for(world: World) -> None:
    await _keys_travel(world, [], jump_host_certificate="'bastion'")


# -- what an admin has stopped -----------------------------------------------------------------------------------------


@with_run(Plan(60), appliances=2)
async def test_what_is_stopped_is_sent_out_no_more_and_ends_with_the_reason(world: World) -> None:
    await world.work(10)
    await anyio.sleep(0.5)  # what was about to go out has gone
    out = [event for event in world.story if event.startswith("put")]
    assert 0 < len(out) < 60
    stop = world.stops.put(Stop(Selector.of_secret("s"), 1.0, "alice", "leaked"))
    world.controller.wake()
    await _working(world, 5.0)
    assert world.ended is True
    assert [event for event in world.story if event.startswith("put")] == out
    assert world.passed == len(out)
    left = [row for row in world.store.unsent if row.reason == "STOPPED"]
    assert len(left) == 60 - len(out) == world.controller.counts[Status.NOT_ATTEMPTED]
    assert {(row.evidence.text, row.evidence.phase, row.after) for row in left} == {(stop.text, Phase.DISPATCH, 0)}
    assert {row.job.records[0].secret for row in left} == {"s"}


@with_run(Plan(1))
async def test_a_job_whose_login_was_stopped_gets_no_further_attempt(world: World) -> None:
    appliance = world.broker.appliance("a", ZONE)
    (lease,) = await appliance.lease(RUN, 1, 5.0)
    world.stops.put(Stop(Selector.of_vault("Vault"), 1.0, "alice"))
    job = lease.job
    ids = {"run": job.run, "job": job.job, "attempt": job.attempt, "lease": job.lease, "appliance": "a"}
    await appliance.publish(Deferred(**ids, reason="VAULT_TIMEOUT", not_before=anyio.current_time()))
    await lease.done()
    await anyio.sleep(5.0)
    assert world.ended is True
    assert [(row.reason, row.after) for row in world.store.unsent] == [("STOPPED", 1)]


@pytest.mark.parametrize(("stopped", "out"), [({"first"}, 1), ({"second"}, 1), ({"first", "second"}, 0)])
def test_a_job_is_left_out_only_when_no_login_is_left_to_it(stopped: set[str], out: int) -> None:
    """Which record applies is the target's to say; a stopped one is not skipped for the next."""
    (candidate,) = _planned(0).candidates
    both = tuple(candidate.model_copy(update={"record": name}) for name in ("first", "second"))
    planned = replace(_planned(0), candidates=both)
    dispatcher = Dispatcher(_Single(planned), Pace(DEADLINE, 0.0), {}, lambda: "lease", lambda _a: 2)
    stop = Stop(Selector.of_vault("Vault"), 1.0, "alice")
    batch = dispatcher.step(
        capacity={ZONE: 1}, now=0.0, broken=lambda _a: False, stop_on=lambda c: stop if c.record in stopped else None
    )
    assert (len(batch.attempts), len(batch.left_out)) == (out, 1 - out)


# -- stopping ----------------------------------------------------------------------------------------------------------


@with_run(Plan(60), appliances=2)
async def test_a_stop_takes_no_more_and_waits_for_what_is_in_hand(world: World) -> None:
    appliance = world.broker.appliance("a", ZONE)
    (lease,) = await appliance.lease(RUN, 1, 1.0)
    world.controller.stopping.set()
    world.controller.wake()
    await anyio.sleep(DEADLINE / 2)
    sent = sum(event.startswith("put") for event in world.story)
    assert world.bus.notices[-1][0], "the run is announced as paused"
    assert world.ended is None, "one job is in hand"
    job = lease.job
    ids = {"run": job.run, "job": job.job, "attempt": job.attempt, "lease": job.lease, "appliance": "a"}
    await appliance.publish(Outcome(**ids, evidence=Evidence(phase=Phase.LOGOFF, signal=OK)))
    await lease.done()
    await anyio.sleep(1.0)
    assert world.ended is False
    assert world.passed == 1
    assert sum(event.startswith("put") for event in world.story) == sent


@with_run(Plan(60), appliances=2)
async def test_what_is_in_flight_is_cut_off_when_that_is_said_at_once_or_later(world: World) -> None:
    appliance = world.broker.appliance("a", ZONE)
    (lease,) = await appliance.lease(RUN, 1, 1.0)
    world.controller.stopping.set()
    world.controller.wake()
    await anyio.sleep(1.0)
    assert (world.bus.last.paused, world.bus.last.cut) == (True, False)
    world.controller.cutting.set()
    await anyio.sleep(1.0)
    assert (world.bus.last.paused, world.bus.last.cut) == (True, True)
    job = lease.job
    ids = {"run": job.run, "job": job.job, "attempt": job.attempt, "lease": job.lease, "appliance": "a"}
    cut = Evidence(phase=Phase.TCP, signal=STRUCK, facts={CUT: "yes"})
    await appliance.publish(Outcome(**ids, evidence=cut))
    await lease.done()
    await anyio.sleep(1.0)
    assert world.ended is False
    assert [(row.attempt, row.final) for row in world.store.settled] == [(1, False)], "its turn comes again"


@with_run(Plan(60))
async def test_a_stop_does_not_wait_for_the_dead(world: World) -> None:
    await world.broker.appliance("a", ZONE).lease(RUN, 1, 1.0)  # and never heard of again
    world.controller.stopping.set()
    world.controller.wake()
    await anyio.sleep(DEADLINE + DRAIN_GRACE_S - 0.5)
    assert world.ended is None
    await anyio.sleep(1.0)
    assert world.ended is False


def test_a_run_that_is_stopped_before_it_begins_sends_nothing() -> None:
    async def story() -> list[str]:
        world = World(Plan(5))
        world.controller.stopping.set()
        await world.drive()
        assert world.ended is False
        return world.story

    sent, _ = run_virtually(story, Random(1))  # noqa: S311 - a schedule, not a secret
    assert sent == []


@with_run(Plan(5))
async def test_a_run_without_appliances_gives_up(world: World) -> None:
    await world.work(2)
    world.appliances = 0
    await anyio.sleep(ZONE_PATIENCE_S / 2)
    world.appliances = 1
    await anyio.sleep(2.0)
    world.appliances = 0
    await anyio.sleep(ZONE_PATIENCE_S - 2.0)
    assert world.ended is None, "one was there in between"
    await anyio.sleep(4.0 + DRAIN_GRACE_S + DEADLINE)
    assert world.ended is False
    assert f"no appliance of zone '{ZONE}' has been alive" in world.controller.gave_up


# -- the bus -----------------------------------------------------------------------------------------------------------


@with_run(Plan(3))
async def test_a_step_that_the_bus_refuses_is_repeated(world: World) -> None:
    world.bus.refusals = 5
    await _working(world, 10.0)
    assert world.ended is True
    assert world.passed == 3


@with_run(Plan(3))
async def test_a_bus_that_loses_everything_is_opened_again_and_the_jobs_go_out_anew(world: World) -> None:
    await world.work(1)
    await anyio.sleep(0.5)
    world.broker.wipe()
    await _working(world, 120.0)
    assert world.ended is True
    assert world.passed == 3
    again = [event for event in world.story if event.startswith("stored") and event.endswith(":2")]
    assert len(again) == 2


@with_run(Plan(100), appliances=2)
async def test_another_appliance_widens_the_run(world: World) -> None:
    await anyio.sleep(0.5)
    world.appliances = 6
    world.controller.wake()
    await anyio.sleep(0.5)
    assert [capacity for _, capacity in world.bus.notices] == [2, 6]


@pytest.mark.parametrize("stale", ["attempt", "lease"])
def test_a_stale_report_is_discarded(stale: str) -> None:
    @with_run(Plan(1))
    async def test(world: World) -> None:
        appliance = world.broker.appliance("a", ZONE)
        (lease,) = await appliance.lease(RUN, 1, 1.0)
        ids: dict[str, Any] = {"run": RUN, "job": lease.job.job, "lease": lease.job.lease, "appliance": "a"}
        ids |= {"attempt": 2} if stale == "attempt" else {"attempt": 1, "lease": "another"}
        await appliance.publish(Outcome(**ids, evidence=Evidence(phase=Phase.LOGOFF, signal=OK)))
        await anyio.sleep(1.0)
        assert not world.store.settled
        assert any(event.startswith("acknowledged") for event in world.story)

    test()
