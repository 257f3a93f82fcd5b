"""The stops at work: durable in the store, in force at once, and told to whoever must not wait for them.

A stop is in force before it is written, and lifted only when that is written: a crash in between leaves more stopped,
never less, than somebody was told.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import anyio

from appliance.logs import get_logger
from orchestrator.stops import Selector, Stop, Stops

log = get_logger()


class StopRows(Protocol):
    """Where stops are remembered. Raises StoreError."""

    async def put(self, stop: Stop) -> None:
        """Durable when it returns. One that is there stays as it is."""
        ...

    async def drop(self, stop: Stop) -> None: ...

    async def all(self) -> list[Stop]: ...


class StopOffice:
    """Keeps the stops of one state directory. `changed` is called when what is stopped has changed."""

    def __init__(self, rows: StopRows, changed: Callable[[], None]) -> None:
        self._rows = rows
        self._changed = changed
        self._lock = anyio.Lock()
        self.stops = Stops()

    async def load(self) -> None:
        """What earlier processes have been told. Before anything is granted."""
        for stop in await self._rows.all():
            self.stops.put(stop)

    async def refresh(self) -> None:
        """What other orchestrators have been told meanwhile."""
        async with self._lock:
            rows = await self._rows.all()
            if list(rows) == list(self.stops):
                return
            told = {stop.selector for stop in rows}
            for stop in [stop for stop in self.stops if stop.selector not in told]:
                self.stops.lift(stop)
            for stop in rows:
                self.stops.put(stop)
            self._changed()

    async def stop(self, wanted: Stop) -> Stop:
        """In force and durable when it returns: the stop that stands, which may be an older one."""
        async with self._lock:
            standing = self.stops.put(wanted)
            self._changed()
            await self._rows.put(standing)
        log.warning("use was stopped", what=str(standing.selector), by=standing.by, why=standing.why)
        return standing

    async def allow(self, selector: Selector | None) -> Sequence[Stop]:
        """Lift this stop, or all (None); what was lifted."""
        async with self._lock:
            one = None if selector is None else self.stops.get(selector)
            lifted = list(self.stops) if selector is None else [one] if one is not None else []
            for stop in lifted:
                await self._rows.drop(stop)
                self.stops.lift(stop)
            self._changed()
        for stop in lifted:
            log.warning("use is allowed again", what=str(stop.selector))
        return lifted
