"""The supervisor: which scan processes there are and when, what they are told, what is said of them.

On a virtual clock.
The processes are played by the test; `tests/acceptance` has the real ones.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from random import Random
from typing import Any, cast

import anyio
import anyio.lowlevel
import pytest
from anyio.abc import Process, TaskGroup
from pydantic import SecretStr

from appliance.bus import ApplianceBus, BusUnavailable
from appliance.bus.credentials import BusLogin
from appliance.channel import Busy, Channel, Drain, Hello, Message, TokenAsk, TokenGive
from appliance.contract import Failure, Heartbeat, RunNotice, ZoneOrders, named
from appliance.contract.fleet import WORTH
from appliance.login.dial import Sources
from appliance.policy import Policy
from appliance.questions import VaultAnswer, VaultQuery, VaultQueryKind
from appliance.supervisor import (
    END_WAIT_S,
    LONGEST_RESPAWN_S,
    POLL_S,
    RESPAWN_S,
    STEADY_S,
    TELL_WAIT_S,
    Admission,
    Admissions,
    Identity,
    Supervisor,
)
from appliance.vault.definition import Hidden, VaultAccess, VaultLogin
from tests.simulation.virtual_loop import run as run_virtually

NETWORKS = ("10.0.0.0/8",)
LOGIN = VaultLogin(VaultAccess(title="Vault", url="https://vault.example"), Hidden("Pa55word"))
ADMISSION = Admission(Policy.of(NETWORKS, "tofu", {"Vault": "https://vault.example"}), NETWORKS, (LOGIN,))
KILLED = -9


class Child:
    """A scan process and both ends of its channel: it ends when it is drained or killed, or when the test ends it."""

    def __init__(self, *, obedient: bool = True, deaf: bool = False) -> None:
        self.heard: list[Message] = []
        self.returncode: int | None = None
        self.began = anyio.current_time()
        self.closed = False
        self._obedient = obedient
        self._deaf = deaf
        self._ended = anyio.Event()
        self._says, self._said = anyio.create_memory_object_stream[Message](100)

    # What the supervisor sees.

    async def wait(self) -> int:
        await self._ended.wait()
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        self.end(-number)

    async def send(self, message: Message) -> None:
        if self._deaf:
            await anyio.sleep_forever()
        if self.returncode is not None:
            raise anyio.BrokenResourceError
        await anyio.lowlevel.checkpoint()
        self.heard.append(message)
        if isinstance(message, Drain) and self._obedient:
            self.end(0)

    async def receive(self) -> Message | None:
        try:
            return await self._said.receive()
        except anyio.EndOfStream:
            return None

    async def aclose(self) -> None:
        await anyio.lowlevel.checkpoint()
        self.closed = True
        self._said.close()

    # What the test does.

    def end(self, code: int) -> None:
        if self.returncode is None:
            self.returncode = code
            self._ended.set()
            self.close()

    def close(self) -> None:
        self._says.close()

    async def say(self, message: Message) -> None:
        await self._says.send(message)

    @property
    def alive(self) -> bool:
        return self.returncode is None

    @property
    def drained(self) -> bool:
        return Drain() in self.heard

    def last(self) -> Message:
        return self.heard[-1]


class Bus:
    """The part of `ApplianceBus` that a supervisor uses."""

    def __init__(self) -> None:
        self.beats: list[Heartbeat] = []
        self.jobs = 0
        self.targets = 1000
        self.down = False
        self.notices, self._changes = anyio.create_memory_object_stream[Mapping[str, RunNotice]](100)
        self.orders_given, self._orders = anyio.create_memory_object_stream[ZoneOrders | None](100)
        self.orders_given.send_nowait(None)

    def announce(self, *runs: str, paused: tuple[str, ...] = (), cut: bool = False) -> None:
        """From now on these runs are open, and those of them are paused; or cut off."""
        zone = {"zone": "default", "vaults": ("Vault",), "targets": self.targets}
        self.notices.send_nowait(
            {run: RunNotice(run=run, paused=run in paused, cut=cut and run in paused, **zone) for run in runs}
        )

    async def heartbeat(self, beat: Heartbeat) -> None:
        if self.down:
            raise BusUnavailable("no server answers")
        self.beats.append(beat)

    @asynccontextmanager
    async def orders(self) -> AsyncIterator[AsyncIterator[ZoneOrders | None]]:
        yield cast("AsyncIterator[ZoneOrders | None]", self._orders)

    @asynccontextmanager
    async def runs(self) -> AsyncIterator[AsyncIterator[Mapping[str, RunNotice]]]:
        yield cast("AsyncIterator[Mapping[str, RunNotice]]", self._changes)

    async def unended(self, run: str) -> int:
        if self.down:
            raise BusUnavailable("no server answers")
        return self.jobs if run else 0

    @asynccontextmanager
    async def vault_queries(self, answer: Callable[[VaultQuery], Awaitable[VaultAnswer]]) -> AsyncIterator[None]:
        self.ask = answer
        yield

    def close(self) -> None:
        self.notices.close()
        self._changes.close()
        self.orders_given.close()
        self._orders.close()


class Appliance:
    """A supervisor, its bus and its children."""

    def __init__(self, *, processes: int = 1, capacity: int = 8, admissions: Admissions | None = None) -> None:
        self.bus = Bus()
        self.children: list[Child] = []
        self.make: Callable[[], Child] = Child
        self.start_takes = 0.0
        sources = Sources("10.0.0.5", "2001:db8::5")
        where = ("a", "default", BusLogin(url="nats://127.0.0.1:4222", seed=SecretStr("SUSEED")))
        identity = Identity(*where, capacity, processes, sources, fast_path=False)
        self.supervisor = Supervisor(
            identity,
            cast("ApplianceBus", self.bus),
            admissions or Admissions(ADMISSION),
            clock=anyio.current_time,
            start=self._start,
        )
        self.ended = False

    async def _start(self) -> tuple[Process, Channel]:
        await anyio.sleep(self.start_takes)
        child = self.make()
        self.children.append(child)
        return cast("Process", child), cast("Channel", child)

    async def serve(self) -> None:
        await self.supervisor.serve()
        self.ended = True

    @property
    def alive(self) -> list[Child]:
        return [child for child in self.children if child.alive]


def with_appliance(**options: Any) -> Callable[[Callable[..., Awaitable[None]]], Callable[[], None]]:
    def decorate(story: Callable[[Appliance, TaskGroup], Awaitable[None]]) -> Callable[[], None]:
        def test() -> None:
            async def whole() -> None:
                appliance = Appliance(**options)
                try:
                    async with anyio.create_task_group() as tasks:
                        tasks.start_soon(appliance.serve)
                        await anyio.sleep(0.001)
                        await story(appliance, tasks)
                        tasks.cancel_scope.cancel()
                finally:
                    appliance.bus.close()
                    for child in appliance.children:
                        child.close()
                assert not appliance.alive, "a scan process outlived its supervisor"
                assert all(child.closed for child in appliance.children)

            run_virtually(whole, Random(1))  # noqa: S311 - a schedule, not a secret

        return test

    return decorate


# -- one process per core and open run ---------------------------------------------------------------------------------


@with_appliance(processes=2, capacity=9)
async def test_every_open_run_has_its_processes_and_each_its_greeting(appliance: Appliance, tasks: TaskGroup) -> None:
    appliance.bus.announce("r1", "r2")
    await anyio.sleep(0.1)
    hellos = [child.heard[0] for child in appliance.children]
    assert all(isinstance(hello, Hello) and hello.capacity == 4 for hello in hellos)
    assert {(hello.source_v4, hello.source_v6) for hello in cast("list[Hello]", hellos)} == {
        ("10.0.0.5", "2001:db8::5")
    }
    assert {hello.fast_path for hello in cast("list[Hello]", hellos)} == {False}
    assert sorted(cast("Hello", hello).run for hello in hellos) == ["r1", "r1", "r2", "r2"]
    assert "Pa55word" not in "".join(hello.model_dump_json() for hello in hellos), "the login stays with the supervisor"


@pytest.mark.parametrize(
    ("targets", "capacity", "started"),
    [(0, 256, 1), (1, 256, 1), (WORTH, 256, 1), (WORTH + 1, 256, 2), (8, 32, 1), (9, 32, 2), (10**7, 256, 4)],
)
def test_a_run_of_few_targets_has_as_many_processes_as_it_is_worth(targets: int, capacity: int, started: int) -> None:
    @with_appliance(processes=4, capacity=capacity)
    async def story(appliance: Appliance, tasks: TaskGroup) -> None:
        appliance.bus.targets = targets
        appliance.bus.announce("r")
        await anyio.sleep(0.1)
        assert len(appliance.children) == started

    story()


def lives(children: list[Child]) -> list[float]:
    return [cast("Hello", child.heard[0]).life for child in children]


@with_appliance(processes=4)
async def test_what_was_started_together_does_not_end_together(appliance: Appliance, tasks: TaskGroup) -> None:
    appliance.bus.jobs = 100
    appliance.bus.announce("r")
    await anyio.sleep(0.1)
    assert sorted(lives(appliance.children)) == [0.25, 0.5, 0.75, 1.0]
    appliance.children[0].end(0)
    await anyio.sleep(0.1)
    assert lives(appliance.children[4:]) == [1.0], "a successor is by itself"
    for child in appliance.alive:
        child.end(KILLED)
    await anyio.sleep(RESPAWN_S + 0.1)
    assert sorted(lives(appliance.alive)) == [0.25, 0.5, 0.75, 1.0], "all have crashed at once"
    appliance.bus.jobs = 0
    for child in appliance.alive:
        child.end(0)
    await anyio.sleep(2 * POLL_S)
    appliance.bus.jobs = 100
    await anyio.sleep(POLL_S + 0.1)
    assert sorted(lives(appliance.alive)) == [0.25, 0.5, 0.75, 1.0], "all were idle, and jobs have come"


@with_appliance()
async def test_an_idle_process_is_replaced_when_there_are_jobs(appliance: Appliance, tasks: TaskGroup) -> None:
    appliance.bus.announce("r")
    await anyio.sleep(0.1)
    appliance.children[0].end(0)
    await anyio.sleep(10.0)
    assert len(appliance.children) == 1
    appliance.bus.jobs = 3
    await anyio.sleep(POLL_S + 0.1)
    assert len(appliance.children) == 2


@with_appliance()
async def test_a_crashed_process_is_replaced_at_once_jobs_or_not(appliance: Appliance, tasks: TaskGroup) -> None:
    appliance.bus.announce("r")
    await anyio.sleep(0.1)
    appliance.children[0].end(KILLED)
    await anyio.sleep(RESPAWN_S + 0.1)
    assert len(appliance.alive) == 1


@with_appliance()
async def test_a_process_that_cannot_start_is_tried_ever_more_seldom(appliance: Appliance, tasks: TaskGroup) -> None:
    def stillborn() -> Child:
        child = Child()
        child.end(1)
        return child

    appliance.make = stillborn
    appliance.bus.announce("r")
    await anyio.sleep(60.0)
    gaps = [b.began - a.began for a, b in zip(appliance.children, appliance.children[1:], strict=False)]
    assert gaps[0] == pytest.approx(RESPAWN_S, abs=0.1)
    assert gaps[-1] == pytest.approx(LONGEST_RESPAWN_S, abs=0.1)
    appliance.make = Child
    await anyio.sleep(LONGEST_RESPAWN_S + STEADY_S)
    appliance.alive[0].end(1)
    await anyio.sleep(RESPAWN_S + 0.1)
    assert len(appliance.alive) == 1, "one that had lived for a while is replaced at once"


@with_appliance()
async def test_one_that_closes_its_channel_and_lives_on_is_ended(appliance: Appliance, tasks: TaskGroup) -> None:
    appliance.make = lambda: Child(obedient=False)
    appliance.bus.announce("r")
    await anyio.sleep(0.1)
    appliance.children[0].close()
    await anyio.sleep(END_WAIT_S + RESPAWN_S + 0.1)
    assert appliance.children[0].returncode == KILLED
    assert len(appliance.alive) == 1


@with_appliance()
async def test_a_token_that_is_awaited_holds_up_no_replacement(appliance: Appliance, tasks: TaskGroup) -> None:
    async def never(login: VaultLogin, stale: int | None) -> None:
        assert (login, stale) == (LOGIN, None)
        await anyio.sleep_forever()

    appliance.bus.announce("r")
    await anyio.sleep(0.1)
    assert appliance.supervisor._vaults is not None
    appliance.supervisor._vaults.token = never  # type: ignore[method-assign,assignment]
    await appliance.children[0].say(TokenAsk(id=1, vault="Vault"))
    await anyio.sleep(0.1)
    appliance.children[0].end(KILLED)
    await anyio.sleep(RESPAWN_S + 0.1)
    assert len(appliance.alive) == 1


# -- admission ---------------------------------------------------------------------------------------------------------


@with_appliance(admissions=Admissions())
async def test_a_run_is_served_from_its_admission_on(appliance: Appliance, tasks: TaskGroup) -> None:
    appliance.bus.announce("r", "never admitted")
    await anyio.sleep(5.0)
    assert not appliance.children
    appliance.supervisor.admissions.admit("r", ADMISSION)
    await anyio.sleep(0.1)
    assert [cast("Hello", child.heard[0]).run for child in appliance.children] == ["r"]


@with_appliance()
async def test_a_vault_that_was_not_admitted_gives_no_token(appliance: Appliance, tasks: TaskGroup) -> None:
    appliance.bus.announce("r")
    await anyio.sleep(0.1)
    await appliance.children[0].say(TokenAsk(id=5, vault="Another"))
    await anyio.sleep(0.1)
    given = appliance.children[0].last()
    assert isinstance(given, TokenGive)
    assert given.id == 5
    refusal = given.result()
    assert isinstance(refusal, Failure)
    assert refusal.signal == named("REFUSED_BY_POLICY")
    query = VaultQuery(run="r", kind=VaultQueryKind.CHECK, vault="Another")
    assert (await appliance.bus.ask(query)).reason == "REFUSED_BY_POLICY"


# -- pause and end of a run --------------------------------------------------------------------------------------------


@with_appliance()
async def test_a_paused_run_keeps_no_process_and_loses_no_job(appliance: Appliance, tasks: TaskGroup) -> None:
    """Drained, not killed: a killed job's permit would count as a failed logon."""
    appliance.make = lambda: Child(obedient=False)
    appliance.bus.announce("r")
    await anyio.sleep(0.1)
    child = appliance.children[0]
    await child.say(Busy(in_flight=1))
    appliance.bus.announce("r", paused=("r",))
    await anyio.sleep(3 * END_WAIT_S)
    assert child.drained
    assert child.alive, "it has a job in hand, whose deadline ends it"
    await child.say(TokenAsk(id=1, vault="Another"))
    await anyio.sleep(0.1)
    assert isinstance(child.last(), TokenGive), "and may need a token to finish it"
    child.end(0)
    appliance.bus.jobs = 5
    await anyio.sleep(10.0)
    assert not appliance.alive
    appliance.bus.announce("r")
    await anyio.sleep(POLL_S + 0.1)
    assert len(appliance.alive) == 1


