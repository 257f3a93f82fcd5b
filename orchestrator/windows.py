"""When a campaign's runs may work: its windows, as of any moment. Pure.

The rules, stated here and nowhere else:

 W1 open      Without a window a run may always work. With several it may while any of them is open.
 W2 start     Nothing goes out before a window's start.
 W3 stop_new  From then on no new attempt goes out, and what is in flight ends by itself; without it, until `end`.
 W4 end       What is still in flight is cut off: its session is closed, and the target's turn comes in the next window.
 W5 days      A window of a day's hours opens on the days it names (on all, if it names none), and may last beyond
              midnight: then it belongs to the day on which it opens.
 W6 zone      Times are a time zone's, and daylight saving is as `local_time` has it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from orchestrator.campaign_times import Daily, Once, Window
from orchestrator.local_time import local_date, moment

AHEAD_DAYS = 8
"""Within so many days every window of days has opened again."""


@dataclass(frozen=True, slots=True)
class Open:
    until: float
    """When to look again: no new attempt may go out then, unless another window is open."""
    ends: float
    """When what is in flight is cut off."""


@dataclass(frozen=True, slots=True)
class Closed:
    opens: float | None
    """None: never again."""
    cut_at: float
    """When what is still in flight is cut off; in the past, if nothing may be."""
    text: str

    @property
    def for_good(self) -> bool:
        """No window opens any more."""
        return self.opens is None


@dataclass(frozen=True, slots=True)
class _Span:
    opens: float
    stops_new: float
    ends: float
    window: Window


def phase_at(windows: Sequence[Window], now: float) -> Open | Closed | None:
    """None: there are no windows."""
    if not windows:
        return None
    spans = [span for window in windows for span in _spans(window, now)]
    working = [span for span in spans if span.opens <= now < span.stops_new]
    if working:
        return Open(max(span.stops_new for span in working), max(span.ends for span in working))
    cut_at = max((span.ends for span in spans if span.opens <= now < span.ends), default=now)
    coming = min((span for span in spans if span.opens > now), key=lambda span: span.opens, default=None)
    if coming is None:
        text = "its window is over, and no other one comes; cancel it, and run the campaign again with a window to come"
        return Closed(None, cut_at, text)
    at = datetime.fromtimestamp(coming.opens, UTC)
    text = f"waits for its window, {_name(coming, now)} ({at:%Y-%m-%dT%H:%M:%SZ})"
    return Closed(coming.opens, cut_at, text)


def _name(span: _Span, now: float) -> str:
    """Its start as the campaign has it, with the day if that is not today's."""
    zone = ZoneInfo(span.window.time_zone)
    if isinstance(span.window, Once):
        return f"{span.window.start.replace('T', ' ')} {zone.key}"
    day = local_date(span.opens, zone)
    today = "" if day == local_date(now, zone) else f"{day:%a} "
    return f"{today}{span.window.start} {zone.key}"


def _spans(window: Window, now: float) -> Iterator[_Span]:
    """Those that matter now: begun and perhaps not over, or to come."""
    zone = ZoneInfo(window.time_zone)
    if isinstance(window, Once):
        yield _once(window, zone)
        return
    today = local_date(now, zone)
    for ahead in range(-2, AHEAD_DAYS + 1):
        day = today + timedelta(days=ahead)
        if window.opens_on(day.weekday()):
            yield _daily(window, day, zone)


def _once(window: Once, zone: ZoneInfo) -> _Span:
    def at(text: str | None, *, last: bool = False) -> float | None:
        if text is None:
            return None
        local = datetime.fromisoformat(text)
        return moment(local.date(), local.time(), zone, last=last)

    opens = at(window.start)
    assert opens is not None  # noqa: S101 - narrows the type
    ends = at(window.end, last=True)
    stops = at(window.stop_new, last=True)
    end = float("inf") if ends is None else ends
    return _Span(opens, end if stops is None else stops, end, window)


def _daily(window: Daily, day: date, zone: ZoneInfo) -> _Span:
    following = day + timedelta(days=1)
    start, end = window.clock("start"), window.clock("end")
    stop = window.clock("stop_new") if window.stop_new is not None else end
    ends = moment(day if end > start else following, end, zone, last=True)
    stops = moment(day if stop > start else following, stop, zone, last=True)
    return _Span(moment(day, start, zone), min(stops, ends), ends, window)
