"""One piece of knowledge, how bad it is, and what to change."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    OK = "ok"
    WARN = "warn"
    """It works, and may go wrong later."""
    BAD = "bad"
    """A run fails, or is not safe, as things are."""


@dataclass(frozen=True, slots=True)
class Finding:
    check: str
    level: Level
    text: str
    advice: str = ""
    """What to change; empty where nothing is."""


def fine(check: str, text: str) -> Finding:
    return Finding(check, Level.OK, text)


def warn(check: str, text: str, advice: str) -> Finding:
    return Finding(check, Level.WARN, text, advice)


def bad(check: str, text: str, advice: str) -> Finding:
    return Finding(check, Level.BAD, text, advice)