@with_appliance()
async def test_an_appliance_that_is_drained_by_order_stays_and_takes_nothing(
    appliance: Appliance, tasks: TaskGroup
) -> None:
    appliance.bus.jobs = 5
    appliance.bus.announce("r")
    await anyio.sleep(0.1)
    child = appliance.children[0]
    await child.say(Busy(in_flight=1))
    appliance.bus.orders_given.send_nowait(ZoneOrders(zone="default", appliances=("a",)))
    await anyio.sleep(0.1)
    assert child.drained
    assert appliance.bus.beats[-1].draining
    child.end(0)
    appliance.bus.announce("r", "later")
    await anyio.sleep(10.0)
    assert (appliance.alive, appliance.ended) == ([], False)
    appliance.bus.orders_given.send_nowait(None)  # as of a bus that has lost its store
    await anyio.sleep(10.0)
    assert (appliance.alive, appliance.bus.beats[-1].draining) == ([], True)
    appliance.bus.orders_given.send_nowait(ZoneOrders(zone="default", appliances=("b",)))
    await anyio.sleep(POLL_S + 0.1)
    assert len(appliance.alive) == 2, "both runs are served again"
    beat = appliance.bus.beats[-1]
    assert (beat.draining, beat.reads) == (False, (1, 2))


@with_appliance()
async def test_a_closed_run_ends_its_processes(appliance: Appliance, tasks: TaskGroup) -> None:
    appliance.make = lambda: Child(obedient=False)
    appliance.bus.announce("r", "other")
    await anyio.sleep(0.1)
    appliance.bus.announce("other")
    await anyio.sleep(END_WAIT_S - 0.1)
    assert len(appliance.alive) == 2
    await anyio.sleep(0.2)
    assert [cast("Hello", child.heard[0]).run for child in appliance.alive] == ["other"]


