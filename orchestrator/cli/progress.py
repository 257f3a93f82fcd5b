"""What a run in progress looks like: a bar and its numbers on a terminal, nothing without one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from types import TracebackType
from typing import Self

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from appliance.reasons import Status
from orchestrator.approval_watch import Unapproved
from orchestrator.report.tables import GOOD, cell, say
from orchestrator.run_plan import Progress as RunProgress
from orchestrator.vault_watch import Away

LINES = 5
"""Secrets that are shown by name; of further ones there is a sum."""


class _Bar(Progress):
    """The bar, and under it the numbers, which would leave it no room beside them, and the vaults that are away."""

    lines: tuple[str, ...] = ()

    def get_renderables(self) -> Iterable[RenderableType]:
        yield from super().get_renderables()
        yield from map(cell, self.lines)


class ProgressDisplay:
    """A context manager; `show` is cheap enough for several calls a second. Warnings are told at the start, and stay
    under the bar.
    """

    def __init__(self, *, enabled: bool, warnings: Iterable[str] = ()) -> None:
        console = Console(stderr=True)
        self._console = console
        self._warnings = tuple(f"warning: {warning}" for warning in warnings)
        self._bar = _Bar(
            TextColumn("targets"),
            BarColumn(bar_width=None, complete_style=GOOD, finished_style=GOOD),
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            # A dumb terminal cannot go back to the line that it has just written.
            disable=not (enabled and console.is_terminal and not console.is_dumb_terminal),
        )
        self._task: TaskID | None = None
        self._noted = ""

    def __enter__(self) -> Self:
        for warning in self._warnings:
            self.note(warning)
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def show(self, progress: RunProgress) -> None:
        if self._task is None:
            self._task = self._bar.add_task("", total=progress.planned)
        self._bar.update(self._task, completed=progress.done, total=progress.planned)
        if progress.note != self._noted:
            self._noted = progress.note
            self.note(progress.note or "it goes on")
        self._bar.lines = (
            self._rate() + _numbers(progress),
            *map(_away, progress.away),
            *_unapproved(progress.unapproved),
            *((progress.note,) if progress.note else ()),
            *self._warnings,
        )

    def note(self, text: str) -> None:
        say(self._console, text)

    def _rate(self) -> str:
        speed = self._bar.tasks[0].speed
        return f"{speed:.0f}/s · " if speed else ""


def _numbers(progress: RunProgress) -> str:
    by = progress.by_status
    passed = by.get(Status.PASSED, 0) + by.get(Status.PASSED_LIMITED, 0)
    parts = {
        "in flight": progress.in_flight,
        "passed": passed,
        "failed": by.get(Status.FAILED, 0),
        "not attempted": by.get(Status.NOT_ATTEMPTED, 0),
    }
    return " · ".join(f"{number} {name}" for name, number in parts.items())


def _away(away: Away) -> str:
    since = datetime.fromtimestamp(away.since).astimezone()
    return f"vault {away.vault}: away since {since:%H:%M:%S}, {away.waiting} jobs wait"


def _unapproved(secrets: Sequence[Unapproved]) -> Iterator[str]:
    """Those with the most jobs by name."""
    ordered = sorted(secrets, key=lambda one: (-one.waiting, one.secret))
    for one in ordered[:LINES]:
        since = datetime.fromtimestamp(one.since).astimezone()
        yield f"secret {one.secret} in {one.vault}: {one.waiting} jobs wait for approval since {since:%H:%M:%S}"
    if rest := ordered[LINES:]:
        yield f"{sum(one.waiting for one in rest)} jobs wait for the approval of {len(rest)} more secrets"
