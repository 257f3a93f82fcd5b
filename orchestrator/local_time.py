"""Wall-clock times of a zone as moments, over the hours that daylight saving leaves out and has twice. Pure.

A local time that does not exist (the clocks go forward over it) is the moment at which they do. One that exists twice
(they go back) is its first moment for what begins, and its second for what ends: so nothing that somebody was promised
is cut short. A window that lies wholly within the hour that is left out is empty on that day.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo


def moment(day: date, at: time, zone: ZoneInfo, *, last: bool = False) -> float:
    """Unix seconds; `last`: of a time that exists twice, the second one."""
    wanted = datetime.combine(day, at)
    early, late = (_utc(wanted, zone, fold) for fold in (0, 1))
    if _local(early, zone) == wanted:
        return late if last and _local(late, zone) == wanted else early
    # It does not exist: `early` was taken with the offset from before the gap and lies behind it, `late` before it.
    return _change_between(late, early, zone)


def local_date(now: float, zone: ZoneInfo) -> date:
    return _local(now, zone).date()


def _utc(wanted: datetime, zone: ZoneInfo, fold: int) -> float:
    return wanted.replace(tzinfo=zone, fold=fold).timestamp()


def _local(at: float, zone: ZoneInfo) -> datetime:
    return datetime.fromtimestamp(at, UTC).astimezone(zone).replace(tzinfo=None)


def _offset(at: float, zone: ZoneInfo) -> timedelta | None:
    return datetime.fromtimestamp(at, UTC).astimezone(zone).utcoffset()


def _change_between(before: float, after: float, zone: ZoneInfo) -> float:
    """The moment at which the zone's offset becomes what it is at `after`; to the second."""
    low, high = int(before), int(after)
    target = _offset(high, zone)
    while high - low > 1:
        middle = (low + high) // 2
        if _offset(middle, zone) == target:
            high = middle
        else:
            low = middle
    return float(high)
