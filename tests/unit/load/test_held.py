"""Which rate was held: the rules H1 to H3."""

from __future__ import annotations

import pytest

from orchestrator.load.held import Offered, all_held, largest_held


def at(rate: float, share: float = 1.0, due: int = 1000) -> Offered:
    return Offered(rate, due, round(share * due))


@pytest.mark.parametrize(
    ("intervals", "held"),
    [
        ([], 0.0),
        ([at(100)], 100.0),
        ([at(100, 0.99)], 100.0),
        ([at(100, 0.98)], 0.0),
        ([at(50), at(100), at(150, 0.5), at(200, 0.1)], 100.0),
        ([at(200, 0.1), at(150, 0.5), at(100), at(50)], 100.0),  # a ramp downwards is no other
        ([at(50), at(100, 0.5), at(150, 0.5), at(200)], 50.0),  # luck at a rate that broke down
        ([*[at(n) for n in range(1, 40)], at(40, 0.0), at(41)], 41.0),  # a hiccup among forty
        ([at(100)] * 58 + [at(100, 0.0)] * 2, 100.0),
        ([at(100)] * 50 + [at(100, 0.0)] * 10, 0.0),
        ([at(100), Offered(200, 0, 0)], 100.0),  # nothing was due: says nothing
    ],
)
def test_the_largest_rate_held(intervals: list[Offered], held: float) -> None:
    assert largest_held(intervals, [1000.0] * 5) == held


def test_a_schedule_is_held_with_hiccups_and_not_with_more() -> None:
    enough = [1000.0] * 60
    assert all_held([at(100)] * 57 + [at(100, 0.0)] * 3, enough)
    assert not all_held([at(100)] * 56 + [at(100, 0.0)] * 4, enough)
    assert not all_held([], [])
    assert not all_held([Offered(10, 0, 0)], [])


def ramp(*, carried: float, late_from: float) -> tuple[list[Offered], list[float]]:
    """From 20/s to 300/s in 15 s, on what carries so many a second; from a rate on everybody is late."""
    rates = range(20, 301, 20)
    return [at(rate, 1.0 if rate < late_from else 0.0, due=rate) for rate in rates], [min(r, carried) for r in rates]


def test_a_queue_that_grows_is_not_held_though_nobody_in_it_is_late_yet() -> None:
    intervals, ended = ramp(carried=180.0, late_from=260.0)
    assert largest_held(intervals, ended) == 220, "on average 180/s were due in the five seconds up to it"
    assert not all_held([one for one in intervals if one.held], ended), "though nobody of these was late"


def test_a_ramp_that_is_carried_is_held_to_its_end() -> None:
    intervals, ended = ramp(carried=300.0, late_from=999.0)
    assert (largest_held(intervals, ended), all_held(intervals, ended)) == (300, True)
    slow = [0.0, 0.0, *ended]
    assert (largest_held(intervals, slow), all_held(intervals, slow)) == (300, True), "logins of two seconds end later"


@pytest.mark.parametrize(
    ("ended", "held"),
    [
        ([96.0] * 5, 100.0),  # near enough
        ([94.0] * 5, 0.0),
        ([40, 100, 100, 100, 100, 100, 60], 100.0),  # slow logins end later, and as many
        ([0, 100, 100, 100, 100, 90, 0], 100.0),
        ([100, 0, 100, 0, 100], 0.0),
        ([10.0] * 4, 100.0),  # too few to say
        ([], 100.0),
    ],
)
def test_no_more_is_held_than_ends(ended: list[float], held: float) -> None:
    assert largest_held([at(100, due=100)] * 5, ended) == held
