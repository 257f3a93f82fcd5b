"""The phase ledger: contiguous, so that its phases add up to the attempt, whatever the order they come in."""

from __future__ import annotations

from functools import partial

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.contract import Phase, PhaseTime
from appliance.phases import CutOff, PhaseLedger, deadline, off_the_clock


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_entering_a_phase_ends_the_one_before() -> None:
    clock = Clock()
    ledger = PhaseLedger(clock)
    ledger.enter(Phase.TCP)
    clock.now += 0.25
    ledger.enter(Phase.NEGOTIATE)
    assert ledger.current is Phase.NEGOTIATE
    clock.now += 1.5
    assert ledger.finish() == (PhaseTime(phase=Phase.TCP, ms=250.0), PhaseTime(phase=Phase.NEGOTIATE, ms=1500.0))


def test_a_phase_entered_again_adds_to_its_first_entry_and_keeps_its_place() -> None:
    clock = Clock()
    ledger = PhaseLedger(clock)
    for phase, seconds in ((Phase.TCP, 1), (Phase.KEX, 2), (Phase.TCP, 4), (Phase.KEX, 8)):
        ledger.enter(phase)
        clock.now += seconds
    assert [(p.phase, p.ms) for p in ledger.finish()] == [(Phase.TCP, 5000.0), (Phase.KEX, 10000.0)]


def test_no_phase_before_the_first_and_after_the_last() -> None:
    ledger = PhaseLedger(Clock())
    with pytest.raises(LookupError):
        _ = ledger.current
    assert ledger.finish() == ()
    ledger.enter(Phase.AUTH)
    ledger.finish()
    with pytest.raises(LookupError):
        _ = ledger.current


def test_time_between_finish_and_the_next_entry_is_nobodys() -> None:
    clock = Clock()
    ledger = PhaseLedger(clock)
    ledger.enter(Phase.TCP)
    clock.now += 1
    ledger.finish()
    clock.now += 100
    ledger.enter(Phase.LOGOFF)
    clock.now += 1
    assert {p.phase: p.ms for p in ledger.finish()} == {Phase.TCP: 1000.0, Phase.LOGOFF: 1000.0}


@given(st.lists(st.tuples(st.sampled_from(Phase), st.floats(0, 60)), min_size=1, max_size=30))
def test_the_phases_add_up_to_the_total(steps: list[tuple[Phase, float]]) -> None:
    clock = Clock()
    ledger = PhaseLedger(clock)
    began = clock.now
    for phase, seconds in steps:
        ledger.enter(phase)
        clock.now += seconds
    times = ledger.finish()
    # Each of the phases is rounded to a microsecond.
    assert sum(t.ms for t in times) == pytest.approx((clock.now - began) * 1000, abs=0.0006 * len(times))
    assert [t.phase for t in times] == list(dict.fromkeys(phase for phase, _ in steps))


async def test_the_deadline_ends_what_hangs_and_stands_still_for_who_is_off_the_clock() -> None:
    ends = []
    began = anyio.current_time()
    with deadline(0.2):
        with off_the_clock():
            await anyio.sleep(0.3)
        ends.append("waited")
        with off_the_clock(), off_the_clock():
            await anyio.sleep(0.1)
        ends.append("waited twice")
        await anyio.sleep(10)
        ends.append("hung")
    assert ends == ["waited", "waited twice"]
    assert 0.55 <= anyio.current_time() - began < 5


async def test_who_has_no_deadline_may_be_off_the_clock() -> None:
    with deadline(1.0):
        pass
    with off_the_clock():
        await anyio.sleep(0.001)


async def test_a_cut_ends_what_is_under_way_and_what_begins_later() -> None:
    """Whether its clock runs or stands still."""
    cut, ended = CutOff(), list[str]()

    async def attempt(name: str, *, waits: bool) -> None:
        with deadline(60.0, cut):
            if waits:
                with off_the_clock():
                    await anyio.sleep_forever()
            await anyio.sleep_forever()
        ended.append(name)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(partial(attempt, "one", waits=False))
            tasks.start_soon(partial(attempt, "two", waits=True))
            await anyio.sleep(0.01)
            assert ended == []
            cut.strike()
        await attempt("three", waits=False)
    assert sorted(ended) == ["one", "three", "two"]
