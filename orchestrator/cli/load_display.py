"""What a load test in progress looks like: a bar of its time, and under it rates and percentiles; nothing without a
terminal.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from orchestrator.load.driving import LoadTest
from orchestrator.report.tables import GOOD, cell, say


class _Bar(Progress):
    lines: tuple[str, ...] = ()

    def get_renderables(self) -> Iterable[RenderableType]:
        yield from super().get_renderables()
        yield from map(cell, self.lines)


class LoadDisplay:
    """A context manager; `show` is cheap enough for several calls a second."""

    def __init__(self, test: LoadTest, *, enabled: bool) -> None:
        console = Console(stderr=True)
        self._console, self._test = console, test
        self._bar = _Bar(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None, complete_style=GOOD, finished_style=GOOD),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not (enabled and console.is_terminal and not console.is_dumb_terminal),
        )
        self._task = self._bar.add_task("starting", total=test.schedule.duration)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def show(self, now: float) -> None:
        test = self._test
        if math.isinf(test.arrivals.began):
            return
        at = now - test.arrivals.began
        ending = now > test.over_at
        self._bar.update(
            self._task, completed=min(at, test.schedule.duration), description="ending" if ending else "load"
        )
        self._bar.lines = lines(test, now)

    def note(self, text: str) -> None:
        say(self._console, text)


def lines(test: LoadTest, now: float) -> tuple[str, ...]:
    """Rates of the last intervals that are over, and the percentiles of the newest in which something ended."""
    recorder, at = test.recorder, now - test.arrivals.began
    recent = recorder.recent(now)
    seconds = len(recent) * recorder.width or 1.0
    offered = test.schedule.rate_at(at) if now <= test.over_at else 0.0
    ended, succeeded = sum(i.ended for i in recent), sum(i.succeeded for i in recent)
    newest = next((i for i in reversed(recent) if i.ended), None)
    waiting = test.arrivals.waiting(now) + test.dispatcher.held
    rates = f"{offered:.0f}/s offered · {ended / seconds:.0f}/s ended · {(ended - succeeded) / seconds:.1f}/s errors"
    found = [f"{rates} · {test.dispatcher.in_flight} out · {waiting} waiting"]
    if newest is not None:
        found.append(f"latency p50 {newest.p50:.0f} ms · p95 {newest.p95:.0f} ms · p99 {newest.p99:.0f} ms")
    if recorder.reasons:
        found.append(
            "errors so far: " + ", ".join(f"{count} {code}" for code, count in recorder.reasons.most_common(3))
        )
    return tuple(found)