@with_appliance()
async def test_a_run_that_is_paused_while_a_process_starts_keeps_none(appliance: Appliance, tasks: TaskGroup) -> None:
    appliance.start_takes = 2.0
    appliance.bus.announce("r")
    await anyio.sleep(1.0)
    appliance.bus.announce("r", paused=("r",))
    await anyio.sleep(3.0)
    assert [child.drained for child in appliance.children] == [True]
    assert not appliance.alive


@with_appliance()
async def test_a_run_whose_window_is_over_is_cut_off(appliance: Appliance, tasks: TaskGroup) -> None:
    appliance.make = lambda: Child(obedient=False)
    appliance.bus.announce("r")
    await anyio.sleep(0.1)
    child = appliance.children[0]
    appliance.bus.announce("r", paused=("r",))
    await anyio.sleep(0.1)
    assert [message.cut for message in child.heard if isinstance(message, Drain)] == [False]
    appliance.bus.announce("r", paused=("r",), cut=True)
    await anyio.sleep(0.1)
    assert [message.cut for message in child.heard if isinstance(message, Drain)] == [False, True]
    child.end(0)


# -- the supervisor's own end ------------------------------------------------------------------------------------------


@with_appliance(processes=2)
async def test_drained_it_waits_for_its_processes(appliance: Appliance, tasks: TaskGroup) -> None:
    appliance.make = lambda: Child(obedient=False)
    appliance.bus.announce("r")
    await anyio.sleep(0.1)
    appliance.supervisor.draining.set()
    await anyio.sleep(20.0)
    assert all(child.drained for child in appliance.children)
    assert not appliance.ended
    appliance.children[0].end(0)
    await anyio.sleep(1.0)
    assert not appliance.ended
    appliance.children[1].end(KILLED)
    await anyio.sleep(1.0)
    assert appliance.ended
    assert len(appliance.children) == 2, "nobody is replaced any more"
    assert appliance.bus.beats[-1].draining


