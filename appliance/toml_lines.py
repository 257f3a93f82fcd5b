"""On which line of a TOML text a key stands: what `tomllib` knows and does not tell.

A scanner, not a parser: it walks a text that `tomllib` has accepted, and only finds where keys, array elements and
tables begin. Keys are decoded by `tomllib` itself, so quoting and escapes mean the same to both.
"""

from __future__ import annotations

import bisect
import re
import tomllib
from collections.abc import Mapping

KeyPath = tuple[str | int, ...]

_BLANK = re.compile(r"(?:[ \t\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_KEY = re.compile(r"""(?:"(?:\\.|[^"\\\n])*"|'[^'\n]*'|[A-Za-z0-9_-]+|[ \t.])+""")
_STRING = re.compile(
    r"""
    "{3} (?:\\.|[^\\])*? "{3} (?:""?(?!"))?   # the closing quotes may follow one or two that belong to the text
    | '{3} .*? '{3} (?:''?(?!'))?
    | " (?:\\.|[^"\\\n])* "
    | ' [^'\n]* '
    """,
    re.DOTALL | re.VERBOSE,
)
_SCALAR = re.compile(r"[^,\]}#\n]*")


def key_lines(text: str) -> Mapping[KeyPath, int]:
    """Every key path of a valid TOML text with its line, counted from 1.

    Tables, arrays of tables and their elements stand on their first header, elements of an array where they begin,
    keys of an inline table where they are written. Raises RecursionError for a nesting that is absurdly deep.
    """
    return _Scanner(text.replace("\r\n", "\n")).scan()


def line_of(lines: Mapping[KeyPath, int], path: KeyPath) -> int:
    """The line of a path, or of the nearest thing above it that the text has; 1 when there is none."""
    for length in range(len(path), 0, -1):
        if (line := lines.get(path[:length])) is not None:
            return line
    return 1


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._lines: dict[KeyPath, int] = {}
        self._tables: dict[KeyPath, int] = {}
        """Arrays of tables: how many elements have been begun."""
        self._newlines = [m.start() for m in re.finditer("\n", text)]

    def scan(self) -> Mapping[KeyPath, int]:
        table: KeyPath = ()
        while self._more():
            if self._text.startswith("[[", self._at):
                table = self._array_header()
            elif self._text[self._at] == "[":
                table = self._header(1)
            else:
                self._pair(table)
        return self._lines

    def _more(self) -> bool:
        self._skip(_BLANK)
        return self._at < len(self._text)

    def _skip(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self._text, self._at)
        if match is None:
            raise AssertionError(f"not TOML at offset {self._at}: only accepted texts are scanned")
        self._at = match.end()
        return match[0]

    def _mark(self, path: KeyPath, offset: int) -> None:
        self._lines.setdefault(path, bisect.bisect_left(self._newlines, offset) + 1)

    def _keys(self) -> tuple[str, ...]:
        """A dotted key, decoded."""
        node = tomllib.loads(f"{self._skip(_KEY)}=0")
        keys: list[str] = []
        while isinstance(node, dict):
            ((key, node),) = node.items()
            keys.append(key)
        return tuple(keys)

    def _descend(self, base: KeyPath, keys: tuple[str, ...], offset: int) -> KeyPath:
        """The path of dotted keys below a table, each step marked; a step into an array of tables means its last."""
        path = base
        for key in keys:
            path = (*path, key)
            self._mark(path, offset)
            if path in self._tables:
                path = (*path, self._tables[path] - 1)
        return path

    def _header(self, brackets: int) -> KeyPath:
        offset = self._at
        self._at += brackets
        path = self._descend((), self._keys(), offset)
        self._at += brackets
        return path

    def _array_header(self) -> KeyPath:
        offset = self._at
        self._at += 2
        *above, last = self._keys()
        self._at += 2
        array = (*self._descend((), tuple(above), offset), last)
        self._mark(array, offset)
        index = self._tables.get(array, 0)
        self._tables[array] = index + 1
        element = (*array, index)
        self._mark(element, offset)
        return element

    def _pair(self, table: KeyPath) -> None:
        offset = self._at
        path = self._descend(table, self._keys(), offset)
        self._at += 1  # the equals sign
        self._skip(_SPACE)
        self._value(path)

    def _value(self, path: KeyPath) -> None:
        first = self._text[self._at]
        if first in "\"'":
            self._skip(_STRING)
        elif first == "[":
            self._array(path)
        elif first == "{":
            self._inline_table(path)
        else:
            self._skip(_SCALAR)

    def _array(self, path: KeyPath) -> None:
        self._at += 1
        index = 0
        while self._more() and self._text[self._at] != "]":
            self._mark((*path, index), self._at)
            self._value((*path, index))
            index += 1
            self._skip(_BLANK)
            if self._text[self._at] == ",":
                self._at += 1
        self._at += 1

    def _inline_table(self, path: KeyPath) -> None:
        self._at += 1
        while self._more() and self._text[self._at] != "}":
            self._pair(path)
            self._skip(_BLANK)
            if self._text[self._at] == ",":
                self._at += 1
        self._at += 1
