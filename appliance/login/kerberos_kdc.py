"""One domain controller at a time: a message there and one back, over TCP, on the event loop.

The rules, stated here and nowhere else:
1. Only addresses that the appliance's policy allows are dialled, as with targets. Names are resolved for each login.
2. The places of a record are tried in order, each address of a name in the resolver's order, until one takes the
   connection. From then on only that one is asked: no second controller sees what the first one has.
3. Connecting and answering have time limits of their own, so that a silent controller is told from a silent host. The
   attempt's deadline stands above them.
4. Each exchange has a connection of its own, which is closed whatever ends it: KDCs close theirs after an answer.
"""

from __future__ import annotations

import errno
from asyncio import get_running_loop
from collections.abc import Callable, Sequence
from socket import socket

import anyio

from appliance.contract import Failure, KdcPlace, Phase, named
from appliance.login.dial import ANY_SOURCE, Sources, dial, resolve
from appliance.login.resolver import Resolver
from appliance.phases import PhaseLedger

CONNECT_S = 3.0
ANSWER_S = 8.0
"""A controller that has to ask another one about a password takes a second or two."""
ANSWER_LIMIT = 1 << 16
"""Bytes of an answer. The largest ticket that Windows takes has 48 KiB."""


class Kdc:
    """The domain controllers of a record, for one login."""

    def __init__(
        self,
        places: Sequence[KdcPlace],
        allow: Callable[[str], bool],
        sources: Sources = ANY_SOURCE,
        resolver: Resolver | None = None,
    ) -> None:
        self._places = places
        self._allow = allow
        self._sources = sources
        self._resolver = resolver
        self._found: tuple[str, int] | None = None

    @property
    def where(self) -> str:
        """The one that has answered, as `address:port`; empty before."""
        return "" if self._found is None else f"{self._found[0]}:{self._found[1]}"

    async def ask(
        self, message: bytes, *, sending: Callable[[], None] = lambda: None, proof: bool = False
    ) -> bytes | Failure:
        """Send a message and read the answer. `sending` is called when the first byte may leave.

        Failures: KDC_UNREACHABLE, REFUSED_BY_POLICY, KDC_PROTOCOL for a length that no answer has. A message that holds
        a proof of the password and is not answered ends as KDC_TIMEOUT or KDC_DROPPED, since it may have counted.
        """
        sock = await self._connect()
        if isinstance(sock, Failure):
            return sock
        try:
            with anyio.move_on_after(ANSWER_S):
                sending()
                return await self._exchange(sock, message)
            reason = "KDC_TIMEOUT" if proof else "KDC_UNREACHABLE"
            return self._failure(reason, f"no answer from {self.where} within {ANSWER_S:g} s")
        except OSError as error:
            reason = "KDC_DROPPED" if proof else "KDC_UNREACHABLE"
            return self._failure(reason, f"{self.where}: {error.strerror or type(error).__name__}")
        finally:
            sock.close()

    async def _connect(self) -> socket | Failure:
        if self._found is not None:
            return await self._dial(*self._found)
        refused = self._failure("KDC_UNREACHABLE", "the record names no domain controller")
        for place in self._places:
            addresses = await self._resolve(place.host)
            if isinstance(addresses, Failure):
                refused = addresses
                continue
            for address in addresses:
                sock = await self._dial(address, place.port)
                if not isinstance(sock, Failure):
                    self._found = address, place.port
                    return sock
                refused = sock
        return refused

    async def _resolve(self, host: str) -> list[str] | Failure:
        with anyio.move_on_after(CONNECT_S):
            addresses = await resolve(host, self._resolver)
            if not isinstance(addresses, Failure):
                return addresses
            return self._failure("KDC_UNREACHABLE", f"{host}: {addresses.text}")
        return self._failure("KDC_UNREACHABLE", f"{host}: no answer of DNS within {CONNECT_S:g} s")

    async def _dial(self, address: str, port: int) -> socket | Failure:
        # A ledger of its own: the time at a controller is all KDC, and a deadline that strikes here is no target's.
        with anyio.move_on_after(CONNECT_S):
            sock = await dial(address, port, PhaseLedger(), allow=self._allow, sources=self._sources)
            if not isinstance(sock, Failure):
                return sock
            if sock.signal == named("REFUSED_BY_POLICY"):
                text = (
                    f"the domain controller's address {address} is outside of the networks that the appliance may dial"
                )
                return self._failure("REFUSED_BY_POLICY", text)
            return self._failure("KDC_UNREACHABLE", f"{sock.text} (port {port})")
        return self._failure("KDC_UNREACHABLE", f"{address}: no connection to port {port} within {CONNECT_S:g} s")

    async def _exchange(self, sock: socket, message: bytes) -> bytes | Failure:
        loop = get_running_loop()
        await loop.sock_sendall(sock, len(message).to_bytes(4, "big") + message)
        length = int.from_bytes(await self._exactly(sock, 4), "big")
        if not 0 < length <= ANSWER_LIMIT:
            return self._failure("KDC_PROTOCOL", f"{self.where} announces an answer of {length} bytes")
        return await self._exactly(sock, length)

    @staticmethod
    async def _exactly(sock: socket, length: int) -> bytes:
        """Raises OSError, also where the connection ends before."""
        loop, data = get_running_loop(), bytearray()
        while len(data) < length:
            part = await loop.sock_recv(sock, length - len(data))
            if not part:
                text = f"closed the connection after {len(data)} of {length} bytes"
                raise OSError(errno.ECONNRESET, text)
            data += part
        return bytes(data)

    @staticmethod
    def _failure(reason: str, text: str) -> Failure:
        return Failure(Phase.KDC, named(reason), text)
