"""The arrivals as the dispatcher sees them: one cursor, whose n-th target is due when the schedule says."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from orchestrator.attempts import Planned, Unplannable
from orchestrator.load.rate import Schedule
from orchestrator.plan import Plan

CURSOR = "arrivals"


def job_of_arrival(number: int) -> str:
    """Every arrival is a job of its own, however often its target has come before."""
    return f"{number:020x}"


def arrival_of_job(job: str) -> int:
    return int(job, 16)


class Arrivals:
    """A plan's targets in its order, again from the first when they are through. The dispatcher's `Source`."""

    def __init__(self, plan: Plan, schedule: Schedule) -> None:
        self.schedule = schedule
        self.began = math.inf
        """Unix time of the first arrival. Nothing is due before somebody has set it."""
        self._plan = plan
        self._units = self._endless()
        self.taken = 0
        """How many the dispatcher has taken."""

    def cursors(self) -> Sequence[str]:
        return (CURSOR,)

    def count(self, cursor: str) -> int:  # noqa: ARG002 - there is one cursor
        return self.schedule.total

    def zone(self, cursor: str) -> str:  # noqa: ARG002 - as above
        return self._plan.parts[0].zone

    def at(self, cursor: str, index: int) -> Planned | Unplannable:  # noqa: ARG002 - as above
        """Each once, in order: the dispatcher walks its cursors so. Raises LookupError for another index."""
        if index != self.taken:
            raise LookupError(f"arrival {index} was asked for, and {self.taken} is next")
        self.taken += 1
        return replace(next(self._units), job=job_of_arrival(index))

    def due(self, cursor: str, index: int) -> float:  # noqa: ARG002 - as above
        """In Unix time; the dispatcher's `Due`."""
        return self.began + self.schedule.due(index)

    def waiting(self, now: float) -> int:
        """Arrivals that are due and have not been taken."""
        return max(0, self.schedule.arrived(now - self.began) - self.taken)

    def _endless(self) -> Iterator[Planned | Unplannable]:
        while True:
            yield from self._plan.walk()
