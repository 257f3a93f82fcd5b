"""One dial for both technologies: a connected, non-blocking TCP socket, or the real errno.

The phases are DNS (names only; a literal skips it) and TCP. DNS has a budget of its own (`resolver`); apart from that
the caller's scope is the deadline, and being cancelled closes every socket.

A name with several addresses is dialled as RFC 8305 has it: the families take turns, and the next address is tried as
soon as one has failed, or has said nothing for ATTEMPT_DELAY_S. The first that connects is used, and the others are
hung up. So a dead address costs a quarter of a second, and not the scan. Rules, stated here and nowhere else:
1. Each address is judged by itself, whatever name led to it: one that is not allowed is never dialled.
2. Nor is one that means another host to another machine: a link-local address, or the unspecified one, which would be
   this machine's own and get round an exclusion of the loopback.
3. Where all fail, the failure is the most telling one: a host that refuses is there, and no route may be ours to lack.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
import sys
from asyncio import get_running_loop
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import anyio

from appliance.contract import Failure, Phase, Signal, SignalKind, named, raised
from appliance.login.resolver import Resolver
from appliance.phases import PhaseLedger

ATTEMPT_DELAY_S = 0.25
"""RFC 8305's Connection Attempt Delay."""
MOST_ADDRESSES = 16
"""Of one name: whoever answers for it may list thousands."""

IP_BIND_ADDRESS_NO_PORT = getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24)
"""Linux: take the source port at connect, so that one port serves many targets. Python names it from 3.12 on."""

_SILENT = "no answer"
_NO_WAY = ("ENETUNREACH", "EAFNOSUPPORT", "EADDRNOTAVAIL", "SOURCE_ADDRESS")
_NO_HOST = ("EHOSTUNREACH", "EHOSTDOWN", "ETIMEDOUT")


def anywhere(_address: str) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Sources:
    """The addresses that are dialled from, as IP literals; None where the kernel is to choose."""

    v4: str | None = None
    v6: str | None = None

    def towards(self, address: str) -> str | None:
        return self.v6 if ":" in address else self.v4


ANY_SOURCE = Sources()


async def dial(
    target_address: str,
    port: int,
    ledger: PhaseLedger,
    *,
    allow: Callable[[str], bool] = anywhere,
    facts: dict[str, str] | None = None,
    sources: Sources = ANY_SOURCE,
    resolver: Resolver | None = None,
) -> socket.socket | Failure:
    """Connect to an IP literal or a DNS name.

    `allow` judges every address: a refused one is not dialled, and if none is left the failure is REFUSED_BY_POLICY.
    Other failures carry an errno in phase TCP, or what the resolver says in phase DNS. Of a name, `facts` is told, as
    it happens and also while being cancelled: `addresses`, what became of each, and `address`, the one that counts.
    """
    if _is_literal(target_address):
        addresses, journal = [target_address], _Journal({})
    else:
        ledger.enter(Phase.DNS)
        resolved = await resolve(target_address, resolver)
        if isinstance(resolved, Failure):
            return resolved
        addresses, journal = resolved[:MOST_ADDRESSES], _Journal({} if facts is None else facts)
    allowed = []
    for address in addresses:
        if why := _unfit(address) or ("" if allow(address) else "not allowed"):
            journal.note(address, why)
        else:
            allowed.append(address)
    if not allowed:
        return Failure(Phase.DNS, named("REFUSED_BY_POLICY"), f"{target_address}: {journal.text}")
    ledger.enter(Phase.TCP)
    if len(addresses) == 1:
        return await _only(allowed[0], port, sources, journal)
    return await _race(in_turns(allowed), port, sources, journal)


def _is_literal(address: str) -> bool:
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return False
    return True


async def resolve(name: str, resolver: Resolver | None = None) -> list[str] | Failure:
    """The name's addresses in the resolver's order, each once; a literal is its own."""
    return [name] if _is_literal(name) else await (resolver or Resolver()).addresses(name)


def _unfit(address: str) -> str:
    """Why nobody should dial this address, whatever the policy (rule 2); empty where there is no reason."""
    ip = ipaddress.ip_address(address)
    ip = getattr(ip, "ipv4_mapped", None) or ip
    if ip.is_unspecified:
        return "is no host's address"
    if isinstance(ip, ipaddress.IPv6Address) and (ip.scope_id or ip.is_link_local):
        return "is link-local: it names no host without a network interface"
    return ""


