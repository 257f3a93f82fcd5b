"""The scan process's life: how many jobs it takes, when it takes no more, what is said of each. On a virtual clock."""

from __future__ import annotations

import errno
import os
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import anyio
import pytest
from anyio.abc import TaskGroup
from pydantic import SecretStr

from appliance import worker as module
from appliance.channel import TokenAsk, TokenGive
from appliance.classify import classify
from appliance.contract import Outcome, Technology, named
from appliance.token_desk import TokenDesk
from appliance.vault.tokens import Token
from appliance.worker import GATHER_S, IDLE_S, KEEP_EVERY_S, LIFE_S, PART, TOGETHER, Worker
from tests.simulation.virtual_loop import run as run_virtually
from tests.unit.appliance.scripted import DEADLINE, Hosts, Queue, a_job, a_kit, as_bus


class Process:
    """A worker with its queue and hosts."""

    def __init__(self, *, capacity: int = 4, silent: bool = False, life: float = 1.0) -> None:
        self.queue = Queue()
        self.hosts = Hosts(silent=silent)
        self.told: list[int] = []
        bus, kit = as_bus(self.queue), a_kit(self.hosts)
        self.worker = Worker("run", capacity, bus, kit, self._busy, anyio.current_time, life)
        self.ended_at: float | None = None

    async def _busy(self, in_flight: int) -> None:
        self.told.append(in_flight)

    async def live(self) -> None:
        await self.worker.work()
        self.ended_at = anyio.current_time()


def virtually(story: Callable[[TaskGroup], Awaitable[None]]) -> Callable[[], None]:
    def test() -> None:
        async def whole() -> None:
            async with anyio.create_task_group() as tasks:
                await story(tasks)
                tasks.cancel_scope.cancel()

        run_virtually(whole, Random(1))  # noqa: S311 - a schedule, not a secret

    return test


# -- taking jobs -------------------------------------------------------------------------------------------------------


@virtually
async def test_every_job_is_reported_and_then_ended(tasks: TaskGroup) -> None:
    process = Process()
    process.queue.put(*map(a_job, range(10)))
    tasks.start_soon(process.live)
    await anyio.sleep(1.0)
    assert sorted(report.job for report in process.queue.reports) == sorted(f"job {n}" for n in range(10))
    for number in range(10):
        story = [line for line in process.queue.story if line.removesuffix(":1").endswith(f" job {number}")]
        assert story == [f"reported job {number}", f"ended job {number}:1"], "never ended before it is reported"


@virtually
async def test_capacity_is_taken_before_a_job_is(tasks: TaskGroup) -> None:
    process = Process(capacity=3, silent=True)
    process.queue.put(*map(a_job, range(10)))
    tasks.start_soon(process.live)
    await anyio.sleep(5.0)
    assert len(process.hosts.dialled) == process.hosts.most_at_once == 3
    assert len(process.queue.leases) == 7, "what there is no room for stays where another can take it"
    process.hosts.refuse()
    await anyio.sleep(0.1)
    assert len(process.hosts.dialled) == 6, "a slot that falls free is used at once"
    assert process.hosts.most_at_once == 3


@virtually
async def test_leases_are_kept_while_their_scans_last(tasks: TaskGroup) -> None:
    process = Process(silent=True)
    [lease] = process.queue.put(a_job())
    tasks.start_soon(process.live)
    await anyio.sleep(3 * KEEP_EVERY_S + 1)
    assert lease.kept == 3
    process.hosts.refuse()
    await anyio.sleep(2 * KEEP_EVERY_S)
    assert lease.kept == 3


@virtually
async def test_what_is_delivered_again_meanwhile_is_scanned_once_and_ended_as_the_newest(tasks: TaskGroup) -> None:
    process = Process(silent=True)
    process.queue.put(a_job(1))
    tasks.start_soon(process.live)
    await anyio.sleep(1.0)
    process.queue.put(a_job(1), delivery=2)
    newer = a_job(1, attempt=2)
    process.queue.put(newer)
    await anyio.sleep(1.0)
    assert len(process.hosts.dialled) == 2, "attempt 1 once, attempt 2 beside it"
    process.hosts.refuse()
    await anyio.sleep(0.1)
    assert sorted(process.queue.story) == ["ended job 1:1", "ended job 1:2", "reported job 1", "reported job 1"]


@virtually
async def test_reports_of_the_same_moment_go_together_and_few_wait_for_nobody(tasks: TaskGroup) -> None:
    process = Process(capacity=3 * TOGETHER, silent=True)
    process.queue.put(*map(a_job, range(2 * TOGETHER + 1)))
    tasks.start_soon(process.live)
    await anyio.sleep(5.0)
    process.hosts.refuse()
    await anyio.sleep(GATHER_S * 0.1)
    assert process.queue.together[0] == TOGETHER
    await anyio.sleep(GATHER_S)
    told = len(process.queue.together)
    assert sum(process.queue.together) == 2 * TOGETHER + 1
    assert told <= 4
    process.queue.put(a_job(1000))
    await anyio.sleep(1.0)
    process.hosts.refuse()
    await anyio.sleep(GATHER_S * 0.1)
    assert process.queue.together[told:] == [1]