@with_appliance(processes=2)
async def test_drained_while_a_process_starts(appliance: Appliance, tasks: TaskGroup) -> None:
    """One process is there already; the other one is told as soon as it can hear."""
    appliance.make = lambda: Child(obedient=len(appliance.children) == 1)
    appliance.bus.announce("r")
    await anyio.sleep(0.1)
    appliance.children[1].end(KILLED)
    appliance.start_takes = 2.0
    await anyio.sleep(RESPAWN_S + 0.1)
    appliance.supervisor.draining.set()
    await anyio.sleep(3.0)
    assert len(appliance.children) == 3
    assert appliance.children[2].drained
    appliance.children[0].end(0)
    appliance.children[2].end(0)
    await anyio.sleep(1.0)
    assert appliance.ended


@with_appliance()
async def test_cancelled_while_a_process_starts_it_leaves_none(appliance: Appliance, tasks: TaskGroup) -> None:
    appliance.start_takes = 2.0
    appliance.bus.announce("r")
    await anyio.sleep(1.0)
    tasks.cancel_scope.cancel()


@with_appliance()
async def test_one_that_reads_nothing_holds_up_no_end(appliance: Appliance, tasks: TaskGroup) -> None:
    appliance.make = lambda: Child(deaf=True)
    appliance.bus.announce("r")
    await anyio.sleep(1.0)
    began = anyio.current_time()
    appliance.bus.announce()
    await anyio.sleep(END_WAIT_S + TELL_WAIT_S + 0.1)
    assert appliance.children[0].returncode == KILLED
    assert anyio.current_time() - began < 2 * END_WAIT_S


