"""One command on an SSH session: exit status and the first bytes of its output, never more than that."""

from __future__ import annotations

import anyio
import asyncssh

from appliance.login.privilege import OUTPUT_LIMIT, CommandResult


class _Output(asyncssh.SSHClientSession[bytes]):
    """Collects both streams. What passes the limit is dropped, and the channel closed: the peer owes us no more."""

    def __init__(self) -> None:
        self.out = bytearray()
        self.status: int | None = None
        self.error: Exception | None = None
        self.done = anyio.Event()
        self._channel: asyncssh.SSHClientChannel[bytes] | None = None

    def connection_made(self, chan: asyncssh.SSHClientChannel[bytes]) -> None:
        self._channel = chan

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:  # noqa: ARG002 - asyncssh's signature
        self.out += data[: OUTPUT_LIMIT - len(self.out)]
        if len(self.out) >= OUTPUT_LIMIT and self._channel is not None:
            self._channel.abort()

    def exit_status_received(self, status: int) -> None:
        self.status = status

    def connection_lost(self, exc: Exception | None) -> None:
        self.error = exc
        self.done.set()


async def run(connection: asyncssh.SSHClientConnection, command: str) -> CommandResult:
    """Run a command without a terminal and without input. Raises what asyncssh raises when the connection fails."""
    session = _Output()
    channel, _ = await connection.create_session(
        lambda: session, command, encoding=None, request_pty=False, window=OUTPUT_LIMIT, max_pktsize=OUTPUT_LIMIT
    )
    try:
        channel.write_eof()
        await session.done.wait()
    finally:
        channel.abort()
    if session.error is not None:
        raise session.error
    return CommandResult(session.status, bytes(session.out))
