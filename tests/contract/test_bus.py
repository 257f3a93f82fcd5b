"""Every sentence of the bus's Protocols, on NATS and on the simulated bus alike."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

import anyio
import pytest

from appliance.access import AccessAnswer, AccessKind, AccessRequest
from appliance.bus import ApplianceBus, BusError, BusUnavailable, JobLease, NoPacer, OrchestratorBus, ReportDelivery
from appliance.contract import (
    OK,
    Account,
    CredentialRef,
    Evidence,
    Heartbeat,
    Job,
    Outcome,
    PermitAnswer,
    PermitAsk,
    PermitRelease,
    PermitRequest,
    PermitVerdict,
    Phase,
    RunNotice,
    SecretLookup,
    Target,
    Technology,
)
from appliance.questions import VaultAnswer, VaultQuery, VaultQueryKind
from tests.contract.conftest import Parties

T = TypeVar("T")
ACCOUNT = Account(authority="dir:corp", user="scan")

AFTER_S = 0.3
"""What comes later than so long after what was expected is not seen."""


def job(name: str, attempt: int = 1, run: str = "r1", zone: str = "z") -> Job:
    return Job(
        run=run,
        job=name,
        attempt=attempt,
        lease=f"{attempt:032x}",
        zone=zone,
        technology=Technology.UNIX,
        target=Target(address="127.0.0.1"),
        candidates=(),
        deadline=30,
        give_up_at=2e9,
        purpose="test",
    )


def outcome(of: Job, appliance: str = "alpha") -> Outcome:
    return Outcome(
        run=of.run,
        job=of.job,
        attempt=of.attempt,
        lease=of.lease,
        appliance=appliance,
        evidence=Evidence(phase=Phase.LOGOFF, signal=OK),
    )


def permit_request(of: Job) -> PermitRequest:
    return PermitRequest(
        run=of.run,
        job=of.job,
        attempt=of.attempt,
        lease=of.lease,
        holder="h",
        account=ACCOUNT,
        record="r",
        valid_for=30,
    )


def check_out_request(name: str) -> AccessRequest:
    secret = CredentialRef(vault="Vault", by=SecretLookup.NAME, key="s")
    return AccessRequest(
        kind=AccessKind.CHECK_OUT, run="run", job=name, attempt=1, lease="lease", secret=secret, secret_id=7
    )


def permit_release(of: Job) -> PermitRelease:
    return PermitRelease(
        run=of.run,
        job=of.job,
        attempt=of.attempt,
        lease=of.lease,
        holder="h",
        technology=Technology.UNIX,
        account=ACCOUNT,
        phase=Phase.AUTH,
        signal=OK,
        submitted=True,
    )


def notice(run: str = "r1", zone: str = "z", *, paused: bool = False) -> RunNotice:
    return RunNotice(run=run, zone=zone, vaults=("v",), targets=2, paused=paused)


def beat(appliance: str, at: float = 1.0) -> Heartbeat:
    return Heartbeat(appliance=appliance, zone="z", capacity=8, in_flight=0, sent_at=at)


async def leased(appliance: ApplianceBus, count: int) -> list[JobLease]:
    """So many of r1: a machine that takes its time has them come one by one."""
    found: list[JobLease] = []
    while len(found) < count:
        more = await appliance.lease("r1", count - len(found), wait=30)
        assert more, f"{len(found)} of {count} have come"
        found.extend(more)
    return found


async def until(source: AsyncIterator[T], *wanted: T) -> T:
    """Step until one of the wanted values comes; states may be told more often than they change."""
    with anyio.fail_after(30):
        while True:
            value = await anext(source)
            if value in wanted:
                return value


async def opened(parties: Parties, capacity: int = 100) -> tuple[OrchestratorBus, ApplianceBus]:
    bus = await parties.orchestrator()
    await bus.open_zone("z")
    await bus.open_run(notice(), capacity)
    return bus, await parties.appliance()


# Jobs


async def test_jobs_are_leased_in_order_and_ended(parties: Parties) -> None:
    bus, appliance = await opened(parties)
    placed = await bus.put([job("a"), job("b"), job("c")])
    first, second = await leased(appliance, 2)
    assert [first.job.job, second.job.job] == sorted([first.job.job, second.job.job])
    assert (first.delivery, second.delivery) == (1, 1)
    view = await bus.view("r1", "z")
    assert (view.waiting, view.leased, view.ack_floor) == (1, 2, 0)
    await first.done()
    await second.done()
    (third,) = await appliance.lease("r1", 2, wait=30)
    await third.done()
    view = await bus.view("r1", "z")
    assert (view.waiting, view.leased, view.ack_floor, view.last_seq) == (0, 0, 3, 3)
    assert sorted(p.seq for p in placed if p) == [1, 2, 3]
    assert {p.epoch for p in placed if p} == {view.epoch}
    assert {first.job, second.job, third.job} == {job("a"), job("b"), job("c")}


async def test_a_lease_waits_for_the_first_job_and_no_longer(parties: Parties) -> None:
    bus, appliance = await opened(parties)
    assert await appliance.lease("r1", 5, wait=0.2) == []
    taken: list[Job] = []

    async def take() -> None:
        with anyio.fail_after(30):
            taken.extend(lease.job for lease in await appliance.lease("r1", 5, wait=60))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(take)
        await anyio.wait_all_tasks_blocked()
        await bus.put([job("a")])
    assert taken == [job("a")]


async def test_a_cancelled_lease_loses_no_job(parties: Parties) -> None:
    bus, appliance = await opened(parties)
    with anyio.move_on_after(0.1):
        await appliance.lease("r1", 1, wait=60)
    await bus.put([job("a")])
    with anyio.fail_after(30):
        leases: list[JobLease] = []
        while not leases:
            leases = list(await appliance.lease("r1", 1, wait=1))
    assert leases[0].job == job("a")


@pytest.mark.slow
async def test_a_lost_job_is_delivered_again_then_given_up(parties: Parties) -> None:
    bus, appliance = await opened(parties)
    other = await parties.appliance("beta")
    await bus.put([job("a")])
    async with bus.lost_jobs() as lost:
        (first,) = await appliance.lease("r1", 1, wait=30)
        (second,) = await other.lease("r1", 1, wait=5)
        assert (first.delivery, second.delivery) == (1, 2)
        assert second.job == first.job
        assert await appliance.lease("r1", 1, wait=2 * parties.timing.ack_wait) == []
        assert await until(lost, job("a")) == job("a")
    view = await bus.view("r1", "z")
    assert (view.waiting, view.leased) == (0, 0)


@pytest.mark.slow
async def test_a_lost_job_is_found_though_its_advisory_was_missed(parties: Parties) -> None:
    bus, appliance = await opened(parties)
    await bus.put([job("a")])
    await appliance.lease("r1", 1, wait=30)
    await appliance.lease("r1", 1, wait=5)
    assert await appliance.lease("r1", 1, wait=2 * parties.timing.ack_wait) == []
    async with bus.lost_jobs() as lost:
        assert await until(lost, job("a")) == job("a")


@pytest.mark.slow
async def test_an_ended_job_is_not_lost(parties: Parties) -> None:
    bus, appliance = await opened(parties)
    await bus.put([job("a"), job("b")])
    async with bus.lost_jobs() as lost:
        for lease in await leased(appliance, 2):
            if lease.job.job == "a":
                await lease.done()
        await appliance.lease("r1", 2, wait=5)
        await appliance.lease("r1", 2, wait=2 * parties.timing.ack_wait)
        with anyio.fail_after(30):
            assert await anext(lost) == job("b")
        with anyio.move_on_after(4 * parties.timing.sweep):
            pytest.fail(f"lost besides: {await anext(lost)}")


@pytest.mark.slow
async def test_in_progress_keeps_the_lease(parties: Parties) -> None:
    bus, appliance = await opened(parties)
    other = await parties.appliance("beta")
    await bus.put([job("a")])
    (lease,) = await appliance.lease("r1", 1, wait=30)
    async with anyio.create_task_group() as tasks:

        async def keep() -> None:
            while True:
                await lease.in_progress()
                await anyio.sleep(parties.timing.ack_wait / 4)

        tasks.start_soon(keep)
        assert await other.lease("r1", 1, wait=3 * parties.timing.ack_wait) == []
        tasks.cancel_scope.cancel()
    await lease.done()
    assert (await bus.view("r1", "z")).leased == 0


async def test_what_is_given_back_comes_again_after_the_delay_and_counts_as_a_delivery(parties: Parties) -> None:
    bus, appliance = await opened(parties)
    await bus.put([job("a")])
    (lease,) = await appliance.lease("r1", 1, wait=30)
    await lease.give_back(0.3)
    assert await appliance.lease("r1", 1, wait=0.1) == []
    (again,) = await appliance.lease("r1", 1, wait=3)
    assert (again.job, again.delivery) == (job("a"), 2)


async def test_ending_a_job_of_a_closed_run_is_no_error(parties: Parties) -> None:
    bus, appliance = await opened(parties)
    await bus.put([job("a")])
    (lease,) = await appliance.lease("r1", 1, wait=30)
    await bus.close_run("r1", "z")
    await lease.done()
    await lease.in_progress()


async def test_capacity_bounds_what_is_out(parties: Parties) -> None:
    bus, appliance = await opened(parties, capacity=2)
    held: list[JobLease] = []

    async def keep() -> None:
        while True:
            for lease in held:
                await lease.in_progress()
            await anyio.sleep(0.1)

    async def first_deliveries(expected: int) -> int:
        """So many, and what comes after them in a moment. A machine that takes its time has jobs come one by one, or
        again, which is no news.
        """
        first, wait = 0, 0.0
        while wait != AFTER_S:
            wait = 30.0 if first < expected else AFTER_S
            leases = await appliance.lease("r1", 5, wait=wait)
            held.extend(leases)
            first += sum(lease.delivery == 1 for lease in leases)
        return first

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(keep, name="keep the leases")
        await bus.put([job(name) for name in "abcde"])
        assert await first_deliveries(2) == 2
        await bus.open_run(notice(), 4)
        assert await first_deliveries(2) == 2
        await bus.open_zone("z")
        await bus.open_run(notice("r2"), 100)
        assert await first_deliveries(0) == 0, "another run's bound is its own"
        await bus.open_run(notice(), 5)
        assert await first_deliveries(1) == 1
        tasks.cancel_scope.cancel()


async def test_an_id_is_stored_once_even_after_its_job_has_ended(parties: Parties) -> None:
    bus, appliance = await opened(parties)
    (first,) = await bus.put([job("a")])
    (again,) = await bus.put([job("a")])
    assert again == first
    (lease,) = await appliance.lease("r1", 5, wait=30)
    await lease.done()
    assert await bus.put([job("a")]) == [first]
    await bus.purge_run("r1", "z")
    assert await bus.put([job("a")]) == [first]
    assert (await bus.view("r1", "z")).waiting == 0
    (retry,) = await bus.put([job("a", attempt=2)])
    assert retry is not None
    assert (await bus.view("r1", "z")).waiting == 1


async def test_many_jobs_are_put_at_once(parties: Parties) -> None:
    bus, appliance = await opened(parties, capacity=1000)
    placed = await bus.put([job(f"j{n}") for n in range(1000)])
    assert len({p.seq for p in placed if p}) == 1000
    assert await appliance.unended("r1") == 1000


async def test_put_needs_an_open_zone(parties: Parties) -> None:
    bus = await parties.orchestrator()
    with pytest.raises(BusError, match="open"):
        await bus.put([job("a")])


async def test_runs_share_a_zone_and_see_their_own_jobs(parties: Parties) -> None:
    bus, appliance = await opened(parties)
    await bus.open_run(notice("r2"), 10)
    await bus.put([job("a"), job("b", run="r2")])
    (lease,) = await appliance.lease("r2", 5, wait=30)
    assert lease.job.job == "b"
    await bus.close_run("r2", "z")
    assert (await bus.view("r1", "z")).waiting == 1


async def test_a_job_is_unended_until_it_is_done(parties: Parties) -> None:
    bus, appliance = await opened(parties)
    await bus.put([job("a"), job("b")])
    with anyio.fail_after(30):
        # A consumer hears of a message a moment after the stream has it.
        while await appliance.unended("r1") < 2:  # noqa: ASYNC110 - the server has no event for that
            await anyio.sleep(0.01)
    (lease,) = await appliance.lease("r1", 1, wait=30)
    assert await appliance.unended("r1") == 2
    await lease.done()
    assert await appliance.unended("r1") == 1
    await bus.close_run("r1", "z")
    assert await appliance.unended("r1") == 0
    assert await appliance.unended("never-opened") == 0


async def test_a_purged_run_is_empty_and_open(parties: Parties) -> None:
    bus, appliance = await opened(parties)
    await bus.put([job("a"), job("b")])
    await appliance.lease("r1", 1, wait=30)
    await bus.purge_run("r1", "z")
    await bus.purge_run("r1", "z")
    view = await bus.view("r1", "z")
    assert (view.waiting, view.leased) == (0, 0)
    await bus.put([job("a", attempt=2)])
    (lease,) = await appliance.lease("r1", 5, wait=30)
    assert (lease.job.attempt, lease.delivery) == (2, 1)


async def test_a_closed_run_is_gone(parties: Parties) -> None:
    bus, appliance = await opened(parties)
    await bus.put([job("a")])
    await bus.close_run("r1", "z")
    await bus.close_run("r1", "z")
    await bus.purge_run("r1", "z")
    assert await appliance.lease("r1", 1, wait=0.2) == []
    with pytest.raises(BusError, match="open"):
        await bus.view("r1", "z")
    await bus.open_run(notice(), 10)
    assert (await bus.view("r1", "z")).waiting == 0


# Reports


@pytest.mark.slow
async def test_a_report_arrives_with_its_sender_once(parties: Parties) -> None:
    bus, appliance = await opened(parties)
    async with bus.reports("r1") as reports:
        await appliance.publish(outcome(job("a")))
        await appliance.publish(outcome(job("a")))
        await (await parties.appliance("beta")).publish(outcome(job("b"), "beta"))
        taken: list[ReportDelivery] = []
        with anyio.fail_after(30):
            while len(taken) < 2:
                taken += await anext(reports)
        assert sorted((d.report.job, d.sender) for d in taken) == [("a", "alpha"), ("b", "beta")]
        assert (await bus.view("r1", "z")).reports_waiting == 2
        for delivery in taken:
            await delivery.done()
        with anyio.fail_after(30):
            while (await bus.view("r1", "z")).reports_waiting:  # noqa: ASYNC110 - the server's state has no event
                await anyio.sleep(0.01)
        with anyio.move_on_after(1.5 * parties.timing.report_wait):
            pytest.fail(f"came again: {await anext(reports)}")


@pytest.mark.slow
async def test_an_unconfirmed_report_comes_again(parties: Parties) -> None:
    bus, appliance = await opened(parties)
    await appliance.publish(outcome(job("a")))
    async with bus.reports("r1") as reports:
        with anyio.fail_after(30):
            (first,) = await anext(reports)
            (again,) = await anext(reports)
    assert again.report == first.report


async def test_reports_come_in_bounded_batches(parties: Parties) -> None:
    bus, appliance = await opened(parties)
    async with anyio.create_task_group() as tasks:
        for n in range(700):
            tasks.start_soon(appliance.publish, outcome(job(f"j{n}")))
    sizes: list[int] = []
    async with bus.reports("r1") as reports:
        with anyio.fail_after(30):
            while sum(sizes) < 700:
                batch = await anext(reports)
                sizes.append(len(batch))
                for delivery in batch:
                    await delivery.done()
    assert sizes[0] == 500
    assert sum(sizes) == 700


# Permits, vault queries, control


async def nobody_asks(asks: Sequence[PermitAsk], _: str) -> list[PermitAnswer | None]:
    raise AssertionError(f"nobody asks for a permit at once here: {asks}")


async def test_permits_are_served_concurrently_and_name_the_sender(parties: Parties) -> None:
    bus, appliance = await opened(parties)
    other = await parties.appliance("beta")
    let_go = anyio.Event()
    asked: list[tuple[str, str]] = []

    async def request(asking: PermitRequest, sender: str) -> PermitAnswer:
        asked.append((asking.job, sender))
        if asking.job == "slow":
            await let_go.wait()
        return PermitAnswer(verdict=PermitVerdict.GRANTED, text=asking.job)

    answers: list[str] = []

    async def ask() -> None:
        answers.append((await appliance.permit(permit_request(job("slow")), wait=10)).text)

    async with bus.permits(request, nobody_asks), anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        quick = await other.permit(permit_request(job("quick")), wait=10)
        assert (quick.verdict, quick.text, answers) == (PermitVerdict.GRANTED, "quick", [])
        let_go.set()
    assert answers == ["slow"]
    assert sorted(asked) == [("quick", "beta"), ("slow", "alpha")]


async def test_check_outs_are_served_concurrently_and_name_the_sender(parties: Parties) -> None:
    bus, appliance = await opened(parties)
    other = await parties.appliance("beta")
    slow_may_end, answers = anyio.Event(), list[AccessAnswer]()

    async def check_out(request: AccessRequest, sender: str) -> AccessAnswer:
        if request.job == "slow":
            await slow_may_end.wait()
        return AccessAnswer(ok=False, reason="SECRET_CHECKED_OUT_BY", text=f"{sender} asked for {request.secret_id}")

    async def ask_slowly() -> None:
        answers.append(await appliance.access(check_out_request("slow"), wait=10))

    async with bus.access(check_out), anyio.create_task_group() as tasks:
        tasks.start_soon(ask_slowly)
        quick = await other.access(check_out_request("quick"), wait=10)
        assert (quick.ok, quick.reason, quick.text) == (False, "SECRET_CHECKED_OUT_BY", "beta asked for 7")
        slow_may_end.set()
    assert [answer.text for answer in answers] == ["alpha asked for 7"]


async def test_nobody_there_to_check_out(parties: Parties) -> None:
    _, appliance = await opened(parties)
    with pytest.raises(BusUnavailable):
        await appliance.access(check_out_request("a"), wait=5)


async def test_no_pacer_no_permit(parties: Parties) -> None:
    bus, appliance = await opened(parties)
    with pytest.raises(NoPacer):
        await appliance.permit(permit_request(job("a")), wait=5)
    entered = anyio.Event()

    async def request(_: PermitRequest, __: str) -> PermitAnswer:
        entered.set()
        await anyio.sleep(0.5)
        return PermitAnswer(verdict=PermitVerdict.GRANTED)

    async with bus.permits(request, nobody_asks):
        with pytest.raises(NoPacer):
            await appliance.permit(permit_request(job("a")), wait=0.2)
        with anyio.fail_after(30):
            await entered.wait()


async def test_requests_and_releases_go_together_and_are_answered_in_order(parties: Parties) -> None:
    bus, appliance = await opened(parties)
    told: list[tuple[PermitAsk, str]] = []

    async def hold(_: PermitRequest, __: str) -> PermitAnswer:
        raise AssertionError("nobody waits here")

    async def ask(asks: Sequence[PermitAsk], sender: str) -> list[PermitAnswer | None]:
        told.extend((one, sender) for one in asks)
        answers = (PermitAnswer(verdict=PermitVerdict.GRANTED), None, PermitAnswer(verdict=PermitVerdict.WAIT, until=5))
        return list(answers)

    asks: list[PermitAsk] = [permit_request(job("a")), permit_release(job("b")), permit_request(job("c"))]
    async with bus.permits(hold, ask):
        answers = await appliance.ask(asks, wait=5)
    assert [answer and (answer.verdict, answer.until) for answer in answers] == [
        (PermitVerdict.GRANTED, 0.0),
        None,
        (PermitVerdict.WAIT, 5.0),
    ]
    assert told == [(one, "alpha") for one in asks]
    with pytest.raises(NoPacer):
        await appliance.ask(asks, wait=5)


async def test_reports_and_ends_of_many_jobs_go_together(parties: Parties) -> None:
    bus, appliance = await opened(parties, capacity=5)
    await bus.put([job(f"j{n}") for n in range(5)])
    leases = list(await appliance.lease("r1", 5, wait=5))
    await appliance.publish(*(outcome(lease.job) for lease in leases))
    await appliance.done(*leases)
    assert await appliance.unended("r1") == 0
    found: list[str] = []
    async with bus.reports("r1") as reports:
        with anyio.fail_after(30):
            while len(found) < 5:
                for delivery in await anext(reports):
                    assert delivery.sender == "alpha"
                    found.append(delivery.report.job)
                    await delivery.done()
    assert sorted(found) == [f"j{n}" for n in range(5)]


async def test_reports_that_share_one_of_theirs_are_not_taken_for_the_same(parties: Parties) -> None:
    """A job may be in hand twice, and its reports go with others': those of the second parcel are no duplicates."""
    bus, appliance = await opened(parties, capacity=5)
    await appliance.publish(outcome(job("a")), outcome(job("b")))
    await appliance.publish(outcome(job("a")), outcome(job("c")))
    await appliance.publish(outcome(job("a")), outcome(job("c")))
    found: list[str] = []
    async with bus.reports("r1") as reports:
        with anyio.fail_after(30):
            while not {"a", "b", "c"} <= set(found):
                for delivery in await anext(reports):
                    found.append(delivery.report.job)
                    await delivery.done()
    assert found.count("c") == 1, "the same parcel, published again, is one"


