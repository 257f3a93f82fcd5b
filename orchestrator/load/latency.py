"""Latencies in high dynamic range histograms: three significant digits from a microsecond to a day, in fixed memory."""

from __future__ import annotations

from dataclasses import dataclass

from hdrh.histogram import HdrHistogram

_LONGEST_US = 24 * 3600 * 1_000_000
_DIGITS = 3


@dataclass(frozen=True, slots=True)
class Percentiles:
    """In milliseconds."""

    count: int
    mean: float
    p50: float
    p95: float
    p99: float
    longest: float


class Latency:
    """Takes seconds; what is longer than a day counts as a day, what is below a microsecond as one."""

    def __init__(self) -> None:
        self._histogram = HdrHistogram(1, _LONGEST_US, _DIGITS)

    def add(self, seconds: float) -> None:
        self._histogram.record_value(min(max(1, round(seconds * 1_000_000)), _LONGEST_US))

    @property
    def count(self) -> int:
        return int(self._histogram.get_total_count())

    def percentiles(self) -> Percentiles:
        of = self._histogram
        if not self.count:
            return Percentiles(0, 0.0, 0.0, 0.0, 0.0, 0.0)
        at = {percent: of.get_value_at_percentile(percent) / 1000 for percent in (50, 95, 99, 100)}
        return Percentiles(self.count, of.get_mean_value() / 1000, at[50], at[95], at[99], at[100])
