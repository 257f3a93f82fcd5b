"""Virtual time without a loop: a heap of events, one random source, and actors whose death cancels their events."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from random import Random
from typing import Any

Event = tuple[float, int, "Actor", int, Callable[..., None], tuple[Any, ...]]


class Violation(AssertionError):
    """The system has broken a promise."""


class Actor:
    """Somebody who acts and can die. What it had planned in an earlier life never happens."""

    def __init__(self) -> None:
        self.life = 0
        self.alive = True

    def die(self) -> None:
        self.life += 1
        self.alive = False

    def rise(self) -> None:
        self.alive = True


class Kernel:
    """The heap. The same seed gives the same order: time first, then the order of planning."""

    def __init__(self, rng: Random, *, traced: bool = False) -> None:
        self.rng = rng
        self.now = 0.0
        self.steps = 0
        self.trace: list[str] | None = [] if traced else None
        self._heap: list[Event] = []
        self._planned = 0

    def at(self, delay: float, actor: Actor, act: Callable[..., None], *args: Any) -> None:
        """Let a living actor do something after `delay` seconds, if it still lives the same life then."""
        self._planned += 1
        heapq.heappush(self._heap, (self.now + delay, self._planned, actor, actor.life, act, args))

    def step(self) -> bool:
        """The next event that anybody is left to act on; False when there is none."""
        while self._heap:
            when, _, actor, life, act, args = heapq.heappop(self._heap)
            if actor.life != life:
                continue
            self.now = when
            self.steps += 1
            act(*args)
            return True
        return False

    def note(self, what: str, *about: object) -> None:
        """A line of the trace; costs nothing in an untraced run."""
        if self.trace is not None:
            self.trace.append(f"{self.now:9.3f}  {what} {' '.join(map(str, about))}")

    def chance(self, probability: float) -> bool:
        return probability > 0 and self.rng.random() < probability
