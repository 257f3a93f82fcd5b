"""The vault's weather while it runs: which request waits, is turned away or gets a mangled answer. Seeded."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from datetime import UTC, timedelta
from email.utils import format_datetime

from targets.secret_server.clock import VaultClock
from targets.vault_faults import HTML, Mangle
from targets.vault_weather import WeatherSpec

_P99 = 2.326
"""Standard deviations above the median of a normal distribution."""


@dataclass(frozen=True, slots=True)
class TurnedAway:
    status: int
    body: str
    content_type: str
    retry_after: str = ""


class Weather:
    def __init__(self, spec: WeatherSpec, seed: int, clock: VaultClock) -> None:
        self._rng = random.Random(f"{seed}|weather")
        self._clock = clock
        self.set(spec)

    @property
    def spec(self) -> WeatherSpec:
        return self._spec

    def set(self, spec: WeatherSpec) -> None:
        """From now on it is like this."""
        self._spec = spec
        self._since = self._clock.seconds()
        self._clock.skew = spec.clock_skew
        self._allowance = self._capacity
        self._filled = self._since

    def delay(self) -> float:
        """Seconds that the next answer takes longer."""
        latency = self._spec.latency
        if latency is None:
            return 0.0
        sigma = math.log(latency.p99 / latency.median) / _P99
        return self._rng.lognormvariate(math.log(latency.median), sigma)

    def turned_away(self) -> TurnedAway | None:
        """A request has come: the answer to it, where it is not to be looked at."""
        bursts, now = self._spec.bursts, self._clock.seconds()
        if bursts is not None and (now - self._since) % bursts.every < bursts.lasting:
            return TurnedAway(bursts.status, HTML.format("Error"), "text/html")
        return self._throttled(now)

    def mangle(self) -> Mangle | None:
        """How the next answer comes wrong."""
        drawn = self._rng.random() if self._spec.mangled else 1.0
        for mangle, share in self._spec.mangled.items():
            if drawn < share:
                return mangle
            drawn -= share
        return None

    @property
    def _capacity(self) -> float:
        return float(self._spec.burst) or max(1.0, self._spec.requests_per_second)

    def _throttled(self, now: float) -> TurnedAway | None:
        rate = self._spec.requests_per_second
        if not rate:
            return None
        self._allowance = min(self._capacity, self._allowance + (now - self._filled) * rate)
        self._filled = now
        if self._allowance >= 1:
            self._allowance -= 1
            return None
        wait = math.ceil((1 - self._allowance) / rate)
        after = str(wait)
        if self._spec.retry_after == "date":
            when = self._clock.now() + timedelta(seconds=wait)
            after = format_datetime(when.replace(tzinfo=UTC), usegmt=True)
        return TurnedAway(429, '{"message": "Too many requests."}', "application/json", after)
