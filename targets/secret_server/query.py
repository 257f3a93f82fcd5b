"""Query strings as ASP.NET reads them: names in any case, an old `paging.` prefix, lenient booleans. Pure."""

from __future__ import annotations

from collections.abc import Iterable

TAKE = 10
"""Records on a page when the client does not say (UNSURE: no public source gives the default)."""
_INT_MAX = 2**31 - 1
_DIGITS_MAX = 18
"""More than an Int32 can have, and far fewer than Python would rather not read."""


class BadQueryError(ValueError):
    """A parameter that cannot be read as its type; the text names it."""


class Query:
    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        self._values: dict[str, str] = {}
        for name, value in pairs:
            self._values.setdefault(name.lower().removeprefix("paging."), value)

    def text(self, name: str) -> str:
        return self._values.get(name.lower(), "")

    def flag(self, name: str) -> bool:
        value = self.text(name).strip().lower()
        if value not in {"", "true", "false"}:
            raise BadQueryError(name)
        return value == "true"

    def number(self, name: str, default: int) -> int:
        value = self.text(name).strip()
        if not value:
            return default
        if not (value.isascii() and value.isdigit() and len(value) <= _DIGITS_MAX and int(value) <= _INT_MAX):
            raise BadQueryError(name)
        return int(value)
