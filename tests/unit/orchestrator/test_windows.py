"""Windows: hours of a day, days of a week, and the two nights a year on which an hour is missing or comes twice."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.campaign_model import Campaign
from orchestrator.campaign_times import Window
from orchestrator.local_time import moment
from orchestrator.windows import Closed, Open, phase_at

BERLIN = ZoneInfo("Europe/Berlin")
NIGHT = {"start": "22:00", "stop_new": "05:00", "end": "06:00", "time_zone": "Europe/Berlin"}


def windows(*tables: dict[str, Any]) -> tuple[Window, ...]:
    return Campaign.model_validate({"name": "c", "windows": tables}).windows


def utc(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def opened(phase: object) -> Open:
    assert isinstance(phase, Open), phase
    return phase


def closed(phase: object) -> Closed:
    assert isinstance(phase, Closed), phase
    return phase


def test_without_windows_there_is_nothing_to_wait_for() -> None:
    assert phase_at((), 0.0) is None


def test_a_night() -> None:
    night = windows(NIGHT)
    before = closed(phase_at(night, utc("2027-01-15T20:59:59")))
    assert before.opens == utc("2027-01-15T21:00")
    assert before.cut_at <= utc("2027-01-15T20:59:59")
    assert before.text == "waits for its window, 22:00 Europe/Berlin (2027-01-15T21:00:00Z)"
    for at in ("2027-01-15T21:00", "2027-01-16T03:59:59"):
        assert phase_at(night, utc(at)) == Open(utc("2027-01-16T04:00"), utc("2027-01-16T05:00"))
    draining = closed(phase_at(night, utc("2027-01-16T04:00")))
    assert draining.cut_at == utc("2027-01-16T05:00")
    assert draining.opens == utc("2027-01-16T21:00")


def test_days_are_those_on_which_it_opens() -> None:
    weekend = windows({**NIGHT, "days": ["fri", "sat"]})
    opened(phase_at(weekend, utc("2027-01-17T02:00")))  # Sunday, since Saturday
    waiting = closed(phase_at(weekend, utc("2027-01-17T12:00")))
    assert waiting.opens == utc("2027-01-22T21:00")
    assert waiting.text.startswith("waits for its window, Fri 22:00 Europe/Berlin")


def test_the_missing_hour() -> None:
    """On 2027-03-28 the clocks go from 02:00 to 03:00, at 01:00 UTC."""
    gap = windows({"start": "02:30", "end": "04:00", "time_zone": "Europe/Berlin"})
    assert closed(phase_at(gap, utc("2027-03-28T00:59:59"))).opens == utc("2027-03-28T01:00")
    assert opened(phase_at(gap, utc("2027-03-28T01:00"))).ends == utc("2027-03-28T02:00")
    until = windows({"start": "00:00", "end": "02:30", "time_zone": "Europe/Berlin"})
    assert opened(phase_at(until, utc("2027-03-28T00:30"))).ends == utc("2027-03-28T01:00")
    night = windows(NIGHT)
    assert opened(phase_at(night, utc("2027-03-27T22:00"))).ends == utc("2027-03-28T04:00"), "an hour shorter"
    within = windows({"start": "02:30", "end": "03:00", "time_zone": "Europe/Berlin"})
    assert closed(phase_at(within, utc("2027-03-28T01:00"))).opens == utc("2027-03-29T00:30"), "empty on that day"


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Tokyo", "UTC"])
def test_the_first_and_the_last_day_that_a_window_may_name(zone: str) -> None:
    always = windows({"start": "1970-01-01", "end": "9998-12-31T23:59:59", "time_zone": zone})
    assert opened(phase_at(always, utc("2027-01-01T00:00"))).ends > utc("9998-12-31T00:00")


def test_the_hour_that_comes_twice() -> None:
    """On 2027-10-31 the clocks go from 03:00 to 02:00, at 01:00 UTC: 02:30 is at 00:30 and at 01:30 UTC."""
    start = windows({"start": "02:30", "end": "04:00", "time_zone": "Europe/Berlin"})
    assert opened(phase_at(start, utc("2027-10-31T00:30"))).ends == utc("2027-10-31T03:00")
    opened(phase_at(start, utc("2027-10-31T01:10")))  # the clock shows 02:10 again; it stays open
    end = windows({"start": "00:00", "end": "02:30", "time_zone": "Europe/Berlin"})
    assert opened(phase_at(end, utc("2027-10-31T00:45"))).ends == utc("2027-10-31T01:30")


def test_once_and_not_before() -> None:
    once = windows({"start": "2027-01-31T22:00", "end": "2027-02-01T06:00", "time_zone": "Europe/Berlin"})
    assert closed(phase_at(once, utc("2027-01-31T20:00"))).text == (
        "waits for its window, 2027-01-31 22:00 Europe/Berlin (2027-01-31T21:00:00Z)"
    )
    opened(phase_at(once, utc("2027-01-31T21:00")))
    over = closed(phase_at(once, utc("2027-02-01T05:00")))
    assert over.opens is None
    assert over.for_good
    assert over.text.startswith("its window is over, and no other one comes; cancel it, and run the campaign again")
    assert not closed(phase_at(once, utc("2027-01-31T20:00"))).for_good
    brief = windows({"start": "2027-01-31T22:00:17", "end": "2027-01-31T22:00:59", "time_zone": "UTC"})
    closed(phase_at(brief, utc("2027-01-31T22:00:16")))
    assert opened(phase_at(brief, utc("2027-01-31T22:00:17"))).ends == utc("2027-01-31T22:00:59")
    ever = windows({"start": "2027-01-31T22:00", "time_zone": "UTC"})
    assert opened(phase_at(ever, utc("2030-01-01T00:00"))).ends == float("inf")


def test_one_window_after_the_other_is_one() -> None:
    both = windows(
        {"start": "20:00", "end": "22:00", "time_zone": "UTC"}, {"start": "21:00", "end": "23:00", "time_zone": "UTC"}
    )
    assert opened(phase_at(both, utc("2027-01-15T20:30"))).until == utc("2027-01-15T22:00")
    assert opened(phase_at(both, utc("2027-01-15T21:30"))).until == utc("2027-01-15T23:00")


ZONES = st.sampled_from(("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"))
CLOCKS = st.times().map(lambda at: at.replace(second=0, microsecond=0))


@given(ZONES, CLOCKS, CLOCKS, st.floats(utc("2026-01-01"), utc("2028-01-01")))
def test_a_phase_lasts_until_it_says(zone: str, start: time, end: time, at: float) -> None:
    """Whatever the clocks do: open until `until` and not longer, closed until `opens`, and never for good."""
    if start == end:
        return
    table = windows({"start": f"{start:%H:%M}", "end": f"{end:%H:%M}", "time_zone": zone})
    phase = phase_at(table, at)
    if isinstance(phase, Open):
        assert at < phase.until <= phase.ends
        assert isinstance(phase_at(table, phase.until - 0.5), Open)
        assert phase_at(table, phase.until) != phase
    else:
        wait = closed(phase)
        assert wait.opens is not None
        assert at < wait.opens <= at + 2 * 86400 + 3600
        assert isinstance(phase_at(table, wait.opens - 0.5), Closed)


@given(ZONES, st.dates(date(2026, 1, 1), date(2028, 1, 1)), CLOCKS)
def test_a_moment_shows_its_time_or_the_end_of_the_gap_over_it(zone: str, day: date, at: time) -> None:
    first, last = (moment(day, at, ZoneInfo(zone), last=last) for last in (False, True))
    assert first <= last
    shown = datetime.fromtimestamp(first, ZoneInfo(zone)).replace(tzinfo=None)
    before = datetime.fromtimestamp(first - 1, ZoneInfo(zone)).replace(tzinfo=None)
    wanted = datetime.combine(day, at)
    assert shown == wanted or before < wanted < shown


@pytest.mark.parametrize(
    ("table", "text"),
    [
        ({**NIGHT, "time_zone": "Europe/Berln"}, "'Europe/Berln' is no time zone"),
        ({"start": "22:00", "end": "06:00"}, "Field required"),
        ({**NIGHT, "start": "25:00"}, "is no time of day"),
        ({**NIGHT, "end": "22:00"}, "at the same time of day"),
        ({**NIGHT, "stop_new": "21:00"}, "not between its start and its end"),
        ({**NIGHT, "days": []}, "at least 1 item"),
        ({**NIGHT, "days": ["friday"]}, "'fri'"),
        ({"start": "2027-01-31T22:00+01:00", "time_zone": "UTC"}, "without an offset"),
        ({"start": "2027-01-31T22:00", "end": "2027-01-30T22:00", "time_zone": "UTC"}, "in this order"),
        ({"start": "2027-01-31T22:00", "end": "06:00", "time_zone": "UTC"}, "is no day and time"),
        ({"start": "0001-01-01", "time_zone": "Asia/Tokyo"}, "is of the year 1; years from 1970 to 9998 are taken"),
        (
            {"start": "2026-01-01", "end": "9999-12-31T23:59:59", "time_zone": "America/New_York"},
            "a window that stays open for good has no end: leave end out",
        ),
    ],
)
def test_what_is_no_window(table: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match="windows") as refused:
        windows(table)
    assert text in str(refused.value)
