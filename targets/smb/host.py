"""All SMB hosts of an estate behind one wildcard listener; which host a connection is for, its local address says."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Generator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import cast

from targets.conduct import Pace
from targets.door import host_at, odd_service, pace_of, reset
from targets.estate import Host
from targets.faults import NAG_S, Manner, Trouble
from targets.guests import Guests
from targets.host_world import HostWorld
from targets.oddity import Dripping, OddService
from targets.shards.steering import BACKLOG
from targets.smb import wire
from targets.smb.conversation import Conversation, Verdict
from targets.smb.house import SmbHost
from targets.smb.status import Status
from targets.smb.wire import WireError

_EPOCH_S = 11644473600
"""From 1601, where FILETIME begins, to 1970."""


KEEP_ALIVE = b"\x85\0\0\0"
"""RFC 1002 4.3.7."""


_Steps = Generator[asyncio.Future[Verdict], Verdict, list[bytes]]


def _framed(message: bytes) -> bytes:
    return len(message).to_bytes(4, "big") + message


def filetime() -> int:
    return int((time.time() + _EPOCH_S) * 10_000_000)


class _Connection(asyncio.Protocol):
    def __init__(self, listener: _Listener) -> None:
        self._listener = listener
        self._transport: asyncio.Transport | None = None
        self._conversation: Conversation | None = None
        self._house: SmbHost | None = None
        self._trouble: Trouble | None = None
        self._pace: Pace
        self._late: asyncio.TimerHandle | None = None
        self._pending: asyncio.Future[Verdict] | None = None
        """A logon that is being judged elsewhere; nothing is taken up before that."""
        self._buffer = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # create_server makes socket transports, which are asyncio.Transport.
        self._transport = cast("asyncio.Transport", transport)
        host = self._listener.admit(self._transport, self)
        if host is not None:
            self._house = SmbHost(self._listener.world, host)
            self._conversation = Conversation(self._house, filetime)
            self._trouble = host.fault.trouble
            self._pace = pace_of(self._listener.world, host)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._take_up()

    def _take_up(self) -> None:
        """Answer what has come whole, one message after the other."""
        conversation, transport = self._conversation, self._transport
        try:
            while conversation is not None and transport is not None and not transport.is_closing():
                if self._late is not None or self._pending is not None or (frame := self._frame()) is None:
                    return
                if delay := self._pace.take(conversation.stage):
                    self._late = asyncio.get_running_loop().call_later(delay, self._go_on, frame)
                elif self._trouble is not None and self._trouble.stage is conversation.stage:
                    self._meet(self._trouble, frame, transport)
                else:
                    self._answer(frame)
        except WireError:
            if transport is not None:
                reset(transport)

    def _answer(self, frame: bytes) -> None:
        if self._conversation is not None:
            self._step(self._conversation.steps(frame), None)

    def _step(self, steps: _Steps, verdict: Verdict | None) -> None:
        """Raises WireError."""
        try:
            self._pending = next(steps) if verdict is None else steps.send(verdict)
        except StopIteration as done:
            self._finish(b"".join(map(_framed, done.value)))
        else:
            self._pending.add_done_callback(lambda judged: self._resume(steps, judged))

    def _resume(self, steps: _Steps, judged: asyncio.Future[Verdict]) -> None:
        self._pending = None
        if judged.cancelled() or self._transport is None or self._transport.is_closing():
            return
        try:
            self._step(steps, judged.result())
        except WireError:
            reset(self._transport)
        else:
            self._take_up()

    def _finish(self, data: bytes) -> None:
        if self._house is not None and self._house.delay:
            self._late = asyncio.get_running_loop().call_later(self._house.delay, self._say, data)
            self._house.delay = 0.0
        elif self._transport is not None:
            self._transport.write(data)

    def _say(self, data: bytes) -> None:
        self._late = None
        if self._transport is not None:
            self._transport.write(data)
            self._take_up()

    def _meet(self, trouble: Trouble, frame: bytes, transport: asyncio.Transport) -> None:
        match trouble.manner:
            case Manner.CUTS:
                reset(transport)
            case Manner.HALF_CLOSES:
                transport.write_eof()
                self._trouble = replace(trouble, manner=Manner.STALLS)
            case Manner.DRIPS:
                self._trouble, self._transport = None, cast("asyncio.Transport", Dripping(transport))
                self._answer(frame)
            case Manner.LAGS:
                self._answer(frame)  # it has been late already
            case Manner.NAGS:
                self._nag(KEEP_ALIVE)
            case Manner.PENDS:
                self._nag(_framed(wire.error(wire.read_header(frame), Status.PENDING)))

    def _nag(self, data: bytes) -> None:
        """Say this again and again; whatever the client says besides is left lying."""
        if self._transport is not None:
            self._transport.write(data)
        self._late = asyncio.get_running_loop().call_later(NAG_S, self._nag, data)

    def _go_on(self, frame: bytes) -> None:
        self._late = None
        self._buffer[:0] = _framed(frame)
        self._take_up()

    def _frame(self) -> bytes | None:
        """The next message, taken off the buffer, if it has come whole; its length comes before it (MS-SMB2 2.1)."""
        if len(self._buffer) < 4:
            return None
        end = 4 + int.from_bytes(self._buffer[:4], "big")
        if end > 4 + wire.FRAME_MAX:
            raise WireError("a frame that is too long, or none")
        if len(self._buffer) < end:
            return None
        frame = bytes(self._buffer[4:end])
        del self._buffer[:end]
        return frame

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        if self._late is not None:
            self._late.cancel()
        self._listener.guests.forget(self)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()


class _Listener:
    def __init__(self, world: HostWorld) -> None:
        self.world = world
        self.guests = Guests(world)

    def admit(self, transport: asyncio.Transport, connection: _Connection) -> Host | None:
        """The host that `connection` is to play; None where there is none, or where another service has taken over."""
        host = host_at(self.world, transport, "windows")
        if host is None:
            return None
        odd = odd_service(self.world, host)
        if odd is None:
            self.guests.add(connection, host, transport)
            return host
        service = OddService(*odd, self.guests.forget)
        self.guests.add(service, host, transport)
        transport.set_protocol(service)
        service.connection_made(transport)
        return None


@asynccontextmanager
async def listening(world: HostWorld, doors: Sequence[socket.socket]) -> AsyncIterator[None]:
    """Serve those SMB hosts of the world that are reached by these doors. On leaving, every connection is cut."""
    listener = _Listener(world)
    loop = asyncio.get_running_loop()
    servers = [await loop.create_server(partial(_Connection, listener), sock=door, backlog=BACKLOG) for door in doors]
    try:
        yield
    finally:
        for server in servers:
            server.close()
        listener.guests.abort_all()
