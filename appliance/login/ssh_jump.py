"""A login at a jump host: an SSH session whose connections to other hosts (direct-tcpip, RFC 4254 section 7.2) are
handed out as sockets, so that whoever logs in through it needs not know.

Each is one end of a socket pair. What comes at the other end goes into the channel and back, by callbacks alone, and
neither side is read faster than the other takes it. SSH cannot take back a request for a connection, so one that nobody
waits for any more is closed as soon as it is there.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import asyncssh
from anyio.abc import TaskGroup

from appliance.contract import Failure, Job, Phase, Signal, SignalKind, named, peer_text
from appliance.login import Gate
from appliance.login.adopt import adopt
from appliance.login.ssh import SshLogin
from appliance.phases import PhaseLedger

KEEPALIVE_S, KEEPALIVES = 5.0, 2
"""A jump host that is silently gone is noticed within KEEPALIVE_S * (KEEPALIVES + 1): sooner than the targets behind it
run out of time, and are blamed."""
WINDOW = 1 << 18
"""Bytes of one connection that may be on the way; a login needs a few thousand."""

_SAID: tuple[tuple[str, str], ...] = (
    ("refused", "ECONNREFUSED"),
    ("reset", "ECONNRESET"),
    ("timed out", "ETIMEDOUT"),
    ("timeout", "ETIMEDOUT"),
    ("no route", "EHOSTUNREACH"),
    ("unreachable", "ENETUNREACH"),
)
"""Words of a jump host (OpenSSH's are strerror's) by which it tells why it cannot connect."""
_NO_NAME = ("not known", "name resolution", "no address", "resolve")


class _Pump(asyncssh.SSHTCPSession[bytes]):
    """The channel's side of one connection."""

    def __init__(self) -> None:
        self._channel: asyncssh.SSHTCPChannel[bytes] | None = None
        self._wire: asyncio.Transport | None = None
        self._early: list[bytes] = []
        self._ended = False
        self.gone = anyio.Event()

    def attach(self, wire: asyncio.Transport) -> None:
        self._wire = wire
        for data in self._early:
            wire.write(data)
        self._early.clear()
        if self._ended:
            wire.close()

    def drop(self) -> None:
        """Our side is closed. What it said last still goes out, unless the other side has stopped reading."""
        channel = self._channel
        if channel is None:
            return
        if channel.get_write_buffer_size():
            channel.abort()
        else:
            channel.close()
        self.gone.set()

    # -- callbacks of asyncssh -----------------------------------------------------------------------------------------

    def connection_made(self, chan: asyncssh.SSHTCPChannel[bytes]) -> None:
        self._channel = chan

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:  # noqa: ARG002 - asyncssh's signature
        if self._wire is None:
            self._early.append(data)
        elif not self._wire.is_closing():
            self._wire.write(data)

    def eof_received(self) -> bool:
        if self._wire is not None and not self._wire.is_closing():
            self._wire.write_eof()
        else:
            self._ended = True
        return True

    def pause_writing(self) -> None:
        if self._wire is not None:
            self._wire.pause_reading()

    def resume_writing(self) -> None:
        if self._wire is not None and not self._wire.is_closing():
            self._wire.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncssh's signature
        self._ended = True
        if self._wire is not None:
            self._wire.close()
        self.gone.set()

    # -- for the wire's side -------------------------------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        if self._channel is not None and not self._channel.is_closing():
            self._channel.write(data)

    def send_eof(self) -> None:
        if self._channel is not None and not self._channel.is_closing():
            self._channel.write_eof()

    def pause(self, *, paused: bool) -> None:
        if self._channel is not None and not self._channel.is_closing():
            (self._channel.pause_reading if paused else self._channel.resume_reading)()


class _Wire(asyncio.Protocol):
    """The socket pair's side."""

    def __init__(self, pump: _Pump) -> None:
        self._pump = pump

    def data_received(self, data: bytes) -> None:
        self._pump.send(data)

    def eof_received(self) -> bool:
        self._pump.send_eof()
        return True

    def pause_writing(self) -> None:
        self._pump.pause(paused=True)

    def resume_writing(self) -> None:
        self._pump.pause(paused=False)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._pump.drop()


