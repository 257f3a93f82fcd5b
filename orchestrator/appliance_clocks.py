"""An appliance's clock against ours, by its heartbeats. Pure.

The rules, stated here and nowhere else:

 K1 bound      A beat that was sent at `s` by its clock and heard at `h` by ours had a delay, which is not below 0: its
               clock is ahead of ours by `s - h` at least, and by the delay more.
 K2 best       So the largest of the newest BEATS beats is the best. One of them will not have been held up.
 K3 found      The first beat that we see may have lain on the bus for as long as one lives. It says nothing.
 K4 apart      More than APART_S is told: the times at which jobs are given up, deferrals end and permits expire are
               times of day.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

BEATS = 10
APART_S = 2.0
"""As the alert `deploy/prometheus` has it."""


@dataclass(slots=True)
class Clock:
    """One appliance's."""

    _offsets: deque[float] = field(default_factory=lambda: deque(maxlen=BEATS))
    _found: bool = False

    def beat(self, sent_at: float, heard_at: float) -> None:
        if self._found:
            self._offsets.append(sent_at - heard_at)
        self._found = True

    @property
    def offset(self) -> float | None:
        """Seconds by which it is ahead of ours (less than 0: behind); None while nothing is known."""
        return max(self._offsets, default=None)


def are_apart(offset: float | None) -> bool:
    return offset is not None and abs(offset) > APART_S


def told(offset: float | None) -> str:
    """For people."""
    if offset is None:
        return ""
    if abs(offset) < 0.1:
        return "as ours"
    return f"{abs(offset):.1f} s {'ahead' if offset > 0 else 'behind'}"
