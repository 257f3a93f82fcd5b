"""Line charts as inline SVG: what stands at which point. Pure; the page's template draws them.

The time axis is linear. The other one is linear from 0, or logarithmic for latencies, whose percentiles are otherwise a
line at the bottom and a line at the top.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from orchestrator.load.recorder import Interval
from orchestrator.load.result import LoadResult
from orchestrator.report.load.words import duration

WIDTH, HEIGHT = 1000.0, 200.0
LEFT, BOTTOM, TOP = 64.0, 24.0, 8.0
_STEPS = (1, 2, 5)
_LAST_TICK = 0.98
"""Of the time axis: a text further to the right would be cut off."""


@dataclass(frozen=True, slots=True)
class Tick:
    at: str
    """A coordinate."""
    text: str


@dataclass(frozen=True, slots=True)
class Line:
    name: str
    kind: str
    """Its class in the style sheet."""
    points: str


@dataclass(frozen=True, slots=True)
class Chart:
    title: str
    about: str
    """For those who cannot see it: the largest value of each line."""
    lines: tuple[Line, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]


Points = Sequence[tuple[float, float]]


def charts(result: LoadResult) -> tuple[Chart, ...]:
    """Rates, latencies, and what waits, over the time of the test."""
    every: Sequence[Interval] = (*result.intervals, *result.tail)
    width = result.interval_s
    until = max([i.begins + width for i in every], default=1.0)

    def over(what: Callable[[Interval], float], of: Sequence[Interval] = every) -> Points:
        return [(i.begins + width / 2, what(i)) for i in of]

    rates = _chart(
        "Arrivals per second",
        until,
        [
            ("offered", "offered", over(lambda i: i.due / width, result.intervals)),
            ("ended", "achieved", over(lambda i: i.ended / width)),
            ("errors", "errors", over(lambda i: (i.ended - i.succeeded) / width)),
        ],
        _number,
    )
    told = [i for i in every if i.ended]
    latencies = _chart(
        "Latency of those that ended, from when they were due",
        until,
        [(name, name, over(lambda i, name=name: getattr(i, name), told)) for name in ("p99", "p95", "p50")],  # type: ignore[misc]
        duration,
        logarithmic=True,
    )
    waiting = _chart(
        "Sent and not heard of, and due and not sent",
        until,
        [
            ("capacity", "capacity", [(s.at, s.capacity) for s in result.samples]),
            ("out", "achieved", [(s.at, s.out) for s in result.samples]),
            ("waiting", "errors", [(s.at, s.waiting) for s in result.samples]),
        ],
        _number,
    )
    return rates, latencies, waiting


def _chart(
    title: str,
    until: float,
    series: Sequence[tuple[str, str, Points]],
    text: Callable[[float], str],
    *,
    logarithmic: bool = False,
) -> Chart:
    values = [value for _, _, points in series for _, value in points]
    ticks = _decades(values) if logarithmic else _even(max(values, default=0.0))
    low, high = ticks[0], ticks[-1]

    def x(at: float) -> float:
        return LEFT + (WIDTH - LEFT) * at / until

    def y(value: float) -> float:
        share = _share(value, low, high, logarithmic=logarithmic)
        return TOP + (HEIGHT - TOP - BOTTOM) * (1 - share)

    lines = tuple(
        Line(name, kind, " ".join(f"{x(at):.1f},{y(value):.1f}" for at, value in points))
        for name, kind, points in series
    )
    most = ", ".join(f"{name} at most {text(max((v for _, v in points), default=0.0))}" for name, _, points in series)
    x_ticks = tuple(Tick(f"{x(at):.1f}", f"{at:g} s") for at in _even(until) if at <= until * _LAST_TICK)
    y_ticks = tuple(Tick(f"{y(value):.1f}", text(value)) for value in ticks)
    return Chart(title, f"{title}: {most}", lines, x_ticks, y_ticks)


def _share(value: float, low: float, high: float, *, logarithmic: bool) -> float:
    if logarithmic:
        return min(1.0, max(0.0, math.log(max(value, low) / low) / math.log(high / low)))
    return value / high


def _even(most: float) -> Sequence[float]:
    """From 0 to at least the largest value, in four to eight round steps."""
    rough = max(most, 1e-9) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = max(s * power for s in _STEPS if s * power <= rough * (1 + 1e-9))
    return [step * n for n in range(math.ceil(max(most, step) / step - 1e-9) + 1)]


def _decades(values: Sequence[float]) -> Sequence[float]:
    """Powers of ten that hold all values; at least one decade."""
    known = [value for value in values if value > 0] or [1.0]
    low, high = math.floor(math.log10(min(known))), math.ceil(math.log10(max(known)))
    return [10.0**n for n in range(low, max(high, low + 1) + 1)]


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:.1f}"
