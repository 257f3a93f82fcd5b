"""The phase ledger and the deadline: where an attempt's time went, and when it ends whatever hangs.

The ledger is contiguous: entering a phase ends the one before, so the phases always add up to the attempt's total.
A phase that is entered twice (a key-exchange redial) adds to its first entry.

The deadline is absolute and ours; library time-outs are off. "The deadline has expired" is asked before any exception
is looked at, since a cancelled library raises whatever it likes.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from appliance.contract import Phase, PhaseTime


class PhaseLedger:
    """Times one attempt's phases on a monotonic clock."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._spent: dict[Phase, float] = {}
        self._current: Phase | None = None
        self._since = clock()

    @property
    def current(self) -> Phase:
        """The phase the attempt is in. Raises LookupError before the first `enter`."""
        if self._current is None:
            raise LookupError("no phase has been entered yet")
        return self._current

    def enter(self, phase: Phase) -> None:
        self._close()
        self._current = phase

    def finish(self) -> tuple[PhaseTime, ...]:
        """Close the current phase; the phases in the order in which they were first entered, in milliseconds."""
        self._close()
        self._current = None
        return tuple(PhaseTime(phase=p, ms=round(s * 1000, 3)) for p, s in self._spent.items())

    def _close(self) -> None:
        now = self._clock()
        if self._current is not None:
            self._spent[self._current] = self._spent.get(self._current, 0.0) + now - self._since
        self._since = now