# -- heartbeat ---------------------------------------------------------------------------------------------------------


@with_appliance(processes=2)
async def test_the_heartbeat_says_what_is_in_hand(appliance: Appliance, tasks: TaskGroup) -> None:
    appliance.bus.announce("r")
    await anyio.sleep(0.1)
    assert appliance.bus.beats[-1].pulling == 0, "processes have been started, and none takes jobs yet"
    for child, count, lag in zip(appliance.children, (3, 4), (120.0, 7.5), strict=True):
        await child.say(Busy(in_flight=count, loop_lag_ms=lag))
    await anyio.sleep(3.1)
    beat = appliance.bus.beats[-1]
    assert (beat.pulling, beat.loop_lag_ms) == (2, 120.0)
    assert (beat.appliance, beat.zone, beat.capacity, beat.in_flight, beat.runs) == ("a", "default", 8, 7, ("r",))
    assert not beat.draining


@with_appliance()
async def test_a_bus_that_is_away_stops_nothing(appliance: Appliance, tasks: TaskGroup) -> None:
    appliance.bus.announce("r")
    appliance.bus.down = True
    await anyio.sleep(0.1)
    appliance.children[0].end(0)
    await anyio.sleep(10.0)
    appliance.bus.down = False
    appliance.bus.jobs = 1
    await anyio.sleep(4.0)
    assert len(appliance.alive) == 1
    assert appliance.bus.beats[-1].sent_at > 10.0
