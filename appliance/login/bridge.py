"""impacket on the event loop, without threads: its blocking calls run in a greenlet, and reading awaits in the parent.

impacket's SMB3 client takes any object with `send_packet`, `recv_packet`, `close` and `get_socket` for its session.
Ours writes to an asyncio stream, and its `recv_packet` switches to the greenlet of `run_blocking`, a coroutine of the
caller's own task, which awaits the bytes and switches back. So a call is cancelled like any other await: the
cancellation is thrown into impacket at the read it hangs in, and unwinds it. A thread could not be stopped at all.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from socket import socket
from typing import TypeVar, cast

import anyio
from greenlet import getcurrent, greenlet  # type: ignore[import-untyped]  # ships no types
from impacket import nmb

from appliance.contract import peer_text
from appliance.login.adopt import adopt
from appliance.login.quiet import silence

silence("impacket")

T = TypeVar("T")

CLOSE_S = 1.0
"""Seconds that closing may take; it only waits for our own loop, never for the peer."""
MESSAGE_LIMIT = 1 << 20
"""Bytes of one message. A login's answers take a few hundred; impacket would believe in 16 MiB."""

_MESSAGE, _KEEP_ALIVE = 0x00, 0x85
_SMB1, _SMB2, ENCRYPTED = b"\xffSMB", b"\xfeSMB", b"\xfdSMB"


class NotSmbError(Exception):
    """The peer sends something that is no SMB 2 message; the text holds its first bytes, safe to print."""


class Smb1Error(Exception):
    """The peer answers an SMB 2 request with an SMB 1 message."""


async def run_blocking(function: Callable[[], T]) -> T:
    """Run a function that reads through `wait_for`, in a greenlet of its own. Raises what it raises."""
    worker = greenlet(function)
    result = worker.switch()
    while not worker.dead:
        try:
            value = await cast("Awaitable[object]", result)
        except BaseException as error:  # noqa: BLE001 - thrown on: whatever ended the await belongs to the one who waits
            result = worker.throw(error)
        else:
            result = worker.switch(value)
    return cast("T", result)


def wait_for(awaitable: Awaitable[T]) -> T:
    """Inside `run_blocking`: let the calling coroutine await this, and take the outcome."""
    parent = getcurrent().parent
    assert parent is not None  # noqa: S101 - only ever called in a greenlet of `run_blocking`
    return cast("T", parent.switch(awaitable))


class StreamSession:
    """What impacket takes for its NetBIOS session: messages with a four-byte header on an asyncio stream."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._held: list[bytes] | None = None
        self.heard = False
        """The peer has sent at least one byte."""

    # -- for impacket, which names these -------------------------------------------------------------------------------

    def send_packet(self, data: bytes) -> None:
        framed = len(data).to_bytes(4, "big") + data
        if self._held is None:
            self._writer.write(framed)
        else:
            self._held.append(framed)

    def recv_packet(self, timeout: float | None = None) -> nmb.NetBIOSSessionPacket:  # noqa: ARG002 - no time-outs but ours
        return wait_for(self.receive())

    def get_socket(self) -> None:
        """No one but the stream touches the socket."""
        return

    def close(self) -> None:
        self._writer.close()

    # -- for the login -------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """What is sent within goes out as one, at the end: a write costs more than the message that it is for."""
        self._held = []
        try:
            yield
            self._writer.write(b"".join(self._held))
        finally:
            self._held = None

    async def abandon(self) -> None:
        """Close now, without waiting for the peer to take what was sent."""
        self._writer.transport.abort()
        with anyio.move_on_after(CLOSE_S, shield=True):
            with contextlib.suppress(OSError):  # the peer was faster: a reset is as closed as can be
                await self._writer.wait_closed()
        if (error := self._reader.exception()) is not None:
            error.__traceback__ = None  # it holds frames that hold us: a cycle, for the garbage collector alone

    async def receive(self) -> nmb.NetBIOSSessionPacket:
        """The next message; keep-alives are passed over in a loop, where impacket would recurse."""
        while True:
            header = await self._exactly(4)
            kind, length = header[0], int.from_bytes(header[1:], "big")
            if kind == _KEEP_ALIVE and length == 0:
                continue
            if kind != _MESSAGE or not 4 <= length <= MESSAGE_LIMIT:
                raise NotSmbError(peer_text(header + await self._rest()))
            body = await self._exactly(length)
            if body.startswith(_SMB1):
                raise Smb1Error
            if not body.startswith((_SMB2, ENCRYPTED)):
                raise NotSmbError(peer_text(body[:64]))
            return nmb.NetBIOSSessionPacket(header + body)

    async def _exactly(self, length: int) -> bytes:
        try:
            data = await self._reader.readexactly(length)
        except asyncio.IncompleteReadError as error:
            self.heard = self.heard or bool(error.partial)
            raise
        self.heard = True
        return data

    async def _rest(self) -> bytes:
        """What already lies in the buffer of a peer that is no SMB server: its greeting, for the evidence."""
        with anyio.move_on_after(0):
            return await self._reader.read(60)
        return b""


async def open_session(sock: socket) -> StreamSession:
    """Wrap a connected socket. It belongs to the session from here on."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(loop=loop)
    transport, protocol = await adopt(sock, lambda: asyncio.StreamReaderProtocol(reader, loop=loop))
    return StreamSession(reader, asyncio.StreamWriter(transport, protocol, reader, loop))