async def test_a_vault_query_is_answered_by_one_appliance_of_the_zone(parties: Parties) -> None:
    bus, appliance = await opened(parties)
    query = VaultQuery(kind=VaultQueryKind.CHECK, run="r1", vault="v")
    with pytest.raises(BusError, match="no appliance of zone 'z'"):
        await bus.ask_vault("z", query, wait=5)
    asked: list[str] = []

    @asynccontextmanager
    async def answering(party: ApplianceBus, name: str) -> AsyncIterator[None]:
        async def answer(_: VaultQuery) -> VaultAnswer:
            asked.append(name)
            return VaultAnswer(ok=True, text=name)

        async with party.vault_queries(answer):
            yield

    other, elsewhere = await parties.appliance("beta"), await parties.appliance("gamma", "other")
    async with answering(appliance, "alpha"), answering(other, "beta"), answering(elsewhere, "gamma"):
        answer = await bus.ask_vault("z", query, wait=5)
    assert answer.ok
    assert asked == [answer.text]
    assert answer.text in {"alpha", "beta"}


async def test_control_speaks_to_the_holder(parties: Parties) -> None:
    bus, control = await parties.orchestrator(), await parties.control()
    with pytest.raises(BusError):
        await control.ask("run", b"x", wait=5)

    async def answer(verb: str, body: bytes) -> bytes:
        return verb.encode() + b":" + body

    async with bus.serve_control(answer):
        assert await control.ask("run", b"x" * 2_000_000, wait=5) == b"run:" + b"x" * 2_000_000


