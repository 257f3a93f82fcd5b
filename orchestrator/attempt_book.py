"""Where a controller writes down what it sends and what becomes of it: the store, or a load test's recorder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from orchestrator.store.records import AttemptRow, JobRow, Settled, Undispatched


class AttemptBook(Protocol):
    """Each call may be repeated, and then changes nothing. Raises StoreError where the book is a store."""

    async def dispatched(
        self,
        run: str,
        rows: Sequence[tuple[JobRow, AttemptRow | None]],
        cursors: Mapping[str, int],
        ended: Sequence[Undispatched] = (),
    ) -> list[bool]:
        """Attempts that are about to be published, or (None) jobs that wait; jobs that end without (another) attempt;
        how far the cursors have come. True for each of `ended` that has no end yet.
        """
        ...

    async def settle(self, rows: Sequence[Settled]) -> list[bool]:
        """Attempts that have ended. True for each that decides what becomes of its job."""
        ...

    async def finished(self, run: str, names: Sequence[str]) -> int:
        """How many of these jobs have their end."""
        ...
