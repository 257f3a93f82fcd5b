"""Where an estate's hosts are served, as the rest of the lab sees it: in this process, or in shards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from targets.estate import AccountKey
from targets.material import Material
from targets.metrics import Tally
from targets.outages import Outage

if TYPE_CHECKING:
    from targets.host_world import HostWorld

Change = tuple[AccountKey, Material]
"""What opens this account from now on."""


class HostServers(Protocol):
    """Orders are given at once and hold everywhere when `settled` has returned. Any method raises ShardError when a
    shard has gone.
    """

    def change(self, changes: Sequence[Change]) -> None: ...

    def outage(self, outage: Outage) -> None: ...

    async def begin(self, began: float) -> None:
        """The lab is ready: hosts do from this moment on what they do by the time."""
        ...

    async def settled(self) -> None: ...

    async def tallies(self) -> Sequence[Tally]:
        """What all processes that serve hosts have counted."""
        ...


class InThisProcess:
    """There is nobody to tell: `world` is what its hosts stand on."""

    def __init__(self, world: HostWorld) -> None:
        self._world = world

    def change(self, changes: Sequence[Change]) -> None:
        """The world's accounts have it already."""

    def outage(self, outage: Outage) -> None:
        """Likewise."""

    async def begin(self, began: float) -> None:
        """The world knows it."""

    async def settled(self) -> None:
        """Everything is, always."""

    async def tallies(self) -> Sequence[Tally]:
        return [self._world.tally()]
