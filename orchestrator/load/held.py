"""Which rate was held. Pure. The rules:

H1 interval    An interval is held where at least HELD_SHARE of the arrivals that were due in it were served (recorder,
               L4). One in which nothing was due says nothing.
H2 rate        A rate is held where at least STEADY_SHARE of the intervals at that rate *or a lower one* are held: one
               good second at a rate that broke down a moment later is luck, one bad second of sixty is a hiccup.
H3 largest     The largest rate held is that of the fastest held interval for which H2 holds, as the schedule has it in
               the middle of the interval; 0 where there is none.
H4 throughput  Nor is an interval held where more were due over the STRETCH intervals up to it than have ended over any
               STRETCH in a row, STEADY_SHARE of them at least: on a ramp a queue grows for a while before anybody in
               it is late. A test of fewer intervals says nothing of this.
H5 schedule    The whole schedule is held where STEADY_SHARE of its intervals are, and its fastest rate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

HELD_SHARE = 0.99
STEADY_SHARE = 0.95
STRETCH = 5


@dataclass(frozen=True, slots=True)
class Offered:
    """An interval: the scheduled rate in its middle, arrivals due in it, and those of them that were served."""

    rate: float
    due: int
    served: int

    @property
    def held(self) -> bool:
        return self.served >= HELD_SHARE * self.due


def largest_held(intervals: Sequence[Offered], ended: Sequence[float]) -> float:
    """Arrivals per second. `intervals` in the order of time; `ended`: how many arrivals have ended in each of them, and
    in those after the last.
    """
    kept = sorted(_keeping_up(intervals, ended), key=lambda one: one[0])
    best, held = 0.0, 0
    for number, (rate, good) in enumerate(kept, start=1):
        held += good
        last_of_its_rate = number == len(kept) or kept[number][0] > rate
        if last_of_its_rate and held >= STEADY_SHARE * number and any(g and r == rate for r, g in kept):
            best = rate
    return best


def all_held(intervals: Sequence[Offered], ended: Sequence[float]) -> bool:
    """Was the whole schedule held?"""
    kept = _keeping_up(intervals, ended)
    if not kept or sum(good for _, good in kept) < STEADY_SHARE * len(kept):
        return False
    return largest_held(intervals, ended) >= STEADY_SHARE * max(rate for rate, _ in kept)


def _keeping_up(intervals: Sequence[Offered], ended: Sequence[float]) -> list[tuple[float, bool]]:
    """The rate of each interval in which something was due, and whether it is held (H1, H4)."""
    stretches = range(len(ended) - STRETCH + 1)
    most = max((sum(ended[n : n + STRETCH]) / STRETCH for n in stretches), default=None)
    found = []
    for n, one in enumerate(intervals):
        lately = [other.due for other in intervals[max(0, n - STRETCH + 1) : n + 1]]
        keeps_up = most is None or most >= STEADY_SHARE * sum(lately) / len(lately)
        if one.due:
            found.append((one.rate, one.held and keeps_up))
    return found
