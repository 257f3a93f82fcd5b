"""One asks, all that want the same wait for that answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import anyio

V = TypeVar("V")


@dataclass(slots=True, eq=False)
class _Flight(Generic[V]):
    done: anyio.Event = field(default_factory=anyio.Event)
    result: list[V] = field(default_factory=list)


class SingleFlight(Generic[V]):
    """Shares the result of work that is under way; keeps nothing afterwards.

    The work runs in the task of the first who asks. When that one is cancelled, one of those who wait takes over, so no
    task is needed that nobody owns, and nobody is failed by another's deadline.
    """

    def __init__(self) -> None:
        self._flights: dict[Hashable, _Flight[V]] = {}

    async def share(self, key: Hashable, work: Callable[[], Awaitable[V]]) -> V:
        while (flight := self._flights.get(key)) is not None:
            await flight.done.wait()
            if flight.result:
                return flight.result[0]
        flight = self._flights[key] = _Flight()
        try:
            flight.result.append(await work())
        finally:
            del self._flights[key]
            flight.done.set()
        return flight.result[0]
