"""Places and rates: small cases by hand, and what must hold of all."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.capacity import schedule
from orchestrator.capacity.schedule import Block, at_rate, queue_of, with_places

BLOCKS = st.lists(
    st.tuples(st.floats(0.001, 60.0), st.floats(0.0, 10.0)).map(lambda p: Block(p[0], p[0] + p[1])), min_size=1
)


def same(seconds: float, pause: float = 0.0) -> tuple[Block, ...]:
    return (Block(seconds, seconds + pause),)


@pytest.mark.parametrize(
    ("seconds", "count", "places", "expected"),
    [(2.0, 1, 5, 2.0), (2.0, 5, 5, 2.0), (2.0, 6, 5, 4.0), (2.0, 10, 1, 20.0), (0.5, 8, 3, 1.5)],
)
def test_equal_blocks_go_in_rounds(seconds: float, count: int, places: int, expected: float) -> None:
    assert with_places(queue_of([(same(seconds), count)]), places) == pytest.approx(expected)


def test_a_pause_holds_no_place_and_puts_off_the_outcome() -> None:
    queue = queue_of([(same(1.0, pause=3.0), 4)])
    assert with_places(queue, 2) == pytest.approx(2.0 + 3.0)
    assert queue.slowest == 4.0


def test_at_a_rate_the_last_begins_at_the_end() -> None:
    assert at_rate(queue_of([(same(0.25), 100)]), 10.0) == pytest.approx(10.25)


def test_a_run_has_the_mix_of_what_was_measured_whatever_its_size() -> None:
    measured = [Block(1.0, 1.0)] * 19 + [Block(30.0, 30.0)]
    for count in (20, 100, 3 * schedule.MOST):
        blocks = queue_of([(measured, count)]).blocks
        assert sum(block.busy > 1 for block in blocks) == pytest.approx(len(blocks) / 20, abs=1)


def test_parts_keep_their_numbers() -> None:
    queue = queue_of([(same(1.0), 30), (same(2.0), 10)])
    assert (queue.count, queue.busy_mean) == (40, 1.25)
    assert [block.busy for block in queue.blocks] != sorted(block.busy for block in queue.blocks)


def test_a_long_run_takes_as_long_as_its_work_fills_the_places() -> None:
    measured = [Block(0.1 * n, 0.1 * n) for n in range(1, 11)]
    count = 5 * schedule.MOST
    assert with_places(queue_of([(measured, count)]), 100) == pytest.approx(count * 0.55 / 100, rel=0.01)


@settings(deadline=None)
@given(BLOCKS, st.integers(1, 300), st.integers(1, 50))
def test_more_places_are_never_slower(measured: list[Block], count: int, places: int) -> None:
    queue = queue_of([(measured, count)])
    assert with_places(queue, places + 1) <= with_places(queue, places)


@settings(deadline=None)
@given(BLOCKS, st.integers(1, 300), st.integers(1, 50))
def test_no_run_is_shorter_than_its_work_or_its_slowest_target(measured: list[Block], count: int, places: int) -> None:
    queue = queue_of([(measured, count)])
    over = with_places(queue, places)
    assert over >= queue.slowest
    assert over * places >= count * queue.busy_mean * (1 - 1e-9)


@settings(deadline=None)
@given(BLOCKS, st.integers(1, 300), st.floats(0.1, 1000.0))
def test_a_higher_rate_is_never_slower(measured: list[Block], count: int, per_s: float) -> None:
    queue = queue_of([(measured, count)])
    assert at_rate(queue, per_s * 1.5) <= at_rate(queue, per_s)
