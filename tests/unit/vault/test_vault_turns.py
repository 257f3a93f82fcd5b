"""Requests and jobs that wait for a vault's rate: in order, and nothing lost with who is cancelled."""

from __future__ import annotations

import anyio
import pytest
from anyio.lowlevel import checkpoint

from appliance.contract import Failure
from appliance.vault.entry import LEAST_WAITING, Entry
from appliance.vault.failures import reason_of
from appliance.vault.pace import Pace
from appliance.vault.turns import PACED, Rank, Turns


class Vault:
    """Its rate is what the test says."""

    def __init__(self, rate: float, room: int = 1000) -> None:
        self.pace = Pace(lambda: 0.0)
        self.now = 0.0
        self.turns = Turns(self.pace, lambda: self.now)
        self.entry = Entry(self.pace, self.turns, lambda: self.now, room)
        self.went: list[str] = []
        if rate:
            self.pace.answered(self.pace.sent(0.0), 0.0)
            self.pace.turned_away(self.pace.sent(0.0), 0.0, 0.0)
            self.pace.rate, self.pace._searching = rate, False

    async def ask(self, name: str, rank: Rank = Rank.NOBODY_WAITS) -> None:
        turn = self.turns.free() or await self.turns.take(rank)
        self.went.append(f"{name} late" if isinstance(turn, Failure) else name)

    async def passes(self, seconds: float) -> None:
        """Timers are the loop's, whose clock nobody turns: so they are told."""
        end = self.now + seconds
        while self.now < end:
            self.now = min(end, self.now + 0.01)
            self.turns._look()
            await settled()


async def settled() -> None:
    for _ in range(6):
        await checkpoint()


async def test_first_come_first_served_but_for_those_who_are_waited_for() -> None:
    vault = Vault(10.0)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(vault.ask, "a")
        await settled()
        for name, rank in (
            ("b", Rank.NOBODY_WAITS),
            ("c", Rank.NOBODY_WAITS),
            ("d", Rank.TARGET_WAITS),
            ("e", Rank.ALL_WAIT),
            ("f", Rank.AGAIN),
            ("g", Rank.TARGET_WAITS),
        ):
            tasks.start_soon(vault.ask, name, rank)
            await settled()
        assert vault.went == ["a"]
        await vault.passes(1.0)
    assert vault.went == list("afedgbc")


async def test_the_rate_is_kept() -> None:
    vault = Vault(10.0)
    async with anyio.create_task_group() as tasks:
        for n in range(40):
            tasks.start_soon(vault.ask, str(n), Rank.ALL_WAIT)
        await vault.passes(2.0)
        assert 19 <= len(vault.went) <= 22
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize("woken", [False, True])
async def test_who_is_cancelled_takes_no_turn(woken: bool) -> None:
    """Also one whose turn has come in the same moment."""
    vault = Vault(10.0)
    await vault.ask("first")
    scope = anyio.CancelScope()

    async def give_up() -> None:
        with scope:
            await vault.ask("gone")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(give_up)
        await settled()
        tasks.start_soon(vault.ask, "next")
        await settled()
        vault.now = vault.pace.due(0.0) if woken else 0.0
        vault.turns._look()
        scope.cancel()
        await settled()
        # Where its turn and the cancellation come together, either may win.
        await vault.passes(0.05 if woken and "gone" not in vault.went else 0.15)
        assert vault.went[-1] == "next"


async def test_without_a_limit_nobody_waits() -> None:
    vault = Vault(0.0)
    assert vault.turns.free() is not None
    done = await vault.entry.enter()
    assert callable(done)
    done()


