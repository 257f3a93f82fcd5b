"""Tables as a terminal shows them."""

from __future__ import annotations

import re

ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
"""Colours, and ways to move about the screen."""
COLOUR = re.compile(r"\x1b\[[0-9;]*(3[0-7]|9[0-7])m")


def is_whole(text: str, width: int) -> None:
    """No line of a table has lost its right end, none has an ellipsis, and none is wider than the terminal."""
    lines = [line for line in ESCAPE.sub("", text).replace("\r", "").splitlines() if line[:1] and line[0] in "┏┃┡│├└"]
    assert lines, text
    assert max(map(len, lines)) <= width
    assert [line for line in lines if line[-1] not in "┓┃┩│┤┘"] == []
    assert [line for line in lines if "…" in line] == []


def cells(text: str) -> list[list[str]]:
    """The cells of each line between the borders."""
    lines = [line for line in ESCAPE.sub("", text).replace("\r", "").splitlines() if line.startswith("│")]
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in lines]


def joined(text: str, place: int) -> str:
    """A column's text, without the blanks and line ends that wrapping has put into it."""
    return "".join(row[place].replace(" ", "") for row in cells(text) if len(row) > place)
