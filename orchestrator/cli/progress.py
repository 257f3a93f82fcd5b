"""What a run in progress looks like: bars on a terminal, nothing without one."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from appliance.reasons import Status
from orchestrator.controller import Progress as RunProgress


class ProgressDisplay:
    """A context manager; `show` is cheap enough for several calls a second."""

    def __init__(self, *, enabled: bool) -> None:
        console = Console(stderr=True)
        self._console = console
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            TextColumn("{task.fields[detail]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not (enabled and console.is_terminal),
        )
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def show(self, progress: RunProgress) -> None:
        detail = _detail(progress)
        if self._task is None:
            self._task = self._bars.add_task("targets", total=progress.planned, detail=detail)
        self._bars.update(self._task, completed=progress.done, total=progress.planned, detail=self._rate() + detail)

    def note(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False)

    def _rate(self) -> str:
        speed = self._bars.tasks[0].speed
        return f"{speed:.0f}/s · " if speed else ""


def _detail(progress: RunProgress) -> str:
    by = progress.by_status
    passed = by.get(Status.PASSED, 0) + by.get(Status.PASSED_LIMITED, 0)
    parts = {
        "in flight": progress.in_flight,
        "passed": passed,
        "failed": by.get(Status.FAILED, 0),
        "not attempted": by.get(Status.NOT_ATTEMPTED, 0),
    }
    return " · ".join(f"{number} {name}" for name, number in parts.items())
