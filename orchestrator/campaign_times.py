"""The campaign's times: the windows in which its runs may work, and the schedule that begins them."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    StrictBool,
    Tag,
    ValidationInfo,
    model_validator,
)

from orchestrator.campaign_table import Table, is_stored

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
_ANY_DAY = datetime(2027, 1, 1, tzinfo=UTC)
_YEARS = range(1970, 9999)
"""Of them every moment, in every zone, is one that the calendar of every other zone has."""
_CLOCK = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")


def _zone(value: str) -> str:
    try:
        return ZoneInfo(value).key
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f'{value!r} is no time zone; write its name, for example "Europe/Berlin" or "UTC"') from None


def _clock(value: object) -> object:
    """TOML's own local times too."""
    if isinstance(value, time):
        value = f"{value:%H:%M}" if not (value.second or value.microsecond) else str(value)
    if not isinstance(value, str) or _CLOCK.fullmatch(value) is None:
        raise ValueError('is no time of day; write it in quotes, for example "22:00"')
    return value


def _local(value: object, info: ValidationInfo) -> object:
    """A day and time, as TOML writes it or as text, without an offset: `time_zone` says whose. Of a campaign that an
    older release has stored, a year beyond the bounds becomes the nearest.
    """
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            value = None
    if type(value) is date:
        value = datetime.combine(value, time())
    if not isinstance(value, datetime) or value.tzinfo is not None:
        raise ValueError("is no day and time; write for example 2027-01-31T22:00:00, without an offset (see time_zone)")
    if value.year not in _YEARS and is_stored(info):
        value = value.replace(year=_YEARS[0] if value.year < _YEARS[0] else _YEARS[-1], day=min(value.day, 28))
    if value.year not in _YEARS:
        raise ValueError(
            f"is of the year {value.year}; years from {_YEARS[0]} to {_YEARS[-1]} are taken, and a window that stays "
            "open for good has no end: leave end out"
        )
    return value.replace(microsecond=0).isoformat(timespec="seconds" if value.second else "minutes")


TimeZone = Annotated[str, AfterValidator(_zone)]
Clock = Annotated[str, BeforeValidator(_clock, json_schema_input_type=str)]
Local = Annotated[str, BeforeValidator(_local, json_schema_input_type=str)]


class Daily(Table):
    """Hours of a day, every day or on some."""

    start: Clock
    stop_new: Clock | None = None
    """No new attempt from then on."""
    end: Clock
    """What is in flight is cut off."""
    days: Annotated[tuple[Day, ...], Field(min_length=1)] | None = None
    """On which it opens; by default on all."""
    time_zone: TimeZone

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.end == self.start:
            raise ValueError(
                "opens and ends at the same time of day; leave the window out for whole days, or correct end"
            )
        if self.stop_new is not None and not 0 < self._after_start(self.stop_new) <= self._after_start(self.end):
            raise ValueError("has a stop_new that is not between its start and its end; correct it")
        return self

    def _after_start(self, text: str) -> int:
        """Minutes from start on."""
        first, other = ((t.hour * 60 + t.minute) for t in (time.fromisoformat(self.start), time.fromisoformat(text)))
        return (other - first) % 1440

    def opens_on(self, weekday: int) -> bool:
        """0 is Monday."""
        return self.days is None or DAYS[weekday] in self.days

    def clock(self, key: Literal["start", "stop_new", "end"]) -> time:
        value = getattr(self, key)
        return time.fromisoformat(value)


class Once(Table):
    """From one day and time on, to another or without end."""

    start: Local
    stop_new: Local | None = None
    end: Local | None = None
    time_zone: TimeZone

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        times = [text for text in (self.start, self.stop_new, self.end) if text is not None]
        if times != sorted(times) or self.end == self.start:
            raise ValueError("must have start, stop_new and end in this order; correct them")
        return self


def _kind(value: object) -> str:
    start = value.get("start") if isinstance(value, dict) else getattr(value, "start", None)
    return "daily" if isinstance(start, time) or (isinstance(start, str) and len(start) <= len("22:00:00")) else "once"


Window = Annotated[Annotated[Daily, Tag("daily")] | Annotated[Once, Tag("once")], Discriminator(_kind)]


def _cron(value: str) -> str:
    """Five fields: a schedule that fires within a minute would begin runs faster than anybody could stop them."""
    text = " ".join(value.split())
    if not _is_cron(text):
        raise ValueError(
            f"{value!r} is no cron expression; write minute, hour, day, month and weekday, "
            'for example "0 22 * * mon-fri"'
        )
    return text


def _is_cron(text: str) -> bool:
    try:
        CronSim(text, _ANY_DAY)
    except CronSimError:
        return False
    return len(text.split()) == len(("minute", "hour", "day", "month", "weekday"))


class Schedule(Table):
    """When a run is to be begun."""

    cron: Annotated[str, AfterValidator(_cron)]
    time_zone: TimeZone
    overlap: Literal["skip", "queue"] = "skip"
    """What becomes of a run whose time comes while another of the campaign has not ended."""
    catch_up: StrictBool = True
    """What was missed in a standstill is made up for, once."""
