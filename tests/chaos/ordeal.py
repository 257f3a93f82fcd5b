"""One seed: a world, a campaign through it, its faults, and what is true afterwards."""

from __future__ import annotations

import subprocess
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg

from tests.chaos.faults import Undo, strike
from tests.chaos.timetable import Fault, timetable
from tests.chaos.verdict import complaints
from tests.chaos.world import World, campaign, running_world

BEGINS_S = 60.0
AFTER_S = 60.0
"""A run ends within so long of the end of its last fault."""
LOOK_S = 0.25


@dataclass(slots=True)
class Ordeal:
    seed: int
    faults: list[Fault]
    said: list[str] = field(default_factory=list)
    """What was done to whom, and when."""
    complaints: list[str] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)
    """Of the report."""
    took: float = 0.0
    """Seconds from the plan to the end of the run."""
    late: float = 0.0
    """Of them after the last fault had ended."""

    @property
    def passed(self) -> bool:
        return not self.complaints


def ordeal(seed: int, directory: Path, say: Callable[[str], None], after: float = AFTER_S) -> Ordeal:
    """In this directory, which must be there and empty. `after`: seconds that the run may take after the last fault."""
    told = Ordeal(seed, timetable(seed))
    with running_world(directory) as world:
        line = world.command("run", str(campaign(world, world.zones)), "--format", "json")
        with (
            (directory / "run.log").open("wb") as log,
            subprocess.Popen(
                line, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log, start_new_session=True
            ) as submitted,
        ):
            try:
                run = _Ordeal(world, told, say, after).until_over()
            finally:
                submitted.kill()
        if run is not None:
            report = _report(world, run)
            told.reasons.update(row["reason"] for row in report["targets"])
            told.complaints += complaints(world, report, told.faults)
    return told


class _Ordeal:
    def __init__(self, world: World, told: Ordeal, say: Callable[[str], None], after: float) -> None:
        self._world = world
        self._told = told
        self._say = say
        self._after = after
        self._undo: list[tuple[float, str, Undo]] = []

    def until_over(self) -> str | None:
        """The run's id; None when it has not come to its end in time."""
        run = self._begun()
        began, waiting = time.monotonic(), list(self._told.faults)
        last = max(fault.ends for fault in waiting)
        looked = 0.0
        while True:
            now = time.monotonic() - began
            while waiting and waiting[0].at <= now:
                self._strike(waiting.pop(0), now)
            self._recover(now)
            self._world.keep()
            if now - looked >= LOOK_S and not self._undo:
                looked = now
                if self._state(run) == "finished" and not self._undo:
                    self._told.took, self._told.late = now, max(0.0, now - last)
                    break
            if now > last + self._after:
                self._told.complaints.append(f"{self._after:g} s after the last fault the run is {self._state(run)}")
                self._recover(float("inf"))
                return None
            time.sleep(0.05)
        self._recover(float("inf"))
        return run

    def _begun(self) -> str:
        until = time.monotonic() + BEGINS_S
        while True:
            rows = self._query("SELECT run FROM jobs LIMIT 1")
            if rows:
                return str(rows[0][0])
            assert time.monotonic() < until, (self._world.directory / "run.log").read_text()
            time.sleep(0.1)

    def _strike(self, fault: Fault, now: float) -> None:
        hit, undo = strike(self._world, fault)
        self._note(f"{now:5.1f} s: {fault.kind}: {hit}, for {fault.lasts:.1f} s")
        self._undo.append((now + fault.lasts, f"{fault.kind}: {hit}", undo))

    def _recover(self, now: float) -> None:
        for one in [one for one in self._undo if one[0] <= now]:
            self._undo.remove(one)
            one[2]()

    def _note(self, text: str) -> None:
        self._told.said.append(text)
        self._say(text)

    def _state(self, run: str) -> str:
        rows = self._query(f"SELECT state FROM runs WHERE id = '{run}'")  # noqa: S608 - an id of the store's own
        return str(rows[0][0]) if rows else "not to be seen, as the store is away"

    def _query(self, statement: str) -> list[tuple[object, ...]]:
        with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return self._world.query(statement)
        return []


def _report(world: World, run: str) -> dict[str, Any]:
    ended = world.ask("report", run, "--format", "json")
    assert ended.code == 0, ended.stderr
    return ended.document
