"""The rules of `crowd`, one by one; then all of them at work on an account whose time is simulated."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from random import Random

import pytest

from orchestrator.crowd import FIRST, GAIN, LEAST, LONG_S, PUT_OFF, SHORT_S, Crowd

BUDGET = 2
JUST_RIGHT = (SHORT_S + LONG_S) / 2


def warm() -> Crowd:
    """Its first wave is over at time 0."""
    crowd = Crowd(BUDGET)
    crowd.waited(JUST_RIGHT, dispatched_at=-1.0, open_now=1, now=0.0)
    return crowd


def heard(
    crowd: Crowd, seconds: float, times: int = 1, *, now: float = 1.0, sent: float = 0.5, full: bool = True
) -> int:
    for _ in range(times):
        crowd.waited(seconds, dispatched_at=sent, open_now=crowd.limit if full else crowd.limit // 2 - 1, now=now)
    return crowd.limit


def test_who_hardly_waits_widens_it_by_one_until_somebody_has_waited_long() -> None:
    crowd = warm()
    assert crowd.limit == FIRST * BUDGET
    assert heard(crowd, SHORT_S, 30) == FIRST * BUDGET + 30
    narrowed = heard(crowd, LONG_S)
    assert narrowed == int((FIRST * BUDGET + 30) * 0.9)
    # From then on by GAIN for as many as are open.
    assert narrowed + GAIN - 1 <= heard(crowd, 0.0, narrowed, now=2.0, sent=1.5) <= narrowed + GAIN


def test_just_right_is_left_alone() -> None:
    crowd = warm()
    assert heard(crowd, JUST_RIGHT, 100) == FIRST * BUDGET


def test_a_crowd_that_is_not_half_open_proves_nothing() -> None:
    crowd = warm()
    assert heard(crowd, 0.0, 100, full=False) == FIRST * BUDGET


def test_who_is_put_off_halves_it_and_it_is_never_below_its_least() -> None:
    crowd = warm()
    wide = heard(crowd, 0.0, 32)
    assert heard(crowd, PUT_OFF) == wide // 2
    for now in range(2, 50):
        heard(crowd, PUT_OFF, now=float(now), sent=now - 0.5)
    assert crowd.limit == LEAST * BUDGET


def test_it_is_narrowed_once_for_all_who_met_the_same_crowd() -> None:
    crowd = warm()
    wide = heard(crowd, 0.0, 100)
    narrowed = heard(crowd, LONG_S, now=2.0)
    assert narrowed == int(wide * 0.9)
    assert heard(crowd, PUT_OFF, 50, now=3.0, sent=1.9) == narrowed
    assert heard(crowd, 0.0, 50, now=3.0, sent=1.9) == narrowed
    assert heard(crowd, LONG_S, now=3.0, sent=2.1) == int(narrowed * 0.9)


def test_the_first_wave_waited_for_the_canary() -> None:
    crowd = Crowd(BUDGET)
    assert heard(crowd, LONG_S, 8, now=3.0, sent=0.0) == FIRST * BUDGET
    assert heard(crowd, 0.0, 1, now=4.0, sent=3.5) == FIRST * BUDGET + 1, "nobody has waited long yet"


# -- at work ----------------------------------------------------------------------------------------------------------

GATHERED_S, HELD_S, AGAIN_S, DEADLINE_S, CANARY_S = 0.05, 5.0, 2.0, 30.0, 2.0
OPEN_AT_MOST = 1024
"""The dispatcher's rule D1."""