# Heartbeats and runs


@pytest.mark.slow
async def test_heartbeats_are_seen_and_expire(parties: Parties) -> None:
    bus, appliance = await opened(parties)
    other = await parties.appliance("beta")
    async with bus.appliances() as alive:
        assert await until(alive, {}) == {}
        await appliance.heartbeat(beat("alpha"))
        await other.heartbeat(beat("beta"))
        await until(alive, {"alpha": beat("alpha"), "beta": beat("beta")})
        await other.heartbeat(beat("beta", 2))
        await until(alive, {"alpha": beat("alpha"), "beta": beat("beta", 2)})
        await until(alive, {})
    await appliance.heartbeat(beat("alpha", 3))
    async with bus.appliances() as alive:
        with anyio.fail_after(30):
            assert await anext(alive) == {"alpha": beat("alpha", 3)}


async def test_the_open_runs_of_a_zone_are_watched(parties: Parties) -> None:
    bus, appliance = await opened(parties)
    await bus.open_zone("other")
    await bus.open_run(notice("elsewhere", "other"), 10)
    async with appliance.runs() as runs:
        with anyio.fail_after(30):
            assert await anext(runs) == {"r1": notice()}
        await bus.open_run(notice(paused=True), 10)
        await until(runs, {"r1": notice(paused=True)})
        await bus.open_run(notice("r2"), 10)
        await until(runs, {"r1": notice(paused=True), "r2": notice("r2")})
        await bus.close_run("r1", "z")
        await until(runs, {"r2": notice("r2")})
        await bus.close_run("r2", "z")
        await until(runs, {})


