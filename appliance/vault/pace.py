"""How many requests a second a vault gets that limits their rate. Pure; time and jitter come from outside.

A limit of requests at once (`window`) does not help there: a quick vault is asked too often by one request at a time,
and every answer that says so is a request wasted. Nobody says what the limit is, and others may share it.

Rules:
1. There is no limit until the vault turns a request away (429, or 503 with Retry-After). It is then forgotten when no
   request was turned away for FORGET seconds and none has had to wait.
2. Nothing is sent before the moment that Retry-After names. From then on requests go one by one, 1/rate apart. Nothing
   is saved up while nobody asks, but for what makes good for a loop that was late (SLACK).
3. The first rate is what the vault has answered of late, per second that has passed, the pause included: too low rather
   than too high. It is multiplied by e within a second, in SEARCH_ANSWERS answers at least, until the vault turns the
   next one away: the search.
4. Turned away at a rate that was kept for STEADY seconds: KEEP times the rate, or times what the vault has answered in
   the last SPAN seconds, whichever is less. Turned away sooner: KEEP times the rate; after HASTY times in a row what it
   has answered in the last LONG_SPAN seconds, pauses included; and search, if that is not even a quarter. Where nobody
   has been served since the last time but one: half; after BARREN times in a row search from there.
5. What was sent before the last change of this kind changes nothing but the moment of rule 2.
6. An answer to a request that had to wait for its turn raises the rate by RISE / sqrt(rate), by a GENTLEST part of it
   at most: so by RISE * sqrt(rate) a second. A greater rate is raised by a lesser part of itself and lowered by the
   same, and is turned away more often: so those who share a vault come to have equal shares. A rate that is not used
   proves nothing.
7. When no request was turned away for CALM seconds the limit may be gone, or greater: search.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

KEEP = 0.85
RISE = 0.15
GENTLEST = 1 / 24
SPAN, LONG_SPAN = 1.0, 2.0
SLACK = 0.05
STEADY = 1.0
HASTY, BARREN = 2, 5
SEARCH_ANSWERS = 4
CALM = 60.0
FORGET = 60.0
FIRST, LEAST = 2.0, 0.2
"""Requests a second: at the beginning at least; and however often the vault says no."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A request that may go out now."""

    round: int
    waited: bool
    """It came too early, and had to wait."""


class _Meter:
    """Answers a second, over the last `span` seconds or since it was started."""

    def __init__(self, span: float) -> None:
        self._span = span
        self.start(float("-inf"))

    def start(self, at: float) -> None:
        self._since, self._now, self._before, self._has_before = at, 0, 0, False

    def note(self, at: float) -> None:
        if at - self._since >= self._span:
            self._roll(at)
        self._now += 1

    def per_second(self, at: float) -> float:
        if at - self._since >= self._span:
            self._roll(at)
        spent = max(at - self._since, 0.0)
        if self._has_before:
            return (self._now + self._before * (1 - spent / self._span)) / self._span
        return self._now / self._span

    def _roll(self, at: float) -> None:
        late = at - self._since >= 2 * self._span
        self._before, self._has_before = (0 if late else self._now), self._since > float("-inf")
        self._since, self._now = (at if late else self._since + self._span), 0


class Pace:
    """`jitter` gives numbers from 0 to 1: processes that were turned away together do not come back together."""

    def __init__(self, jitter: Callable[[], float]) -> None:
        self._jitter = jitter
        self.rate: float | None = None
        """Requests a second; None where no limit is known."""
        self.unlimited = Turn(0, waited=False)
        """The turn of every request while that is so."""
        self._searching = False
        self._round = 0
        self._not_before = float("-inf")
        self._next = float("-inf")
        self._meter = _Meter(SPAN)
        """Started anew with every round."""
        self._long = _Meter(LONG_SPAN)
        self._resumed = float("-inf")
        """When the rate of this round began to be used."""
        self._refused = float("-inf")
        """When the vault turned away any request."""
        self._served = 0
        """Answers of this round."""
        self._hasty = 0
        """Rounds in a row that ended before they were STEADY."""
        self._barren = 0
        """Rounds in a row without an answer."""
        self._answered = float("-inf")
        self._unanswered: float | None = None
        """Since when requests have gone out and none was answered."""

    @property
    def searching(self) -> bool:
        """Is the rate but a guess, which may soon be many times as much?"""
        return self._searching

    def serves(self, now: float, within: float) -> bool:
        """Has the vault answered anybody within so many seconds, if it was asked?"""
        return self._unanswered is None or now - self._unanswered <= within

    def due(self, now: float) -> float:
        """When the next request may go: `now`, or later."""
        return max(now, self._not_before, self._next if self.rate is not None else now)

    def sent(self, now: float, *, waited: bool = False) -> Turn:
        """A request goes out (when it may, see `due`)."""
        self._unanswered = now if self._unanswered is None else self._unanswered
        if self.rate is not None:
            self._next = max(now - SLACK, self._next) + 1 / self.rate
        return Turn(self._round, waited)

    def holds(self, turn: Turn) -> bool:
        """Is this turn of the present rate?"""
        return turn.round == self._round

    def unsent(self, turn: Turn) -> None:
        """The request was given up before it went out: the next one may have its turn."""
        if self.rate is not None and turn.round == self._round:
            self._next -= 1 / self.rate

    def answered(self, turn: Turn, now: float) -> None:
        """Any answer but one that turns the request away."""
        last, self._answered, self._unanswered = self._answered, now, None
        self._meter.note(now)
        self._long.note(now)
        if self.rate is None:
            return
        calm = now - self._refused
        if not turn.waited:
            if calm >= FORGET:
                self.rate, self._searching, self._hasty = None, False, 0
            return
        if turn.round != self._round:
            return
        self._served += 1
        self._searching = self._searching or calm >= CALM
        if self._searching:
            since = now - max(last, self._resumed)
            self.rate *= 1 + min(max(since, 0.0), 1 / SEARCH_ANSWERS)
        else:
            self.rate += min(RISE / self.rate**0.5, self.rate * GENTLEST)

    def turned_away(self, turn: Turn, now: float, pause: float) -> None:
        """`pause`: seconds of Retry-After, 0 where it named none."""
        self._refused = now
        self._unanswered = now if self._unanswered is None else self._unanswered
        self._not_before = max(self._not_before, now + pause)
        if turn.round == self._round:
            self._round += 1
            self.unlimited = Turn(self._round, waited=False)
            self.rate = max(self._less(now), LEAST)
            self._served = 0
        assert self.rate is not None  # noqa: S101 - the first round ends with the first rate
        self._resumed = max(now, self._not_before)
        self._meter.start(self._resumed)
        self._next = self._resumed + self._jitter() / self.rate

    def _less(self, now: float) -> float:
        if self.rate is None:
            self._searching, self._hasty = True, 0
            return max(FIRST, self._meter.per_second(now) / (1 + max(self._not_before - now, 0.0)))
        self._barren = 0 if self._served else self._barren + 1
        if self._barren > 1:
            self._searching = self._barren > BARREN
            return self.rate / 2
        if now - self._resumed >= STEADY:
            self._searching, self._hasty = False, 0
            return KEEP * min(self.rate, self._meter.per_second(now))
        self._hasty += 1
        self._searching = False
        if self._hasty > HASTY:
            given = min(self._long.per_second(now), KEEP * self.rate)
            self._searching, self._hasty = given < self.rate / 4, 0
            return given
        return KEEP * self.rate
