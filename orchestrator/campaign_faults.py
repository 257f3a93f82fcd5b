"""What is wrong with a campaign file, and the error that says so."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    origin: str
    line: int
    key: str
    message: str

    def __str__(self) -> str:
        return f"{self.origin}:{self.line}: {self.key}: {self.message}"


class CampaignError(ValueError):
    """A campaign file that cannot be used; its text has one line per fault."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(map(str, self.faults)))
