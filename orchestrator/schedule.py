"""When a campaign's schedule begins its runs. Pure.

The rules, stated here and nowhere else:

 T1 fire      By a cron expression of five fields, in a time zone. Daylight saving is as Debian's cron has it: what
              falls into the missing hour fires right behind it, what falls into the hour that comes twice fires once,
              and what fires every hour does so in every hour.
 T2 missed    What should have fired during a standstill is made up for once, however often it was missed; not at all
              where the schedule says so.
 T3 overlap   While a run of the campaign has not ended, the next one is left out (`skip`), or begins when it has
              (`queue`): one at most waits so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from zoneinfo import ZoneInfo

from cronsim import CronSim

from orchestrator.campaign_times import Schedule


class Verdict(StrEnum):
    BEGIN = "begin"
    SKIP = "skip"
    QUEUE = "queue"


@dataclass(frozen=True, slots=True)
class Due:
    """A fire whose time has come."""

    at: float
    missed: int
    """So many before it were missed."""


def fires(schedule: Schedule, after: float) -> Iterator[float]:
    """Its times after a moment, in order; it may have an end (a 29th of February in no leap year of this century)."""
    zone = ZoneInfo(schedule.time_zone)
    for at in CronSim(schedule.cron, datetime.fromtimestamp(after, UTC).astimezone(zone)):
        if (moment := at.timestamp()) > after:
            yield moment


def next_fire(schedule: Schedule, after: float) -> float | None:
    return next(fires(schedule, after), None)


def due(schedule: Schedule, last: float, now: float) -> Due | None:
    """What is to be begun now; `last`: the fire that was last attended to, or when the schedule was first seen."""
    at, number = None, 0
    for moment in fires(schedule, last):
        if moment > now:
            break
        at, number = moment, number + 1
    if at is None:
        return None
    fresh = now - at < ON_TIME_S
    if not fresh and not schedule.catch_up:  # T2
        return None
    return Due(at, number - 1)


ON_TIME_S = 60.0
"""Within a minute it is not late: nobody looks at the clock more often than it fires."""


def verdict(schedule: Schedule, *, under_way: bool, queued: bool) -> Verdict:
    """What becomes of a fire (T3)."""
    if not under_way and not queued:
        return Verdict.BEGIN
    return Verdict.QUEUE if schedule.overlap == "queue" and not queued else Verdict.SKIP
