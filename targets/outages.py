"""Networks that have gone silent on order: connections to their hosts are taken, and nothing is said any more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from math import inf

from targets.parts import Network


@dataclass(frozen=True, slots=True)
class Outage:
    network: Network
    until: float
    """Seconds of the monotonic clock, which all processes of a machine share; infinity: until it is lifted."""


class Outages:
    """`clock` gives seconds that only grow."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._outages: dict[Network, Outage] = {}
        self.changed: list[Callable[[Outage], None]] = []
        """Told of each order, for connections that are open already."""

    def order(self, outage: Outage) -> None:
        """Silent from now on; one that is over already lifts what was ordered for this network before."""
        self._outages[outage.network] = outage
        for told in self.changed:
            told(outage)

    def silent(self, address: str) -> bool:
        if not self._outages:
            return False
        now, place = self._clock(), ip_address(address)
        self._outages = {network: one for network, one in self._outages.items() if one.until > now}
        return any(place in network for network in self._outages)

    def left(self, outage: Outage) -> float:
        """Seconds until it is over; not more than 0 where it is."""
        return outage.until - self._clock()

    def now(self) -> dict[str, float | None]:
        """Seconds left, by network; None: until it is lifted."""
        left = {str(network): self.left(one) for network, one in self._outages.items()}
        return {network: None if seconds == inf else seconds for network, seconds in left.items() if seconds > 0}


def lasting(seconds: float | None, clock: Callable[[], float]) -> float:
    """The moment at which something is over that lasts so long; None: for good."""
    return inf if seconds is None else clock() + seconds
