"""The phase ledger and the deadline: where an attempt's time went, and when it ends whatever hangs.

The ledger is contiguous: entering a phase ends the one before, so the phases always add up to the attempt's total.
A phase that is entered twice (a key-exchange redial) adds to its first entry.

The deadline is absolute and ours; library time-outs are off. "The deadline has expired" is asked before any exception
is looked at, since a cancelled library raises whatever it likes. It stands still only while a vault that limits its
rate keeps the attempt waiting for its turn, while one listing of secrets is made for all targets, and while the pacer
takes in that a login has worked; all have limits of their own, and are no time of the target's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import anyio

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


class Deadline:
    """The time that is left to an attempt, as a cancel scope has it."""

    def __init__(self, scope: anyio.CancelScope) -> None:
        self._scope = scope
        self._left = 0.0
        self._waits = 0

    @contextmanager
    def stopped(self) -> Iterator[None]:
        if not self._waits:
            self._left, self._scope.deadline = self._scope.deadline - anyio.current_time(), float("inf")
        self._waits += 1
        try:
            yield
        finally:
            self._waits -= 1
            if not self._waits:
                self._scope.deadline = anyio.current_time() + self._left


_deadline: ContextVar[Deadline | None] = ContextVar("deadline", default=None)


class CutOff:
    """Ends all attempts of a scan process at once, as their deadlines would."""

    def __init__(self) -> None:
        self._scopes: dict[anyio.CancelScope, None] = {}
        self.struck = False

    def strike(self) -> None:
        self.struck = True
        for scope in list(self._scopes):
            scope.cancel()

    @contextmanager
    def reaches(self, scope: anyio.CancelScope) -> Iterator[None]:
        if self.struck:
            scope.cancel()
        self._scopes[scope] = None
        try:
            yield
        finally:
            del self._scopes[scope]


@contextmanager
def deadline(seconds: float, cut: CutOff | None = None) -> Iterator[None]:
    """Whatever is done within is cancelled after so many seconds, but for those that are `off_the_clock`; and when it
    is `cut`.
    """
    with anyio.move_on_after(seconds) as scope, (cut or CutOff()).reaches(scope):
        token = _deadline.set(Deadline(scope))
        try:
            yield
        finally:
            _deadline.reset(token)


@contextmanager
def off_the_clock() -> Iterator[None]:
    """The deadline of the attempt that this task is about, if it has one, stands still meanwhile."""
    current = _deadline.get()
    if current is None:
        yield
        return
    with current.stopped():
        yield
