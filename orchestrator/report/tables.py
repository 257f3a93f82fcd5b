"""Tables for terminals: what may stand in a cell, and who gives way where the terminal is narrow.

The rules, stated here and nowhere else:

 T1 whole      Nothing is cut off. What does not fit on a line goes on in the next one.
 T2 kept       No word is broken that has at most so many characters as its column keeps: codes, run ids, addresses, and
               the words of any sentence.
 T3 give way   Columns share the room alike: whoever needs less has all it needs, and the longest lines are wrapped.
               Only where the words alone are too long are some broken, the longest first. So one endless name costs
               the other columns no word.
 T4 text       A cell is text, never markup, and shows control characters as their escapes: peers chose some of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Column, Table
from rich.text import Text

from appliance.reasons import REASONS
from orchestrator.report.escape import plain

CODE = max(map(len, REASONS))
"""Characters of the longest reason code."""
RUN_ID = len("20261125-220403-b534")
PROSE = len("failure_budget")
"""The longest word of our own sentences."""
ADDRESS = len("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")

# Blue against red, which nearly everybody can tell apart; what they say always stands there in words, too.
GOOD, BAD = "cyan", "bold red"


def column(title: str, *, keep: int = PROSE, right: bool = False) -> Column:
    """`keep`: characters that a word may have and is not broken."""
    return Column(cell(title), min_width=keep, overflow="fold", justify="right" if right else "left")


def cell(value: str, style: str = "") -> Text:
    return Text(plain(value), style=style)


def say(console: Console, text: str, style: str = "") -> None:
    """A sentence, with its words whole on a terminal; a file and another program get it on one line."""
    console.print(cell(text, style), soft_wrap=not console.is_terminal)


class FittedTable(Table):
    """A table of `column`s, as wide as its text or the terminal."""

    def __init__(self, title: str, *columns: Column) -> None:
        super().__init__(*columns, title=cell(title) if title else None, title_justify="left")

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self.columns:
            # A line between the columns and at both ends, and a blank on either side of each cell.
            room = options.max_width - (3 * len(self.columns) + 1)
            for part, width in zip(self.columns, self._widths(console, options, room), strict=True):
                part.width = width
        yield from super().__rich_console__(console, options)

    def _widths(self, console: Console, options: ConsoleOptions, room: int) -> list[int]:
        keeps, words, lines = [], [], []
        for part in self.columns:
            texts = [part.header, *part.cells]
            lengths = [cell_len(word) for text in texts for word in str(text).split()]
            words.append(max(lengths, default=1))
            lines.append(max(Measurement.get(console, options, text).maximum for text in texts))
            keeps.append(max((length for length in lengths if length <= (part.min_width or 1)), default=1))
        return fitted(room, keeps, words, lines)


def fitted(room: int, keeps: Sequence[int], words: Sequence[int], lines: Sequence[int]) -> list[int]:
    """Widths of columns that together have `room`, by what each keeps, its longest word and its longest line (T3)."""
    for least in (words, keeps):
        if sum(least) <= room:
            return _levelled(room, least, lines)
    return _levelled(room, [1] * len(keeps), keeps)  # no terminal is that narrow


def _levelled(room: int, least: Sequence[int], most: Sequence[int]) -> list[int]:
    """As much for each as for every other one, but no less than its least and no more than its most."""

    def at(level: int) -> list[int]:
        return [max(low, min(high, level)) for low, high in zip(least, most, strict=True)]

    level = _largest(lambda level: sum(at(level)) <= room, max(most, default=1))
    widths, above = at(level), at(level + 1)
    for place, wider in enumerate(above):
        if widths[place] < wider and sum(widths) < room:
            widths[place] = wider
    return widths


def _largest(fits: Callable[[int], bool], most: int) -> int:
    """The largest number of 1 to `most` that fits, if 1 does."""
    return next((number for number in range(most, 1, -1) if fits(number)), 1)