def in_turns(addresses: Sequence[str]) -> list[str]:
    """The families by turns, beginning with that of the first address; within a family the order stays."""
    first = [a for a in addresses if (":" in a) == (":" in addresses[0])]
    other = [a for a in addresses if (":" in a) != (":" in addresses[0])]
    return [a for pair in zip_longest(first, other) for a in pair if a is not None]


class _Journal:
    """What became of each address of a name, kept as two facts."""

    def __init__(self, facts: dict[str, str]) -> None:
        self._facts = facts
        self._said: dict[str, str] = {}

    @property
    def text(self) -> str:
        return ", ".join(f"{address} {word}" for address, word in self._said.items())

    def begin(self, address: str) -> None:
        self.note(address, _SILENT)

    def note(self, address: str, word: str) -> None:
        self._said[address] = word
        self._facts["addresses"] = self.text
        silent = next((a for a, said in self._said.items() if said == _SILENT), None)
        if silent is not None:  # whoever runs out of time has waited for this one
            self.counts(silent)

    def counts(self, address: str) -> None:
        self._facts["address"] = address


async def _only(address: str, port: int, sources: Sources, journal: _Journal) -> socket.socket | Failure:
    """There is nobody to race with, and so no need of tasks."""
    journal.begin(address)
    connected = await _connect(address, port, sources.towards(address))
    if isinstance(connected, Failure):
        journal.note(address, connected.signal.name)
    else:
        journal.note(address, "connected")
    journal.counts(address)
    return connected


async def _race(addresses: list[str], port: int, sources: Sources, journal: _Journal) -> socket.socket | Failure:
    """The first socket that connects, or the most telling failure. Cancelled, it leaves none open."""
    won: list[socket.socket] = []
    failed: dict[str, Failure] = {}
    news = anyio.Event()

    async def attempt(address: str) -> None:
        connected = await _connect(address, port, sources.towards(address))
        if isinstance(connected, Failure):
            failed[address] = connected
            journal.note(address, connected.signal.name)
            news.set()
        elif won:
            connected.close()
        else:
            won.append(connected)
            journal.note(address, "connected")
            journal.counts(address)
            tasks.cancel_scope.cancel()

    try:
        async with anyio.create_task_group() as tasks:
            for address in addresses:
                news = anyio.Event()
                journal.begin(address)
                tasks.start_soon(attempt, address, name=f"dial {address}")
                if len(addresses) > 1:
                    with anyio.move_on_after(ATTEMPT_DELAY_S):
                        await news.wait()
    except BaseException:  # cancelled: the socket is ours until it is returned
        for sock in won:
            sock.close()
        raise
    if won:
        return won[0]
    address = min(failed, key=lambda a: _reticence(failed[a]))
    journal.counts(address)
    one = failed[address]
    return one if len(failed) == 1 else Failure(one.phase, one.signal, "; ".join(f.text for f in failed.values()))


def _reticence(failure: Failure) -> int:
    """How little a failure tells of the host (rule 3)."""
    return 2 * (failure.signal.name in _NO_WAY) + (failure.signal.name in _NO_HOST)


async def _connect(address: str, port: int, source: str | None) -> socket.socket | Failure:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        sock = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        return _refused(error, address)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if source is not None and (unusable := _bind(sock, source)) is not None:
            sock.close()
            return unusable
        await get_running_loop().sock_connect(sock, (address, port))
    except OSError as error:
        sock.close()
        return _refused(error, address)
    except BaseException:  # cancelled: the socket is ours until it is returned
        sock.close()
        raise
    return sock


def _bind(sock: socket.socket, source: str) -> Failure | None:
    try:
        if sys.platform == "linux":
            sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        sock.bind((source, 0))
    except OSError as error:
        what = f"the source address {source} cannot be used: {error.strerror or type(error).__name__}"
        advice = "correct `source` in the appliance's file, or give the address to one of its network interfaces"
        return Failure(Phase.TCP, named("SOURCE_ADDRESS"), f"{what}; {advice}")
    return None


def _refused(error: OSError, address: str) -> Failure:
    return Failure(Phase.TCP, os_error(error), f"{address}: {error.strerror or type(error).__name__}")


def os_error(error: OSError) -> Signal:
    """The signal of an OSError: its errno by name where it has one, else its class (resolver codes are no errnos)."""
    if error.errno is not None and error.errno in errno.errorcode and not isinstance(error, socket.gaierror):
        return Signal(kind=SignalKind.ERRNO, name=errno.errorcode[error.errno])
    return raised(error)
