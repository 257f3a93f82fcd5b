"""How many requests one vault gets at once: additive increase, multiplicative decrease. Pure; time comes from outside.

Rules:
1. The window is never below 1 and never above the ceiling (`pace.vault_requests`). It begins at FIRST_WINDOW, or at the
   ceiling where that is lower.
2. An answer in good time to a request that went out with half the window in use, or more, widens it: by 1 until the
   vault has complained for the first time, afterwards by 1/window, so by at most 1 per round trip. A window that is not
   used proves nothing.
3. A vault that is overloaded (503) or cannot be reached halves it; so does a request that is not answered, unless one
   that was sent after it has been: then the vault is well, and chokes on this one.
4. A late answer narrows it by a tenth: one that took LATE_FACTOR times the least that such a request has taken of late,
   and LATE_SLACK besides. "Of late" is up to 2 x MEMORY, so that a vault that has become slower for good is not late.
5. Once per round trip: what was sent before the last narrowing changes nothing, since it met the crowd that this
   narrowing has already answered.
"""

from __future__ import annotations

from dataclasses import dataclass

FIRST_WINDOW = 8
LATE_FACTOR = 3.0
LATE_SLACK = 0.25
"""Seconds, so that jitter, and a loop of our own that lags, are no news."""
MEMORY = 15.0
KINDS = 64
"""Kinds of requests whose least time is kept; a new kind beyond them makes the oldest forgotten."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A request as it went out."""

    at: float
    used: bool
    """At least half of the window was."""
    round: int


@dataclass(slots=True)
class _Least:
    """The least time of one kind, over this span of MEMORY seconds and the last one."""

    since: float
    now: float
    before: float

    def note(self, at: float, took: float) -> float:
        if at - self.since >= MEMORY:
            self.before = self.now if at - self.since < 2 * MEMORY else took
            self.since, self.now = at, took
        self.now = min(self.now, took)
        return min(self.now, self.before)


class Window:
    def __init__(self, ceiling: int) -> None:
        self._ceiling = ceiling
        self._wide = float(min(FIRST_WINDOW, ceiling))
        self._complained = False
        self._round = 0
        self._answered_since = float("-inf")
        """When the newest of all answered requests was sent."""
        self._least: dict[str, _Least] = {}

    @property
    def size(self) -> int:
        """Requests that may be in flight now."""
        return int(self._wide)

    @property
    def narrowed(self) -> bool:
        """Is it the vault, and not the ceiling, that keeps requests waiting?"""
        return self._complained and self.size < self._ceiling

    def sent(self, now: float, in_flight: int) -> Sent:
        """`in_flight` counts this one."""
        return Sent(now, 2 * in_flight >= self.size, self._round)

    def answered(self, sent: Sent, now: float, kind: str) -> None:
        """An answer that is no complaint. `kind` names requests that should take the same time."""
        took = now - sent.at
        self._answered_since = max(self._answered_since, sent.at)
        late = took > LATE_FACTOR * self._noted(kind, now, took) + LATE_SLACK
        if sent.round != self._round:
            return
        if late:
            self._narrow(0.9)
        elif sent.used:
            self._wide = min(self._wide + (1 / self._wide if self._complained else 1.0), float(self._ceiling))

    def refused(self, sent: Sent) -> None:
        """The vault is overloaded, or cannot be reached."""
        if sent.round == self._round:
            self._narrow(0.5)

    def unanswered(self, sent: Sent) -> bool:
        """Nobody has waited any longer for an answer. Is that the vault's state, and not this one request's?"""
        general = self._answered_since <= sent.at
        if general:
            self.refused(sent)
        return general

    def _narrow(self, factor: float) -> None:
        self._complained = True
        self._round += 1
        self._wide = max(self._wide * factor, 1.0)

    def _noted(self, kind: str, now: float, took: float) -> float:
        least = self._least.get(kind)
        if least is None:
            if len(self._least) >= KINDS:
                del self._least[next(iter(self._least))]
            least = self._least[kind] = _Least(now, took, took)
        return least.note(now, took)
