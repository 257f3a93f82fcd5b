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
    assert largest_held(intervals) == held


def test_a_schedule_is_held_with_hiccups_and_not_with_more() -> None:
    assert all_held([at(100)] * 57 + [at(100, 0.0)] * 3)
    assert not all_held([at(100)] * 56 + [at(100, 0.0)] * 4)
    assert not all_held([])
    assert not all_held([Offered(10, 0, 0)])
