"""The vault's time: seconds that only grow, for what expires, and the date that it writes beside things."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta


class VaultClock:
    """`seconds` only grows. The date runs with it from `started` on, and can be set wrong by `skew` seconds."""

    def __init__(self, seconds: Callable[[], float], started: datetime | None = None) -> None:
        self._seconds = seconds
        self._zero = seconds()
        self._started = (started or datetime.now(UTC)).replace(tzinfo=None)
        self.skew = 0.0

    def seconds(self) -> float:
        return self._seconds()

    def now(self) -> datetime:
        """UTC, without an offset, as all dates of the vault are."""
        return self.at(self._seconds())

    def at(self, seconds: float) -> datetime:
        """The date at a moment of `seconds`."""
        return self._started + timedelta(seconds=seconds - self._zero + self.skew)

    def seconds_at(self, date: datetime) -> float:
        """The moment of a date."""
        return (date - self._started).total_seconds() + self._zero - self.skew
