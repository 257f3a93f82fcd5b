"""Which secrets hold a text: one long string of all texts, scanned at the speed of `str.find`.

A hundred thousand names are two megabytes, which are searched in about a millisecond; a walk over the secrets takes
fifty times as long.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence

_END = "\n"


class TextIndex:
    """Texts by position. They are folded here; a line break in one is a space."""

    def __init__(self, texts: Sequence[str]) -> None:
        folded = [text.casefold().replace(_END, " ") for text in texts]
        self._starts: list[int] = []
        at = 0
        for text in folded:
            self._starts.append(at)
            at += len(text) + 1
        self._text = _END.join(folded) + _END

    def containing(self, text: str) -> Iterator[int]:
        """Positions of the texts that contain this one, ascending, each once."""
        wanted = text.casefold()
        if _END in wanted:
            return
        found = self._text.find(wanted)
        while 0 <= found < len(self._text):
            position = bisect_right(self._starts, found) - 1
            if position >= len(self._starts):
                return
            yield position
            if position + 1 == len(self._starts):
                return
            found = self._text.find(wanted, self._starts[position + 1])
