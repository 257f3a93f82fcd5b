"""What OpenSSH's sshd does to who comes too often: MaxStartups, and PerSourcePenalties as since 9.8. Pure.

MaxStartups `begin:rate:full` (sshd.c, should_drop_connection): with fewer than `begin` unauthenticated connections
none is dropped, with `full` all are, and in between with a probability that rises linearly from `rate` per cent.

PerSourcePenalties (srclimit.c): each offence adds its seconds to what its source is penalised already, and time takes
them off. Once more than `min` seconds have come together the source is refused, until all of them have run out; there
are never more than `max`. A source is one address (PerSourceNetBlockSize 32:128, the default).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class MaxStartups:
    begin: int
    rate: int
    """Per cent."""
    full: int

    @classmethod
    def of(cls, text: str) -> MaxStartups:
        """`10:30:100`, or `10` for 10:100:10 (servconf.c). Raises ValueError."""
        parts = text.split(":")
        if len(parts) not in (1, 3) or not all(part.isdecimal() for part in parts):
            raise ValueError(f"max_startups {text!r} is neither `begin:rate:full` nor one number")
        begin, rate, full = map(int, parts) if len(parts) == 3 else (int(parts[0]), 100, int(parts[0]))
        if not (1 <= begin <= full and 1 <= rate <= 100):
            raise ValueError(f"max_startups {text!r}: begin must be 1 at least and full not below it, rate 1 to 100")
        return cls(begin, rate, full)

    def drops(self, unauthenticated: int, draw: float) -> bool:
        """`unauthenticated`: connections that there are already; `draw`: of 0 to 1."""
        if unauthenticated < self.begin:
            return False
        if unauthenticated >= self.full or self.rate == 100:
            return True
        chance = self.rate + (100 - self.rate) * (unauthenticated - self.begin) // (self.full - self.begin)
        return draw * 100 < chance


class Offence(StrEnum):
    AUTH_FAILED = "authfail"
    NO_AUTH = "noauth"
    """It went away without a try."""
    GRACE_EXCEEDED = "grace-exceeded"


DURATIONS = {Offence.AUTH_FAILED: 5.0, Offence.NO_AUTH: 1.0, Offence.GRACE_EXCEEDED: 10.0}
"""Seconds; the defaults of sshd_config(5), as are those below."""
MIN_S, MAX_S = 15.0, 600.0
SOURCES_MAX = 65536


@dataclass(slots=True)
class _Penalty:
    until: float
    enforced: bool


class Penalties:
    """Those of one host. Of more than `sources_max` sources, the ones that run out first are forgiven."""

    def __init__(self, sources_max: int = SOURCES_MAX) -> None:
        self._sources_max = sources_max
        self._penalties: dict[str, _Penalty] = {}

    def punish(self, source: str, offence: Offence, now: float) -> None:
        seconds = DURATIONS[offence]
        before = self._penalties.get(source)
        if before is None or before.until < now:
            self._penalties[source] = _Penalty(now + seconds, seconds > MIN_S)
            self._make_room(now)
            return
        before.until = min(before.until + seconds, now + MAX_S)
        before.enforced = before.enforced or before.until - now > MIN_S

    def refuses(self, source: str, now: float) -> bool:
        penalty = self._penalties.get(source)
        return penalty is not None and penalty.enforced and penalty.until >= now

    def _make_room(self, now: float) -> None:
        if len(self._penalties) <= self._sources_max:
            return
        self._penalties = {source: one for source, one in self._penalties.items() if one.until >= now}
        while len(self._penalties) > self._sources_max:
            del self._penalties[min(self._penalties, key=lambda source: self._penalties[source].until)]