async def test_jobs_enter_as_the_rate_has_room_for_what_they_ask() -> None:
    """At 10 a second ten may be on their way; each that asks or ends lets the next one in."""
    vault = Vault(10.0)
    entered: list[int] = []
    done = {}

    async def job(number: int) -> None:
        found = await vault.entry.enter()
        assert callable(found)
        entered.append(number)
        done[number] = found

    async with anyio.create_task_group() as tasks:
        for number in range(14):
            tasks.start_soon(job, number)
            await settled()
        assert entered == list(range(10))
        done[3]()
        done[3]()
        await settled()
        assert entered == list(range(11))
        for number in range(4):  # now requests wait as well, and nobody enters for them
            tasks.start_soon(vault.ask, str(number))
        await settled()
        done[0]()
        await settled()
        assert entered == list(range(11))
        for number in (1, 2, 4, 5):
            done[number]()
        await vault.passes(0.4)
        await settled()
        assert entered == list(range(14))


async def test_a_job_that_never_asks_keeps_nobody_for_long() -> None:
    vault = Vault(1.0)
    first = await vault.entry.enter()
    assert callable(first)
    with anyio.fail_after(5):
        vault.now += 2.0  # whose target is silent
        assert callable(await vault.entry.enter())


async def test_more_jobs_than_can_wait_are_told_to_come_again() -> None:
    vault = Vault(0.5, room=1000)
    ends: list[object] = []

    async def job() -> None:
        ends.append(await vault.entry.enter())

    async with anyio.create_task_group() as tasks:
        for _ in range(LEAST_WAITING + 3):
            tasks.start_soon(job)
        await settled()
        late = [end for end in ends if isinstance(end, Failure)]
        assert [(reason_of(end), PACED in end.facts) for end in late] == [("VAULT_RATE_LIMITED", True)] * 2
        tasks.cancel_scope.cancel()
    assert vault.entry._places.waiting == 0


async def test_while_the_rate_is_but_a_guess_all_wait_for_whom_there_is_room() -> None:
    vault = Vault(0.5)
    vault.pace._searching = True
    ends: list[object] = []

    async def job() -> None:
        ends.append(await vault.entry.enter())

    async with anyio.create_task_group() as tasks:
        for _ in range(LEAST_WAITING * 3):
            tasks.start_soon(job)
        await settled()
        assert not [end for end in ends if isinstance(end, Failure)]
        tasks.cancel_scope.cancel()


async def test_other_vaults_keep_their_places() -> None:
    vault = Vault(100.0, room=2)
    ends: list[object] = []

    async def job() -> None:
        ends.append(await vault.entry.enter())

    async with anyio.create_task_group() as tasks:
        for _ in range(105):
            tasks.start_soon(job)
        await settled()
        assert sum(isinstance(end, Failure) for end in ends) == 3
        tasks.cancel_scope.cancel()


async def test_who_waits_is_called_off_but_for_second_looks() -> None:
    """A run that is paused waits for no vault's rate; without a second look the account's breaker would open."""
    vault = Vault(10.0)
    entered: list[object] = []

    async def look_again() -> None:
        turn = await vault.turns.take(Rank.TARGET_WAITS, whatever=True)
        vault.went.append("late" if isinstance(turn, Failure) else "second look")

    async def job() -> None:
        entered.append(await vault.entry.enter())

    async with anyio.create_task_group() as tasks:
        await vault.ask("first")
        tasks.start_soon(vault.ask, "waits", Rank.TARGET_WAITS)
        tasks.start_soon(look_again)
        for _ in range(14):
            tasks.start_soon(job)
        await settled()
        before = len(entered)
        assert before < 14
        vault.entry.call_off()
        vault.turns.call_off()
        await settled()
        assert vault.went == ["first", "waits late"]
        assert len(entered) == 14
        await vault.ask("comes too late")
        assert vault.went[-1] == "comes too late late"
        entered.append(await vault.entry.enter())
        await vault.passes(0.3)
    assert vault.went[-1] == "second look"
    for failure in entered[before:]:
        assert isinstance(failure, Failure)
        assert (reason_of(failure), failure.facts[PACED]) == ("VAULT_RATE_LIMITED", "yes")
