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
    working: Callable[[], Collection[str]]
    """Zones of which some appliance takes jobs."""
    zone: str = ""
    """The one that must be among them; empty where any will do."""

    async def lacks(self) -> list[str]:
        found = [await self._store()]
        if not self.connected():
            found.append("bus: not connected; look whether nats-server runs, and whether it can be reached")
        working = self.working()
        if self.zone not in working if self.zone else not working:
            of_zone = f" of zone {self.zone!r}" if self.zone else ""
            found.append(f"appliance: none{of_zone} takes jobs; look whether it runs, and what its log says")
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