@virtually
async def test_no_more_than_a_small_part_of_the_jobs_in_hand_waits_to_be_reported(tasks: TaskGroup) -> None:
    process = Process(capacity=4 * PART, silent=True)
    process.queue.put(*map(a_job, range(3 * PART)))
    for number in range(6):  # two end at one second and four at two, long before the others
        ends = {"deadline": 1.0 if number < 2 else 2.0}
        process.queue.put(a_job(1000 + number).model_copy(update=ends))
    began = anyio.current_time()
    tasks.start_soon(process.live)
    await anyio.sleep_until(began + 1.0 + GATHER_S * 0.9)
    assert process.queue.together == []
    await anyio.sleep_until(began + 1.0 + GATHER_S * 1.2)
    assert process.queue.together == [2]
    await anyio.sleep_until(began + 2.0 + GATHER_S * 0.2)
    assert process.queue.together[1] == 4, "they take capacity"


@virtually
async def test_reports_that_the_bus_does_not_take_end_no_job_and_keep_no_capacity(tasks: TaskGroup) -> None:
    """The bus delivers the jobs again."""
    process = Process(capacity=2, silent=True)
    process.queue.put(*map(a_job, range(2)))
    tasks.start_soon(process.live)
    await anyio.sleep(1.0)
    process.queue.down = True
    process.hosts.refuse()
    await anyio.sleep(0.5)
    assert (process.queue.together, process.queue.story) == ([2], [])
    process.queue.down = False
    process.queue.put(a_job(2), a_job(3))
    await anyio.sleep(2.0)
    process.hosts.refuse()
    await anyio.sleep(0.5)
    assert sorted(report.job for report in process.queue.reports) == ["job 2", "job 3"]


# -- the end of its life -----------------------------------------------------------------------------------------------


@virtually
async def test_without_a_job_it_ends(tasks: TaskGroup) -> None:
    process = Process()
    tasks.start_soon(process.live)
    await anyio.sleep(IDLE_S + 3)
    assert process.ended_at == pytest.approx(IDLE_S, abs=1.1)


@virtually
async def test_idle_begins_when_the_last_job_has_ended(tasks: TaskGroup) -> None:
    process = Process(silent=True)
    process.queue.put(a_job())
    tasks.start_soon(process.live)
    await anyio.sleep(DEADLINE + IDLE_S - 2)
    assert len(process.queue.reports) == 1
    assert process.ended_at is None
    await anyio.sleep(5.0)
    assert process.ended_at == pytest.approx(DEADLINE + IDLE_S, abs=1.1)


@virtually
async def test_a_job_in_hand_is_no_idleness(tasks: TaskGroup) -> None:
    process = Process(silent=True)
    process.queue.put(a_job().model_copy(update={"deadline": 2 * IDLE_S}))
    tasks.start_soon(process.live)
    await anyio.sleep(1.5 * IDLE_S)
    process.queue.put(a_job(2))
    await anyio.sleep(0.1)
    assert len(process.hosts.dialled) == 2


@pytest.mark.parametrize(("life", "targets"), [(1.0, 10), (0.5, 5), (0.01, 1)])
def test_after_so_many_targets_it_takes_no_more(monkeypatch: pytest.MonkeyPatch, life: float, targets: int) -> None:
    monkeypatch.setattr(module, "TARGETS_MAX", 10)

    async def story() -> None:
        process = Process(capacity=8, life=life)
        process.queue.put(*map(a_job, range(30)))
        await process.live()
        assert len(process.hosts.dialled) == len(process.queue.reports) == targets

    run_virtually(story, Random(1))  # noqa: S311 - a schedule, not a secret


@virtually
async def test_one_of_half_a_life_is_old_at_half_the_age(tasks: TaskGroup) -> None:
    process = Process(silent=True, life=0.5)
    process.queue.put(a_job().model_copy(update={"deadline": 2 * LIFE_S}))
    tasks.start_soon(process.live)
    await anyio.sleep(LIFE_S / 2 - 2)
    process.queue.put(a_job(2))
    await anyio.sleep(4)
    assert len(process.hosts.dialled) == 2
    process.queue.put(a_job(3))
    process.hosts.refuse()
    await anyio.sleep(1)
    assert len(process.hosts.dialled) == 2
    assert process.ended_at == pytest.approx(LIFE_S / 2 + 2, abs=1.1)


