"""Which rate was held. Pure. The rules:

H1 interval    An interval is held where at least HELD_SHARE of the arrivals that were due in it were served (recorder,
               L4). One in which nothing was due says nothing.
H2 rate        A rate is held where at least STEADY_SHARE of the intervals at that rate *or a lower one* are held: one
               good second at a rate that broke down a moment later is luck, one bad second of sixty is a hiccup.
H3 largest     The largest rate held is that of the fastest held interval for which H2 holds, as the schedule has it in
               the middle of the interval; 0 where there is none.
H4 throughput  It is no larger than the rate at which arrivals have ended over some STRETCH intervals: on a ramp a queue
               grows for a while before anybody in it is late. Fewer intervals say nothing of this.
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
    """Arrivals per second. `ended`: how many per second have ended in each interval, those after the last too."""
    counted = sorted((one for one in intervals if one.due), key=lambda one: one.rate)
    best, held = 0.0, 0
    for number, one in enumerate(counted, start=1):
        held += one.held
        last_of_its_rate = number == len(counted) or counted[number].rate > one.rate
        if last_of_its_rate and held >= STEADY_SHARE * number and any(o.held and o.rate == one.rate for o in counted):
            best = one.rate
    most = _most(ended)
    return best if most is None or most >= STEADY_SHARE * best else most


def all_held(intervals: Sequence[Offered], ended: Sequence[float]) -> bool:
    """Was the whole schedule held?"""
    counted = [one for one in intervals if one.due]
    if not counted or sum(one.held for one in counted) < STEADY_SHARE * len(counted):
        return False
    return largest_held(intervals, ended) >= STEADY_SHARE * max(one.rate for one in counted)


def _most(ended: Sequence[float]) -> float | None:
    """The largest mean over STRETCH intervals in a row; None where there are fewer."""
    stretches = range(len(ended) - STRETCH + 1)
    return max((sum(ended[n : n + STRETCH]) / STRETCH for n in stretches), default=None)
