"""How many attempts may be open at once for an account whose logons a budget bounds: additive increase, multiplicative
decrease. Pure; time comes from outside.

An attempt is open for longer than it holds its permit: it is sent, dials and negotiates before, and is looked at and
reported after. So more than the budget must be open to keep all permits in use; how many, depends on hosts, network and
machines. Each attempt tells how long it waited for its permit, and that is what this goes by.

Rules:
1. It begins at FIRST x budget and is never below LEAST x budget. It has no limit of its own above: what bounds all open
   attempts of a run bounds these too (`dispatch`, D1).
2. Who waited SHORT_S or less widens it: by 1 until somebody has waited long for the first time, afterwards by
   GAIN/width, so by GAIN per round trip. So does who was cut off before it could ask: nobody waited for it. A crowd of
   which less than half is open proves nothing.
3. Who waited LONG_S or more narrows it by a tenth, who was put off for it halves it.
4. Once per round trip: what was dispatched before the last narrowing changes nothing, since it met the crowd that this
   narrowing has already answered. Nor does the first wave, dispatched before anybody was heard: it waited for the
   account's canary.
"""

from __future__ import annotations

from math import inf

FIRST, LEAST = 4, 2
GAIN = 2.0
SHORT_S = 0.1
"""Reports and dispatching are gathered for about as long: with less than that ahead, permits lie idle in between."""
LONG_S = 1.0
"""A host keeps a session open for a login that waits; after 5 s we give it up, and the attempt is put off."""
PUT_OFF = inf


class Crowd:
    """Of one account."""

    def __init__(self, budget: int) -> None:
        self._least = float(LEAST * budget)
        self._wide = float(FIRST * budget)
        self._counts_from: float | None = None
        """Who was dispatched before this changes nothing."""
        self._narrowed = False

    @property
    def limit(self) -> int:
        return int(self._wide)

    def waited(self, seconds: float, *, dispatched_at: float, open_now: int, now: float) -> None:
        """An attempt, one of so many that are open, has waited so long for its permit, or was PUT_OFF."""
        if self._counts_from is None:
            self._counts_from = now
        if dispatched_at < self._counts_from:
            return
        if seconds >= LONG_S:
            self._wide = max(self._wide * (0.5 if seconds == PUT_OFF else 0.9), self._least)
            self._counts_from, self._narrowed = now, True
        elif seconds <= SHORT_S and 2 * open_now >= self._wide:
            self._wide += GAIN / self._wide if self._narrowed else 1.0
