"""Query strings as ASP.NET reads them: names in any case, an old `paging.` prefix, lenient booleans. Pure."""

from __future__ import annotations

from collections.abc import Iterable

TAKE = 10
"""Records on a page when the client does not say (UNSURE: no public source gives the default)."""


class BadQueryError(ValueError):
    """A parameter that cannot be read as its type; the text names it."""


class Query:
    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in pairs:
            self._values.setdefault(name.lower().removeprefix("paging."), []).append(value)

    def text(self, name: str) -> str:
        return self._values.get(name.lower(), [""])[0]

    def texts(self, name: str) -> list[str]:
        """All values of a name, those of `name[0]`, `name[1]` among them."""
        indexed = name.lower() + "["
        found = [v for known, values in self._values.items() if known.startswith(indexed) for v in values]
        return [*self._values.get(name.lower(), []), *found]

    def has(self, name: str) -> bool:
        return bool(self.text(name).strip())

    def flag(self, name: str, *, default: bool = False) -> bool:
        value = self.text(name).strip().lower()
        if value not in {"", "true", "false"}:
            raise BadQueryError(name)
        return value == "true" if value else default

    def number(self, name: str, default: int) -> int:
        value = self.text(name).strip()
        return _number(name, value) if value else default

    def numbers(self, name: str) -> list[int]:
        return [_number(name, part.strip()) for value in self.texts(name) for part in value.split(",") if part.strip()]

    def sorts(self) -> list[tuple[str, bool]]:
        """`sortBy[0].name` and `.direction` as (name, descending), in order of `.priority`, else of their number."""
        found = []
        number = 0
        while name := self.text(f"sortBy[{number}].name"):
            direction = self.text(f"sortBy[{number}].direction").strip().lower() or "asc"
            if direction not in {"asc", "desc", "none"}:
                raise BadQueryError(f"sortBy[{number}].direction")
            found.append((self.number(f"sortBy[{number}].priority", number), name, direction))
            number += 1
        return [(name, direction == "desc") for _, name, direction in sorted(found) if direction != "none"]


def _number(name: str, value: str) -> int:
    digits = value.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 12):
        raise BadQueryError(name)
    return int(value)
