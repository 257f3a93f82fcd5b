"""Our uses of one secret against the rows of its audit. Pure.

A *use* is one request for the secret's values; its *window* is the time in which the vault must have written its row,
widened on both sides by `slack` for clocks that are not quite ours. A use is *sure* when its answer came; one that was
cut off, or of which nothing but its time is known, may have left a row or none.

 A1 one to one   A row is explained by one use in whose window it lies, and explains no other use by itself. Sure uses
                 come first; within that as many rows as possible are explained.
 A2 interval     Where the vault writes views down once per `interval` only (its "Secret View Interval"), a use without
                 a row of its own is covered by an explained row that is at most that much older.
 A3 drop         A sure use with neither. An unsure one is never a drop.
 A4 duplicate    A row that no use is left for, in the window of one that has its row: the use was written down twice.
 A5 forgery      Any other row that no use explains: what it tells of was not done by us.

What the rules cannot tell apart: a dropped row and a forged one within the same window are a pair. Numbers are exact
all the same: no other assignment leaves fewer drops, or, with these, fewer unexplained rows.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Window:
    """A use: from when to when the vault may have written its row, in Unix seconds of the clock that rows have too."""

    begin: float
    end: float
    sure: bool = True


@dataclass(frozen=True, slots=True)
class Pairing:
    """Uses and rows by their places in what was given."""

    pairs: Mapping[int, int]
    """Use -> the row that is its own (A1)."""
    covered: Mapping[int, int]
    """Use -> an older row that stands for it too (A2)."""
    drops: tuple[int, ...]
    duplicates: Mapping[int, int]
    """Row -> the use that was written down twice."""
    forgeries: tuple[int, ...]

    @property
    def clean(self) -> bool:
        return not (self.drops or self.duplicates or self.forgeries)


def pair(uses: Sequence[Window], rows: Sequence[float], *, slack: float, interval: float = 0.0) -> Pairing:
    """Pair uses with the times of rows; each in any order."""
    wide = [Window(use.begin - slack, use.end + slack, use.sure) for use in uses]
    matching = _Matching(wide, rows)
    of_row = matching.of_row
    of_use = {use: row for row, use in of_row.items()}
    covered = _covered(wide, of_use, sorted(of_row, key=rows.__getitem__), rows, interval) if interval else {}
    drops = tuple(n for n, use in enumerate(wide) if use.sure and n not in of_use and n not in covered)
    duplicates: dict[int, int] = {}
    forgeries: list[int] = []
    for row, at in enumerate(rows):
        if row in of_row:
            continue
        beside = [n for n in matching.around(at) if n in of_use]
        if beside:
            duplicates[row] = min(beside, key=lambda n: (abs(rows[of_use[n]] - at), n))
        else:
            forgeries.append(row)
    return Pairing(dict(sorted(of_use.items())), covered, drops, duplicates, tuple(forgeries))


def _covered(
    uses: Sequence[Window], of_use: Mapping[int, int], explained: Sequence[int], rows: Sequence[float], interval: float
) -> dict[int, int]:
    times = [rows[row] for row in explained]
    found: dict[int, int] = {}
    for number, use in enumerate(uses):
        if number not in of_use:
            latest = bisect_right(times, use.end) - 1
            if latest >= 0 and times[latest] >= use.begin - interval:
                found[number] = explained[latest]
    return found


class _Matching:
    """The largest matching that takes as many sure uses as any can."""

    def __init__(self, uses: Sequence[Window], rows: Sequence[float]) -> None:
        self._uses = uses
        self._rows = rows
        self._by_begin = sorted(range(len(uses)), key=lambda n: (uses[n].begin, uses[n].end, n))
        self._begins = [uses[n].begin for n in self._by_begin]
        self.of_row: dict[int, int] = {}
        self._match_sure()
        self._free = {n for n, use in enumerate(uses) if not use.sure}
        if self._free:
            self._match_unsure()

    def around(self, at: float) -> list[int]:
        """Uses in whose windows this time lies."""
        begun = self._by_begin[: bisect_right(self._begins, at)]
        return [n for n in begun if self._uses[n].end >= at]

    def _match_sure(self) -> None:
        """By time, each row to the open window that closes first: no other way pairs more."""
        waiting = deque(n for n in self._by_begin if self._uses[n].sure)
        open_: list[tuple[float, int]] = []
        for row in sorted(range(len(self._rows)), key=self._rows.__getitem__):
            at = self._rows[row]
            while waiting and self._uses[waiting[0]].begin <= at:
                use = waiting.popleft()
                heapq.heappush(open_, (self._uses[use].end, use))
            while open_ and open_[0][0] < at:
                heapq.heappop(open_)
            if open_:
                self.of_row[row] = heapq.heappop(open_)[1]

    def _match_unsure(self) -> None:
        """Give rows that are left to unsure uses; sure uses may change their row for it, and keep one."""
        dead: set[int] = set()  # rows from which no free use can be reached, however often one looks
        for row in sorted(set(range(len(self._rows))) - set(self.of_row), key=self._rows.__getitem__):
            self._improve(row, dead)

    def _improve(self, row: int, dead: set[int]) -> None:
        """Along a path of changes from a row without a use to a use without a row, if there is one."""
        row_of = {use: taken for taken, use in self.of_row.items()}
        came_from: dict[int, tuple[int, int] | None] = {row: None}
        """Row -> the row before it on the path, and the use that the two contend for."""
        queue = deque([row])
        seen_uses: set[int] = set()
        while queue:
            here = queue.popleft()
            for use in self.around(self._rows[here]):
                if use in seen_uses:
                    continue
                seen_uses.add(use)
                taken = row_of.get(use)
                if taken is None:
                    if use in self._free:
                        self._flip(here, use, came_from)
                        return
                elif taken not in came_from and taken not in dead:
                    came_from[taken] = (here, use)
                    queue.append(taken)
        dead.update(came_from)

    def _flip(self, row: int, use: int, came_from: Mapping[int, tuple[int, int] | None]) -> None:
        self._free.discard(use)
        self.of_row[row] = use
        while (step := came_from[row]) is not None:
            row, use = step
            self.of_row[row] = use
