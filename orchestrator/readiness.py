"""Can this orchestrator work now? What it lacks, each with what to do about it; nothing when it is ready."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

import anyio

from orchestrator.store import Store, StoreError

STORE_S = 3.0
"""A store that does not take a write within this is not there for anybody's permits either."""


@dataclass(frozen=True, slots=True)
class Readiness:
    store: Store
    connected: Callable[[], bool]
    """Is the bus there?"""
    capacity: Callable[[str], int]
    """Jobs that a zone's living appliances carry."""
    zones: Callable[[], Collection[str]]
    """Those that are served."""

    async def lacks(self) -> list[str]:
        found = [await self._store()]
        if not self.connected():
            found.append("bus: not connected; look whether nats-server runs, and whether it can be reached")
        found += [
            f"appliance: none of zone {zone!r} takes jobs; look whether it runs, and what its log says"
            for zone in sorted(self.zones())
            if not self.capacity(zone)
        ]
        return [one for one in found if one]

    async def _store(self) -> str:
        try:
            with anyio.fail_after(STORE_S):
                await self.store.check_writable()
        except TimeoutError:
            return f"store: took no write in {STORE_S:g} s; look at its disk, and at who else uses it"
        except StoreError as error:
            return f"store: {error}"
        return ""
