"""One dial for both technologies: a connected, non-blocking TCP socket, or the real errno.

The phases are DNS (names only; a literal skips it) and TCP. There is no time-out here: the caller's scope is the
deadline, and being cancelled closes the socket.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
import sys
from asyncio import get_running_loop
from collections.abc import Callable

from appliance.contract import Failure, Phase, Signal, SignalKind, named, raised
from appliance.phases import PhaseLedger

IP_BIND_ADDRESS_NO_PORT = getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24)
"""Linux: take the source port at connect, so that one port serves many targets. Python names it from 3.12 on."""


def anywhere(_address: str) -> bool:
    return True


async def dial(
    target_address: str,
    port: int,
    ledger: PhaseLedger,
    *,
    allow: Callable[[str], bool] = anywhere,
    source: str | None = None,
) -> socket.socket | Failure:
    """Connect to an IP literal or a DNS name, from `source` (an IP literal) if given.

    `allow` judges every address that a name resolves to: a refused one is not dialled, and if none is left the failure
    is REFUSED_BY_POLICY. Other failures carry an errno in phase TCP, or the resolver's exception in phase DNS.
    """
    addresses = [target_address]
    if not _is_literal(target_address):
        ledger.enter(Phase.DNS)
        resolved = await resolve(target_address)
        if isinstance(resolved, Failure):
            return resolved
        addresses = resolved
    allowed = [a for a in addresses if allow(a)]
    if not allowed:
        return Failure(Phase.DNS, named("REFUSED_BY_POLICY"), f"{target_address} is {', '.join(addresses)}")

    ledger.enter(Phase.TCP)
    ended: Failure | None = None
    for address in allowed:
        connected = await _connect(address, port, source)
        if not isinstance(connected, Failure):
            return connected
        ended = connected
    assert ended is not None  # noqa: S101 - `allowed` is not empty, as checked above
    return ended


def _is_literal(address: str) -> bool:
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return False
    return True


async def resolve(name: str) -> list[str] | Failure:
    """The name's addresses in the resolver's order, each once; a literal is its own."""
    if _is_literal(name):
        return [name]
    try:
        found = await get_running_loop().getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:  # UnicodeError: a label that no DNS name can have
        return Failure(Phase.DNS, raised(error), str(error))
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


async def _connect(address: str, port: int, source: str | None) -> socket.socket | Failure:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        sock = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        return _refused(error, address)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if source is not None:
            if sys.platform == "linux":
                sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
            sock.bind((source, 0))
        await get_running_loop().sock_connect(sock, (address, port))
    except OSError as error:
        sock.close()
        return _refused(error, address)
    except BaseException:  # cancelled: the socket is ours until it is returned
        sock.close()
        raise
    return sock


def _refused(error: OSError, address: str) -> Failure:
    return Failure(Phase.TCP, os_error(error), f"{address}: {error.strerror or type(error).__name__}")


def os_error(error: OSError) -> Signal:
    """The signal of an OSError: its errno by name where it has one, else its class (resolver codes are no errnos)."""
    if error.errno is not None and error.errno in errno.errorcode and not isinstance(error, socket.gaierror):
        return Signal(kind=SignalKind.ERRNO, name=errno.errorcode[error.errno])
    return raised(error)