class _Request:
    """A connection that has been asked for."""

    def __init__(self) -> None:
        self.pump = _Pump()
        self.answered = anyio.Event()
        self.failure: Failure | None = None
        self.unwanted = False


class SshGate(SshLogin):
    """A `Gate`."""

    def __init__(self, sock: socket.socket, job: Job, ledger: PhaseLedger, tasks: TaskGroup) -> None:
        super().__init__(sock, job, ledger)
        self._tasks = tasks
        self._open = 0

    @property
    def ended(self) -> bool:
        return self._witness.ended

    @property
    def open(self) -> int:
        return self._open

    async def wait_ended(self) -> None:
        assert self._connection is not None  # noqa: S101 - the login stands
        self._connection.set_keepalive(KEEPALIVE_S, KEEPALIVES)
        while not self._witness.ended:
            await self._witness.turn()

    async def reach(self, host: str, port: int) -> socket.socket | Failure:
        request = _Request()
        self._tasks.start_soon(self._serve, request, host, port, name=f"through the jump host to {host}")
        try:
            await request.answered.wait()
        except BaseException:
            request.unwanted = True
            if request.answered.is_set():
                request.pump.drop()
            raise
        if request.failure is not None:
            return request.failure
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        ours.setblocking(False)
        try:
            wire, _ = await adopt(ours, lambda: _Wire(request.pump))
        except BaseException:
            theirs.close()
            request.pump.drop()
            raise
        request.pump.attach(wire)
        return theirs

    async def _serve(self, request: _Request, host: str, port: int) -> None:
        """Ask for a connection, and count it for as long as it is there."""
        self._open += 1
        try:
            request.failure = await self._request(request.pump, host, port)
            request.answered.set()
            if request.failure is None:
                if request.unwanted:
                    request.pump.drop()
                await request.pump.gone.wait()
        finally:
            self._open -= 1

    async def _request(self, pump: _Pump, host: str, port: int) -> Failure | None:
        connection = self._connection
        if connection is None or self._witness.ended:
            return _lost("its connection has ended")
        try:
            await connection.create_connection(lambda: pump, host, port, encoding=None, window=WINDOW)
        except asyncssh.ChannelOpenError as error:
            return _lost(str(error)) if self._witness.ended else _refused(error)
        except (asyncssh.Error, OSError) as error:
            return _lost(str(error))
        return None


def _lost(text: str) -> Failure:
    return Failure(Phase.JUMP, named("JUMP_LOST"), peer_text(text))


def _refused(error: asyncssh.ChannelOpenError) -> Failure:
    """What the jump host's refusal of a connection means."""
    text = peer_text(f"the jump host says: {error.reason}")
    if error.code == asyncssh.OPEN_RESOURCE_SHORTAGE:
        return Failure(Phase.JUMP, named("JUMP_UNREACHABLE"), text)
    if error.code != asyncssh.OPEN_CONNECT_FAILED:
        return Failure(Phase.JUMP, named("JUMP_FORBIDS"), text)
    words = error.reason.lower()
    for said, name in _SAID:
        if said in words:
            return Failure(Phase.TCP, Signal(kind=SignalKind.ERRNO, name=name), text)
    reason = "DNS_FAILED" if any(said in words for said in _NO_NAME) else "HOST_UNREACHABLE"
    return Failure(Phase.TCP, named(reason), text)


@asynccontextmanager
async def ssh_gate(sock: socket.socket, job: Job, ledger: PhaseLedger) -> AsyncIterator[Gate]:
    """A `GateFactory`. The jump host's login is that of the job's record, as in `ssh_login`."""
    async with anyio.create_task_group() as tasks:
        gate = SshGate(sock, job, ledger, tasks)
        try:
            yield gate
        finally:
            with anyio.CancelScope(shield=True):
                await gate.close()
        tasks.cancel_scope.cancel()
