"""Ports where something else answers than what a scanner expects, or nothing that makes sense."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from targets.door import reset
from targets.faults import Port

DRIP_S = 0.5
"""Between two bytes of a service that drips."""
_DRIPPED = b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n"


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