async def test_the_view_says_how_far_jobs_have_been_given_out(parties: Parties) -> None:
    bus, appliance = await opened(parties)
    first, second, third = await bus.put([job("a"), job("b"), job("c")])
    assert first is not None
    assert second is not None
    assert third is not None
    assert (await bus.view("r1", "z")).delivered < first.seq
    assert len(await appliance.lease("r1", 2, wait=5)) == 2
    assert (await bus.view("r1", "z")).delivered == second.seq < third.seq


# A bus that has lost everything


@pytest.mark.slow
async def test_a_wiped_bus_is_another_epoch_and_everything_finds_back(parties: Parties) -> None:
    bus, appliance = await opened(parties)
    await bus.put([job("a"), job("b")])
    await appliance.lease("r1", 1, wait=30)
    before = await bus.view("r1", "z")
    async with (
        appliance.runs() as runs,
        bus.reports("r1") as reports,
        bus.appliances() as alive,
        bus.lost_jobs() as lost,
    ):
        await until(runs, {"r1": notice()})
        await until(alive, {})
        await parties.wipe()
        with pytest.raises(BusError, match="open"):
            await bus.view("r1", "z")
        with pytest.raises(BusError, match="open"):
            await bus.put([job("a", attempt=2)])
        with pytest.raises(BusError, match="open"):
            await bus.open_run(notice(), 10)
        await bus.open_zone("z")
        await until(runs, {})
        await bus.open_run(notice(), 10)
        await until(runs, {"r1": notice()})
        after = await bus.view("r1", "z")
        assert after.epoch != before.epoch
        assert (after.waiting, after.leased, after.last_seq) == (0, 0, 0)
        (placed,) = await bus.put([job("a", attempt=2)])
        assert placed is not None
        assert placed.epoch == after.epoch
        with anyio.fail_after(30):
            (lease,) = await appliance.lease("r1", 5, wait=5)
        await appliance.publish(outcome(lease.job))
        with anyio.fail_after(30):
            (delivery,) = await anext(reports)
        assert delivery.report == outcome(job("a", attempt=2))
        await appliance.heartbeat(beat("alpha"))
        await until(alive, {"alpha": beat("alpha")})
        await appliance.lease("r1", 1, wait=5)
        await appliance.lease("r1", 1, wait=2 * parties.timing.ack_wait)
        await until(lost, job("a", attempt=2))
