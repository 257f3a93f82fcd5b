"""Where a controller writes down what it sends and what becomes of it: the store, or a load test's recorder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from orchestrator.store.records import AttemptRow, JobRow, Settled, Undispatched


class AttemptBook(Protocol):
    """Each call may be repeated, and then changes nothing. Raises StoreError where the book is a store."""

    async def dispatched(
        self, run: str, rows: Sequence[tuple[JobRow, AttemptRow | None]], cursors: Mapping[str, int]
    ) -> None:
        """Attempts that are about to be published, or (None) jobs that wait, and how far the cursors have come."""
        ...

    async def settle(self, rows: Sequence[Settled]) -> list[bool]:
        """Attempts that have ended. True for each that decides what becomes of its job."""
        ...

    async def finish_without_attempt(self, run: str, rows: Sequence[Undispatched]) -> list[bool]:
        """Jobs that end without (another) attempt. True for each that has no end yet."""
        ...

    async def finished(self, run: str, names: Sequence[str]) -> int:
        """How many of these jobs have their end."""
        ...
