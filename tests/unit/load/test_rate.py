"""Rates and durations as users write them, and when arrivals are due."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.load.rate import MOST_ARRIVALS, Rate, Schedule, parse_duration

rates = st.floats(0.1, 2000.0)
schedules = st.builds(Schedule, st.builds(Rate, rates, rates), st.floats(1.0, 30.0))


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("200/s", 200.0, 200.0),
        (" 200 / s ", 200.0, 200.0),
        ("90/min", 1.5, 1.5),
        ("3600/h", 1.0, 1.0),
        ("0.5/s", 0.5, 0.5),
        ("50/s..500/s", 50.0, 500.0),
        ("500/s .. 50/s", 500.0, 50.0),
    ],
)
def test_a_rate(text: str, first: float, last: float) -> None:
    assert Rate.parse(text) == Rate(first, last)


@pytest.mark.parametrize(
    "text", ["", "200", "200/d", "x/s", "0/s", "100001/s", "-5/s", "5/s..", "..5/s", "1/s..2/s..3/s"]
)
def test_what_is_no_rate_says_what_to_write(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no rate; (write arrivals per second|it must be more than 0/s)"):
        Rate.parse(text)


def test_a_rate_is_written_as_it_is_read() -> None:
    for text in ("200/s", "50/s..500/s", "1.5/s"):
        assert str(Rate.parse(text)) == text


@pytest.mark.parametrize(("text", "seconds"), [("60s", 60.0), ("10m", 600.0), ("1h", 3600.0), ("1.5s", 1.5)])
def test_a_duration(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "60", "0s", "0.5s", "25h", "1d", "sixty"])
def test_what_is_no_duration_says_what_to_write(text: str) -> None:
    with pytest.raises(ValueError, match="is no duration of a load test; write 60s"):
        parse_duration(text)


def test_more_arrivals_than_can_be_counted_are_refused() -> None:
    rate, duration = Rate(50_000, 50_000), MOST_ARRIVALS / 50_000
    assert Schedule.of(rate, duration).total == MOST_ARRIVALS
    with pytest.raises(ValueError, match="lower the rate or the duration"):
        Schedule.of(rate, duration + 1)


def test_a_steady_rate_is_even() -> None:
    schedule = Schedule(Rate(4, 4), 2.0)
    assert [schedule.due(n) for n in range(schedule.total)] == [0, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 1.75]
    assert (schedule.before(1.0), schedule.arrived(1.0)) == (4, 5)


def test_a_ramp_has_its_mean_rate_in_all_and_its_own_at_each_end() -> None:
    schedule = Schedule(Rate(50, 150), 10.0)
    assert schedule.total == 1000
    assert schedule.before(1.0) == 55
    assert schedule.total - schedule.before(9.0) == 145
    assert [schedule.rate_at(at) for at in (0, 5, 10, 11)] == [50, 100, 150, 150]


@given(schedules)
def test_arrivals_come_in_order_from_the_start_and_before_the_end(schedule: Schedule) -> None:
    dues = [schedule.due(n) for n in range(schedule.total)]
    assert dues[0] == 0
    assert dues == sorted(dues)
    assert dues[-1] <= schedule.duration + 1e-6


@given(schedules, st.floats(0.0, 1.0))
def test_as_many_are_due_as_the_rate_sums_up_to(schedule: Schedule, share: float) -> None:
    at = share * schedule.duration
    number = schedule.before(at)
    if number:
        assert schedule.due(number - 1) <= at + 1e-6
    if number < schedule.total:
        assert schedule.due(number) >= at - 1e-6
    assert number <= schedule.arrived(at) <= number + 1


@given(schedules)
def test_between_two_arrivals_lies_one_over_the_rate(schedule: Schedule) -> None:
    for n in range(0, schedule.total - 1, max(1, schedule.total // 50)):
        here, following = schedule.due(n), schedule.due(n + 1)
        slow, fast = sorted((schedule.rate_at(here), schedule.rate_at(following)))
        assert 1 / fast - 1e-6 <= following - here
        if following <= schedule.duration:
            assert following - here <= 1 / slow + 1e-6


def test_nothing_is_due_before_the_start_and_nothing_new_after_the_end() -> None:
    schedule = Schedule(Rate(10, 10), 3.0)
    assert (schedule.arrived(-1.0), schedule.before(-1.0)) == (0, 0)
    assert (schedule.arrived(99.0), schedule.before(99.0)) == (30, 30)
