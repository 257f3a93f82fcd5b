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
    enough = [100.0] * 60
    assert all_held([at(100)] * 57 + [at(100, 0.0)] * 3, enough)
    assert not all_held([at(100)] * 56 + [at(100, 0.0)] * 4, enough)
    assert not all_held([], [])
    assert not all_held([Offered(10, 0, 0)], [])


def test_a_queue_that_grows_is_not_held_though_nobody_in_it_is_late_yet() -> None:
    """A ramp to 300/s on what carries 180/s: the first to be a second late were due at 240/s."""
    ramp = [at(rate, 1.0 if rate <= 240 else 0.0) for rate in range(20, 301, 20)]
    ended = [min(rate, 180.0) for rate in range(20, 301, 20)]
    assert largest_held(ramp, ended) == 180.0
    assert not all_held([one for one in ramp if one.held], ended), "though every interval was"


@pytest.mark.parametrize(
    ("ended", "held"),
    [
        ([96.0] * 5, 100.0),  # near enough
        ([94.0] * 5, 94.0),
        ([40, 100, 100, 100, 100, 100, 60], 100.0),  # slow logins end later, and as many
        ([0, 100, 100, 100, 100, 90, 0], 100.0),
        ([100, 0, 100, 0, 100], 60.0),
        ([10.0] * 4, 100.0),  # too few to say
        ([], 100.0),
    ],
)
def test_no_more_is_held_than_ends(ended: list[float], held: float) -> None:
    assert largest_held([at(100)] * 5, ended) == held
