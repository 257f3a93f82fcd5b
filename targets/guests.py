"""Open connections to the hosts of one protocol, and what befalls them: a host goes down, a network goes silent."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from ipaddress import ip_address
from math import inf
from typing import Protocol

from targets.conduct import presence
from targets.estate import Host
from targets.host_world import HostWorld
from targets.outages import Outage


class Guest(Protocol):
    """The server side of one connection."""

    def abort(self) -> None: ...


@dataclass(slots=True)
class _Stay:
    host: Host
    transport: asyncio.Transport
    cut: asyncio.TimerHandle | None = None


class Guests:
    """Create it in the loop that the hosts are served in."""

    def __init__(self, world: HostWorld) -> None:
        self._world = world
        self._stays: dict[Guest, _Stay] = {}
        self._lifts: list[asyncio.TimerHandle] = []
        world.outages.changed.append(self._outage)

    def add(self, guest: Guest, host: Host, transport: asyncio.Transport) -> None:
        stay = self._stays[guest] = _Stay(host, transport)
        if host.conduct.flapping is not None:
            lasts = presence(host.conduct, self._world.estate.seed, host.address, self._world.age).lasts
            stay.cut = asyncio.get_running_loop().call_later(lasts, guest.abort)

    def forget(self, guest: Guest) -> None:
        stay = self._stays.pop(guest, None)
        if stay is not None:
            self._world.metrics.closed()
            if stay.cut is not None:
                stay.cut.cancel()

    def abort_all(self) -> None:
        """For good: nobody is told of outages any more."""
        self._world.outages.changed.remove(self._outage)
        for lift in self._lifts:
            lift.cancel()
        for guest in tuple(self._stays):
            guest.abort()

    def _outage(self, outage: Outage) -> None:
        """Nothing is read from its hosts' connections, so nothing is answered, until it is over."""
        left = self._world.outages.left(outage)
        for stay in self._stays.values():
            if ip_address(stay.host.address) in outage.network and not stay.transport.is_closing():
                if left > 0:
                    stay.transport.pause_reading()
                elif not self._world.outages.silent(stay.host.address):
                    stay.transport.resume_reading()
        if 0 < left < inf:
            self._lifts.append(asyncio.get_running_loop().call_later(left, self._outage, outage))
