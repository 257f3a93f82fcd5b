"""Who is at the door: which host of the estate a connection is for, as its local address says."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any, Protocol

from targets.conduct import Pace, presence
from targets.estate import Host, Technology
from targets.faults import Port
from targets.host_world import HostWorld


def host_at(world: HostWorld, transport: asyncio.Transport, technology: Technology) -> Host | None:
    """The host that a connection has reached. One that reaches none is counted and reset, and None is returned; for
    one that reaches a host that is down, too, which counts nothing.

    A listener has every address of the device `lo`, since no bind covers just 127.0.0.0/8 (see `steering`).
    """
    peer, local = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
    # A peer that has already gone has no name.
    host = world.estate.hosts.get(local[0]) if peer and local and not world.misdirected(local[0]) else None
    if host is None or host.technology != technology or host.fault.port is Port.CLOSED:
        world.metrics.strangers += 1
        reset(transport)
        return None
    if not presence(host.conduct, world.estate.seed, host.address, world.age).up:
        reset(transport)
        return None
    world.metrics.opened(host.address)
    return host


def odd_service(world: HostWorld, host: Host) -> tuple[Port, bytes] | None:
    """What answers at a host's port, and says what, where it is not its usual service."""
    if world.outages.silent(host.address):
        return Port.SILENT, b""
    fault = host.fault
    turned_away = fault.turned_away is not None and world.metrics.hosts[host.address].connections > fault.turned_away
    return None if fault.port is Port.OPEN or turned_away else (fault.port, fault.says)


def pace_of(world: HostWorld, host: Host) -> Pace:
    """For the connection that has been counted last."""
    number = world.metrics.hosts[host.address].connections
    return Pace(host.conduct, host.fault, f"{world.estate.seed}|{host.address}|{number}")


def source(transport: asyncio.Transport) -> str:
    """The address that a connection comes from; empty where it has gone already."""
    peer = transport.get_extra_info("peername")
    return str(peer[0]) if peer else ""


class Connected(Protocol):
    """A transport, or what stands for one."""

    def get_extra_info(self, name: str) -> Any: ...

    def abort(self) -> None: ...


def reset(transport: Connected) -> None:
    """Close with RST instead of FIN: a stranger sees no service rather than one that ends politely."""
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