@dataclass
class Account:
    """Permits and attempts of one account, second by simulated second: what pacer, scanner and collector do to it."""

    budget: int
    verdict_s: float
    around_s: float
    """Of an attempt, besides its wait and its permit."""
    silent: float
    targets: int
    rng: Random = field(default_factory=lambda: Random(1))  # noqa: S311 - repeatable on purpose
    now: float = 0.0
    open: int = 0
    most: int = 0
    put_off: int = 0
    verdicts: list[float] = field(default_factory=list)
    _out: int = 0
    _queue: deque[tuple[float, float]] = field(default_factory=deque)
    """(dispatched, asked)"""
    _ended: list[tuple[float, float, bool]] = field(default_factory=list)
    """(dispatched, waited, for good), until they are gathered."""
    _events: list[tuple[float, int, Callable[..., None], tuple[float, ...]]] = field(default_factory=list)
    _numbers: count[int] = field(default_factory=count)

    def run(self) -> None:
        self.crowd, left = Crowd(self.budget), self.targets
        self._left = left
        self._dispatch()
        while self._events:
            self.now, _, act, given = heapq.heappop(self._events)
            act(*given)

    @property
    def rate(self) -> float:
        """Verdicts a second, in the middle of the run."""
        first, last = len(self.verdicts) * 3 // 10, len(self.verdicts) * 9 // 10
        return (last - first) / (self.verdicts[last] - self.verdicts[first])

    def _at(self, after: float, act: Callable[..., None], *given: float) -> None:
        heapq.heappush(self._events, (self.now + after, next(self._numbers), act, given))

    def _about(self, seconds: float) -> float:
        return seconds * self.rng.uniform(0.7, 1.3)

    def _dispatch(self) -> None:
        while self._left and self.open < min(self.crowd.limit, OPEN_AT_MOST):
            self._left -= 1
            self.open += 1
            self.most = max(self.most, self.open)
            if self.rng.random() < self.silent:
                self._at(DEADLINE_S, self._ends, self.now, 0.0, True)
            else:
                self._at(self._about(self.around_s * 0.7), self._ask, self.now)

    def _ask(self, dispatched: float) -> None:
        self._queue.append((dispatched, self.now))
        self._at(HELD_S, self._tired)
        self._grant()

    def _tired(self) -> None:
        while self._queue and self._queue[0][1] <= self.now - HELD_S:
            dispatched, _ = self._queue.popleft()
            self.put_off += 1
            self._ends(dispatched, PUT_OFF, False)

    def _grant(self) -> None:
        while self._queue and self._out < (self.budget if self.verdicts else 1):
            dispatched, asked = self._queue.popleft()
            self._out += 1
            takes = self._about(self.verdict_s) + (0.0 if self.verdicts else CANARY_S)
            self._at(takes, self._verdict, dispatched, self.now - asked)

    def _verdict(self, dispatched: float, waited: float) -> None:
        self._out -= 1
        self.verdicts.append(self.now)
        self._at(self._about(self.around_s * 0.3), self._ends, dispatched, waited, True)
        self._grant()

    def _ends(self, dispatched: float, waited: float, for_good: bool) -> None:
        if not self._ended:
            self._at(GATHERED_S, self._settle)
        self._ended.append((dispatched, waited, for_good))

    def _settle(self) -> None:
        for dispatched, waited, for_good in self._ended:
            self.crowd.waited(waited, dispatched_at=dispatched, open_now=self.open, now=self.now)
            self.open -= 1
            if not for_good:
                self._at(AGAIN_S, self._again)
        self._ended.clear()
        self._dispatch()

    def _again(self) -> None:
        self._left += 1
        self._dispatch()


@pytest.mark.parametrize("budget", [1, 2, 5])
@pytest.mark.parametrize("verdict_s", [0.015, 0.05, 0.2, 0.5, 2.0, 4.0])
@pytest.mark.parametrize("around_s", [0.1, 0.4, 2.0])
def test_permits_are_in_use_and_nobody_is_put_off(budget: int, verdict_s: float, around_s: float) -> None:
    account = Account(budget, verdict_s, around_s, silent=0.0, targets=5000 if verdict_s < 0.1 else 1000)
    account.run()
    assert account.rate == pytest.approx(budget / verdict_s, rel=0.1)
    enough = budget * (around_s + verdict_s + LONG_S) / verdict_s
    assert account.most <= max(2 * enough, FIRST * budget + 2 * budget)
    if verdict_s < 1.0:  # else the first wave's are, and some that meet slow ones
        assert account.put_off == 0
    assert account.put_off <= account.targets * 0.07


@pytest.mark.parametrize(("silent", "share"), [(0.05, 0.9), (0.3, 0.6), (0.5, 0.3)])
def test_hosts_that_hang_until_the_deadline_keep_no_permit_idle_for_long(silent: float, share: float) -> None:
    account = Account(BUDGET, 0.2, 0.3, silent=silent, targets=3000)
    account.run()
    assert account.rate >= share * BUDGET / 0.2
    assert account.most <= OPEN_AT_MOST
