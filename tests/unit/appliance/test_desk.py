"""What scans ask the pacer goes together, and what goes wrong with a message is told to everybody in it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import cast

import anyio
import pytest
from anyio.abc import TaskGroup

from appliance.bus import ApplianceBus, NoPacer
from appliance.contract import (
    OK,
    Account,
    PermitAnswer,
    PermitAsk,
    PermitRelease,
    PermitRequest,
    PermitVerdict,
    Phase,
    Technology,
)
from appliance.desk import (
    ANSWER_S,
    GATHER_S,
    LATE_S,
    PART,
    RELEASE_PAUSE_S,
    RELEASE_TRIES,
    TOGETHER,
    GatheringDesk,
    open_desk,
)
from tests.simulation.virtual_loop import run as run_virtually

ACCOUNT = Account(authority="dir:corp", user="scan")
GRANTED = PermitAnswer(verdict=PermitVerdict.GRANTED)
WAIT = PermitAnswer(verdict=PermitVerdict.WAIT)


OWN = Account(authority="host:10.0.0.1", user="scan")
CROWD = 4 * PART


def request(job: str, account: Account = ACCOUNT) -> PermitRequest:
    ids = {"run": "r", "job": job, "attempt": 1, "lease": "l", "holder": job, "record": "Unix"}
    return PermitRequest(**ids, account=account, valid_for=60.0)


def release(job: str, account: Account = ACCOUNT) -> PermitRelease:
    ids = {"run": "r", "job": job, "attempt": 1, "lease": "l", "holder": job}
    verdict = {"phase": Phase.AUTH, "signal": OK, "submitted": True}
    return PermitRelease(**ids, **verdict, technology=Technology.UNIX, account=account)


@dataclass
class Bus:
    """The part of `ApplianceBus` that a desk uses; each message takes a tenth of a second."""

    messages: list[list[str]] = field(default_factory=list)
    held: list[tuple[str, float]] = field(default_factory=list)
    waits: tuple[str, ...] = ()
    """Jobs that may not log in yet."""
    lost: int = 0
    """So many messages have no answer."""

    async def ask(self, asks: Sequence[PermitAsk], wait: float) -> list[PermitAnswer | None]:
        self.messages.append(sorted(f"{one.kind} {one.job}" for one in asks))
        if self.lost:
            self.lost -= 1
            await anyio.sleep(wait)
            raise NoPacer("nobody answers")
        await anyio.sleep(0.1)
        return [None if isinstance(one, PermitRelease) else WAIT if one.job in self.waits else GRANTED for one in asks]

    async def permit(self, asked: PermitRequest, wait: float) -> PermitAnswer:
        self.held.append((asked.job, round(wait, 3)))
        await anyio.sleep(1.0)
        return GRANTED


def at_work(story: Callable[[GatheringDesk, Bus, TaskGroup], Awaitable[None]]) -> Callable[[], None]:
    def test() -> None:
        async def whole() -> None:
            bus = Bus()
            async with open_desk(cast("ApplianceBus", bus)) as desk, anyio.create_task_group() as tasks:
                await story(desk, bus, tasks)
                tasks.cancel_scope.cancel()

        run_virtually(whole, Random(1))  # noqa: S311 - a schedule, not a secret

    return test


@at_work
async def test_a_lone_question_goes_at_once_and_a_crowd_goes_together(
    desk: GatheringDesk, bus: Bus, tasks: TaskGroup
) -> None:
    tasks.start_soon(desk.permit, request("first"), 7.0)
    await anyio.sleep(0.01)
    assert bus.messages == [["request first"]], "nobody waits by a timer"
    for job in "ab":
        tasks.start_soon(desk.permit, request(job), 7.0)
    tasks.start_soon(desk.release, release("c"))
    await anyio.sleep(0.05)
    assert len(bus.messages) == 1, "one message is under way at a time"
    await anyio.sleep(0.1)
    assert bus.messages[1:] == [["release c", "request a", "request b"]]


async def crowd(desk: GatheringDesk, bus: Bus, tasks: TaskGroup) -> None:
    """So many have their permits, and the last message about them has just been answered."""
    for number in range(CROWD):
        tasks.start_soon(desk.permit, request(f"in session {number}", OWN), 7.0)
    await anyio.sleep(0.5)
    bus.messages.clear()
    await desk.permit(request("first", OWN), 7.0)
    assert bus.messages == [["request first"]], "a lone one goes at once"
    bus.messages.clear()


@at_work
async def test_in_a_crowd_what_concerns_accounts_of_hosts_waits_a_moment_for_more(
    desk: GatheringDesk, bus: Bus, tasks: TaskGroup
) -> None:
    await crowd(desk, bus, tasks)
    tasks.start_soon(desk.permit, request("a", OWN), 7.0)
    await anyio.sleep(GATHER_S / 2)
    tasks.start_soon(desk.release, release("in session 0", OWN))
    await anyio.sleep(0.001)
    assert bus.messages == []
    await anyio.sleep(GATHER_S / 2)
    assert bus.messages == [["release in session 0", "request a"]]


@at_work
async def test_when_enough_wait_they_wait_no_longer(desk: GatheringDesk, bus: Bus, tasks: TaskGroup) -> None:
    await crowd(desk, bus, tasks)
    for job in "abc":
        tasks.start_soon(desk.permit, request(job, OWN), 7.0)
    await anyio.sleep(0.001)
    assert bus.messages == []
    tasks.start_soon(desk.permit, request("d", OWN), 7.0)
    tasks.start_soon(desk.permit, request("e", OWN), 7.0)
    await anyio.sleep(0.001)
    assert bus.messages == [["request a", "request b", "request c", "request d", "request e"]]


@at_work
async def test_few_wait_for_nobody(desk: GatheringDesk, bus: Bus, tasks: TaskGroup) -> None:
    """Neither those who never had a permit nor those who have given theirs back make a crowd."""
    await crowd(desk, bus, tasks)
    bus.lost = 1
    with pytest.raises(NoPacer):
        await desk.permit(request("lost", OWN), 7.0)
    for job in ("first", *(f"in session {number}" for number in range(CROWD))):
        tasks.start_soon(desk.release, release(job, OWN))
    await anyio.sleep(1.0)
    for job in ("a", "b"):
        bus.messages.clear()
        await desk.permit(request(job, OWN), 7.0)
        tasks.start_soon(desk.release, release(job, OWN))
        await anyio.sleep(0.001)
        assert bus.messages == [[f"request {job}"], [f"release {job}"]]
        await anyio.sleep(0.1)


@at_work
async def test_what_concerns_a_directory_waits_for_nobody_and_takes_all_along(
    desk: GatheringDesk, bus: Bus, tasks: TaskGroup
) -> None:
    await crowd(desk, bus, tasks)
    tasks.start_soon(desk.permit, request("a", OWN), 7.0)
    tasks.start_soon(desk.release, release("directory"))
    await anyio.sleep(0.001)
    assert bus.messages == [["release directory", "request a"]]
    tasks.start_soon(desk.release, release("another"))  # while that is on its way
    tasks.start_soon(desk.permit, request("b", OWN), 7.0)
    await anyio.sleep(0.101)
    assert bus.messages[1:] == [["release another", "request b"]]


@at_work
async def test_a_message_has_its_limit(desk: GatheringDesk, bus: Bus, tasks: TaskGroup) -> None:
    tasks.start_soon(desk.permit, request("first"), 7.0)
    await anyio.sleep(0.01)
    for number in range(TOGETHER + 10):
        tasks.start_soon(desk.permit, request(str(number)), 7.0)
    await anyio.sleep(1.0)
    assert [len(message) for message in bus.messages] == [1, TOGETHER, 10]


@at_work
async def test_who_may_not_log_in_yet_is_held_for_what_is_left_of_his_patience(
    desk: GatheringDesk, bus: Bus, tasks: TaskGroup
) -> None:
    bus.waits = ("waits",)
    assert await desk.permit(request("waits"), 7.0) == GRANTED
    assert bus.held == [("waits", 6.9)]


@at_work
async def test_a_lost_message_is_told_to_everybody_in_it_and_to_nobody_else(
    desk: GatheringDesk, bus: Bus, tasks: TaskGroup
) -> None:
    tasks.start_soon(desk.permit, request("first"), 7.0)
    await anyio.sleep(0.01)
    bus.lost = 1
    failed: list[str] = []

    async def ask(job: str) -> None:
        try:
            await desk.permit(request(job), 7.0)
        except NoPacer:
            failed.append(job)

    for job in "ab":
        tasks.start_soon(ask, job)
    await anyio.sleep(ANSWER_S - 0.1)
    tasks.start_soon(ask, "c")
    await anyio.sleep(1.0)
    assert sorted(failed) == ["a", "b"]
    assert bus.messages[1:] == [["request a", "request b"], ["request c"]], "a request is never sent twice"


@at_work
async def test_a_verdict_is_told_again_until_it_is_heard(desk: GatheringDesk, bus: Bus, tasks: TaskGroup) -> None:
    bus.lost = 2
    await desk.release(release("a"))
    assert bus.messages == [["release a"]] * 3


@at_work
async def test_a_verdict_that_nobody_hears_is_an_error(desk: GatheringDesk, bus: Bus, tasks: TaskGroup) -> None:
    bus.lost = RELEASE_TRIES
    began = anyio.current_time()
    with pytest.raises(NoPacer):
        await desk.release(release("a"))
    took = anyio.current_time() - began
    assert took == pytest.approx(RELEASE_TRIES * ANSWER_S + (RELEASE_TRIES - 1) * RELEASE_PAUSE_S, abs=0.1)


@at_work
async def test_a_verdict_that_nobody_heard_is_told_on_while_its_scan_goes_on(
    desk: GatheringDesk, bus: Bus, tasks: TaskGroup
) -> None:
    """As when an orchestrator has died, and another one takes over."""
    bus.lost = 5
    with pytest.raises(NoPacer):
        await desk.release(release("a"))
    assert len(bus.messages) == RELEASE_TRIES
    await anyio.sleep(LATE_S)
    assert bus.messages == [["release a"]] * 6, "until it is heard, and no more"


@at_work
async def test_what_nobody_has_heard_for_long_is_given_up(desk: GatheringDesk, bus: Bus, tasks: TaskGroup) -> None:
    bus.lost = 100
    with pytest.raises(NoPacer):
        await desk.release(release("a"))
    await anyio.sleep(2 * LATE_S)
    told = len(bus.messages)
    await anyio.sleep(2 * LATE_S)
    assert len(bus.messages) == told <= RELEASE_TRIES + LATE_S / ANSWER_S + 1


@at_work
async def test_the_request_of_who_has_gone_is_not_sent_and_its_verdict_is(
    desk: GatheringDesk, bus: Bus, tasks: TaskGroup
) -> None:
    """A permit that nobody waits for would count as a failed logon that never was."""
    tasks.start_soon(desk.permit, request("first"), 7.0)
    await anyio.sleep(0.01)
    with anyio.move_on_after(0.05):
        await desk.permit(request("gone"), 7.0)
    with anyio.move_on_after(0.02):
        await desk.release(release("gone"))
    await anyio.sleep(0.5)
    assert bus.messages == [["request first"], ["release gone"]]


@at_work
async def test_a_patience_that_ends_before_the_answer_comes(desk: GatheringDesk, bus: Bus, tasks: TaskGroup) -> None:
    with pytest.raises(NoPacer, match=r"in 0\.05 s"):
        await desk.permit(request("a"), 0.05)
