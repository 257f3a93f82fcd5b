"""Ports where something else answers than what a scanner expects, or nothing that makes sense."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, cast

from targets.door import reset
from targets.faults import DRIP_S, Port

_DRIPPED = b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n"


class Dripping:
    """Writes to a transport a byte at a time; otherwise it is that transport."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._left = bytearray()
        self._next: asyncio.TimerHandle | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        self._left += data
        if self._next is None:
            self._drip()

    def writelines(self, data: Iterable[bytes]) -> None:
        self.write(b"".join(data))

    def _drip(self) -> None:
        self._next = None
        if self._left and not self._transport.is_closing():
            self._transport.write(self._left[:1])
            del self._left[:1]
            self._next = asyncio.get_running_loop().call_later(DRIP_S, self._drip)


class OddService(asyncio.Protocol):
    """The server side of one connection to a port that is not `Port.OPEN`. `gone` is told when it has ended."""

    def __init__(self, port: Port, says: bytes, gone: Callable[[OddService], None]) -> None:
        self._port = port
        self._says = says
        self._gone = gone
        self._transport: asyncio.Transport | None = None
        self._next: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # create_server makes socket transports, which are asyncio.Transport.
        self._transport = cast("asyncio.Transport", transport)
        match self._port:
            case Port.RESET:
                reset(self._transport)
            case Port.GREETS:
                self._transport.write(self._says)
            case Port.TURNS_AWAY:
                self._transport.write(self._says)
                self._transport.close()
            case Port.DRIPS:
                self._drip(_DRIPPED)

    def data_received(self, data: bytes) -> None:  # noqa: ARG002 - whatever it is, it is not understood
        if self._port is Port.ANSWERS and self._transport is not None:
            self._transport.write(self._says)
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        if self._next is not None:
            self._next.cancel()
        self._gone(self)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _drip(self, left: bytes) -> None:
        if self._transport is not None and left:
            self._transport.write(left[:1])
            self._next = asyncio.get_running_loop().call_later(DRIP_S, self._drip, left[1:])
