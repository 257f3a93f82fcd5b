"""Many byte strings looked for at once in a stream, however many there are (Aho and Corasick's automaton)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ahocorasick_rs import BytesAhoCorasick

from appliance.leaks.forms import Forms


@dataclass(frozen=True, slots=True)
class Sought:
    """A secret by the name it is told by, and its forms."""

    name: str
    forms: Forms

    def __repr__(self) -> str:
        return f"<Sought {self.name}>"


@dataclass(frozen=True, slots=True)
class Hit:
    name: str
    """The secret's."""
    form: str
    offset: int
    """Of its first byte in the stream."""


class Finder:
    """Each form of each secret. Secrets of equal value are all told of."""

    def __init__(self, sought: Sequence[Sought]) -> None:
        owners: dict[bytes, list[tuple[str, str]]] = {}
        for secret in sought:
            for form, called in secret.forms.items():
                owners.setdefault(form, []).append((secret.name, called))
        self._owners = list(owners.values())
        self._overlap = max(map(len, owners), default=1) - 1
        self._automaton = BytesAhoCorasick(list(owners)) if owners else None

    def hits(self, stream: Iterable[bytes]) -> list[Hit]:
        """The first place of each secret and form in the stream's chunks taken together."""
        first: dict[tuple[str, str], int] = {}
        tail, position = b"", 0
        automaton = self._automaton
        if automaton is None:
            return []
        for chunk in stream:
            text = tail + chunk
            begin = position - len(tail)
            for which, start, _ in automaton.find_matches_as_indexes(text, overlapping=True):
                for owner in self._owners[which]:
                    first.setdefault(owner, begin + start)
            position += len(chunk)
            tail = text[-self._overlap :] if self._overlap else b""
        return [Hit(name, form, offset) for (name, form), offset in first.items()]