@virtually
async def test_when_it_is_old_it_finishes_what_it_has(tasks: TaskGroup) -> None:
    process = Process()
    tasks.start_soon(process.live)
    for number in range(int(LIFE_S // 30)):
        process.queue.put(a_job(number))
        await anyio.sleep(30.0)
    await anyio.sleep(1.1)
    process.queue.put(a_job(1000))
    await anyio.sleep(5.0)
    assert process.ended_at == pytest.approx(LIFE_S, abs=1.1)
    assert len(process.queue.reports) == LIFE_S // 30
    assert [lease.job.job for lease in process.queue.leases] == ["job 1000"]


@virtually
async def test_drained_it_takes_no_more_and_finishes_what_it_has(tasks: TaskGroup) -> None:
    process = Process(capacity=2, silent=True)
    process.queue.put(*map(a_job, range(5)))
    tasks.start_soon(process.live)
    await anyio.sleep(1.0)
    process.worker.draining.set()
    await anyio.sleep(1.0)
    assert process.ended_at is None
    process.hosts.refuse()
    await anyio.sleep(1.1)
    assert process.ended_at is not None
    assert len(process.queue.reports) == 2
    assert len(process.queue.leases) == 3


@virtually
async def test_cancelled_it_reports_nothing_and_ends_nothing(tasks: TaskGroup) -> None:
    """The bus gives the job to another; that one is refused the permit, so no password is sent twice."""
    process = Process(silent=True)
    process.queue.put(a_job())
    with anyio.CancelScope() as scope:
        tasks.start_soon(_after, 1.0, scope)
        await process.live()
    assert process.hosts.dialled
    assert process.queue.story == []


async def _after(seconds: float, scope: anyio.CancelScope) -> None:
    await anyio.sleep(seconds)
    scope.cancel()


# -- what goes wrong ---------------------------------------------------------------------------------------------------


@virtually
async def test_too_few_descriptors_are_our_own_overload(tasks: TaskGroup) -> None:
    process = Process()
    process.hosts.bug = OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    process.queue.put(a_job(1))
    tasks.start_soon(process.live)
    await anyio.sleep(0.1)
    (report,) = process.queue.reports
    assert isinstance(report, Outcome)
    assert classify(Technology.UNIX, report.evidence).code == "OWN_OVERLOAD"
    assert report.evidence.text == "no file descriptor was left"
    assert report.evidence.submitted, "nobody knows: the safe side"


@virtually
async def test_a_bug_costs_one_outcome_and_says_no_word_of_the_exception(tasks: TaskGroup) -> None:
    process = Process()
    process.hosts.bug = RuntimeError("Pa55word")
    process.queue.put(a_job(1))
    tasks.start_soon(process.live)
    await anyio.sleep(0.1)
    process.hosts.bug = None
    process.queue.put(a_job(2))
    await anyio.sleep(0.1)
    broken, fine = process.queue.reports
    assert isinstance(broken, Outcome)
    assert broken.evidence.signal == named("INTERNAL")
    assert broken.evidence.text == "RuntimeError"
    assert broken.evidence.submitted, "nobody knows: the safe side"
    assert "Pa55word" not in broken.model_dump_json()
    assert isinstance(fine, Outcome)
    assert fine.job == "job 2"
    assert process.queue.story[:2] == ["reported job 1", "ended job 1:1"]


@virtually
async def test_a_report_that_is_not_delivered_ends_no_job(tasks: TaskGroup) -> None:
    process = Process(silent=True)
    process.queue.put(a_job(1))
    tasks.start_soon(process.live)
    await anyio.sleep(1.0)
    process.queue.down = True
    process.hosts.refuse()
    await anyio.sleep(3.0)
    assert process.queue.story == []
    process.queue.down = False
    process.queue.put(a_job(2))
    await anyio.sleep(2.0)
    process.hosts.refuse()
    await anyio.sleep(0.1)
    assert process.queue.story == ["reported job 2", "ended job 2:1"], "and the process lives on"


# -- tokens ------------------------------------------------------------------------------------------------------------


class Pipe:
    """The supervisor's end, as a token desk uses it."""

    def __init__(self) -> None:
        self.asked: list[TokenAsk] = []

    async def send(self, message: TokenAsk) -> None:
        self.asked.append(message)


def a_give(ask: TokenAsk) -> TokenGive:
    return TokenGive(id=ask.id, token=SecretStr(f"token {ask.id}"), generation=ask.id, fresh_for=60)


@virtually
async def test_each_gets_the_token_that_it_asked_for(tasks: TaskGroup) -> None:
    pipe: Any = Pipe()
    desk = TokenDesk(pipe)
    got: dict[str, str] = {}

    async def ask(vault: str) -> None:
        token = await desk.of(vault)(None)
        assert isinstance(token, Token)
        got[vault] = token.value.reveal()

    for vault in "ABC":
        tasks.start_soon(ask, vault)
    await anyio.sleep(1.0)
    by_vault = {asked.vault: asked for asked in pipe.asked}
    for vault in "CBA":
        desk.take(a_give(by_vault[vault]))
    await anyio.sleep(1.0)
    assert got == {vault: f"token {by_vault[vault].id}" for vault in "ABC"}


@virtually
async def test_a_token_for_one_who_has_gone_is_dropped(tasks: TaskGroup) -> None:
    pipe: Any = Pipe()
    desk = TokenDesk(pipe)
    with anyio.move_on_after(1.0):
        await desk.of("V")(3)
    assert [asked.stale for asked in pipe.asked] == [3]
    desk.take(a_give(pipe.asked[0]))
    desk.take(a_give(TokenAsk(id=99, vault="V")))
