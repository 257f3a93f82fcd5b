"""How many arrivals, and when: a steady rate, or one that goes up or down evenly. Pure.

The n-th arrival (from 0) is due when the rate, summed up from the start, has come to n: at once, and then evenly at a
steady rate; at a ramp from a to b per second within T seconds after t seconds a*t + (b-a)*t*t/2T have arrived.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Self

MOST_A_SECOND = 100_000.0
LONGEST_S = 24 * 3600.0
MOST_ARRIVALS = 50_000_000
_ONE = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)\s*/\s*(s|min|h)")
_PER = {"s": 1.0, "min": 60.0, "h": 3600.0}
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)(s|m|h)")
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True, slots=True)
class Rate:
    """Arrivals per second at the beginning and at the end."""

    first: float
    last: float

    @property
    def steady(self) -> bool:
        return self.first == self.last

    @classmethod
    def parse(cls, text: str) -> Self:
        """`200/s`, `90/min`, or a ramp `50/s..500/s`. Raises ValueError with a text for the user."""
        first, dots, last = text.strip().partition("..")
        rates = [_a_second(text, part) for part in ((first, last) if dots else (first,))]
        return cls(rates[0], rates[-1])

    def __str__(self) -> str:
        return f"{self.first:g}/s" if self.steady else f"{self.first:g}/s..{self.last:g}/s"


def _a_second(text: str, part: str) -> float:
    match = _ONE.fullmatch(part.strip())
    if match is None:
        raise ValueError(f"{text!r} is no rate; write arrivals per second (200/s), or a ramp (50/s..500/s)")
    rate = float(match[1]) / _PER[match[2]]
    if not 0 < rate <= MOST_A_SECOND:
        raise ValueError(f"{text!r} is no rate; it must be more than 0/s and at most {MOST_A_SECOND:.0f}/s")
    return rate


def parse_duration(text: str) -> float:
    """`60s`, `10m`: seconds. Raises ValueError with a text for the user."""
    match = _DURATION.fullmatch(text.strip())
    seconds = float(match[1]) * _UNITS[match[2]] if match else 0.0
    if not 1 <= seconds <= LONGEST_S:
        raise ValueError(f"{text!r} is no duration of a load test; write 60s, 10m or 1h; from 1s to 24h")
    return seconds


@dataclass(frozen=True, slots=True)
class Schedule:
    """The arrivals of one load test; times in seconds from its start."""

    rate: Rate
    duration: float

    @classmethod
    def of(cls, rate: Rate, duration: float) -> Self:
        """Raises ValueError for more arrivals than can be counted."""
        schedule = cls(rate, duration)
        if schedule.total > MOST_ARRIVALS:
            raise ValueError(
                f"{rate} for {duration:g} s is {schedule.total:,} arrivals, and at most {MOST_ARRIVALS:,} can "
                "be; lower the rate or the duration"
            )
        return schedule

    @property
    def total(self) -> int:
        """Those due before the end."""
        return math.ceil(round((self.rate.first + self.rate.last) / 2 * self.duration, 6))

    def due(self, n: int) -> float:
        """When the n-th arrival is due."""
        a, slope = self.rate.first, (self.rate.last - self.rate.first) / self.duration
        return 2 * n / (a + math.sqrt(max(0.0, a * a + 2 * slope * n)))

    def arrived(self, at: float) -> int:
        """How many arrivals are due by then."""
        if at < 0:
            return 0
        t = min(at, self.duration)
        slope = (self.rate.last - self.rate.first) / self.duration
        return min(self.total, math.floor(round(self.rate.first * t + slope * t * t / 2, 6)) + 1)

    def before(self, at: float) -> int:
        """How many arrivals are due before then."""
        t = min(max(at, 0.0), self.duration)
        slope = (self.rate.last - self.rate.first) / self.duration
        return min(self.total, math.ceil(round(self.rate.first * t + slope * t * t / 2, 6)))

    def rate_at(self, at: float) -> float:
        """Arrivals per second at that time."""
        share = min(max(at / self.duration, 0.0), 1.0)
        return self.rate.first + (self.rate.last - self.rate.first) * share
