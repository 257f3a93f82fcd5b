"""One command on an SSH session: exit status and the first bytes of its output, never more than that. It may be given
one line of input, which is never part of what is kept of the output.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import anyio
import asyncssh

from appliance.login.privilege import OUTPUT_LIMIT, CommandResult

T = TypeVar("T")

QUIET_S = 2.0
"""An unended line that stands for so long is a question, whatever it says."""


class _Output(asyncssh.SSHClientSession[bytes]):
    """Collects both streams. What passes the limit is dropped, and the channel closed: the peer owes us no more."""

    def __init__(self) -> None:
        self.out = bytearray()
        self.status: int | None = None
        self._error: Exception | None = None
        self.done = anyio.Event()
        self.news = anyio.Event()
        self._channel: asyncssh.SSHClientChannel[bytes] | None = None

    def connection_made(self, chan: asyncssh.SSHClientChannel[bytes]) -> None:
        self._channel = chan

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:  # noqa: ARG002 - asyncssh's signature
        self.out += data[: OUTPUT_LIMIT - len(self.out)]
        self.news.set()
        if len(self.out) >= OUTPUT_LIMIT and self._channel is not None:
            self._channel.abort()

    def exit_status_received(self, status: int) -> None:
        self.status = status

    def connection_lost(self, exc: Exception | None) -> None:
        self._error = exc
        self.done.set()
        self.news.set()

    def raise_error(self) -> None:
        """What has ended the connection, once; kept, it would hold the frames that hold this."""
        error, self._error = self._error, None
        try:
            if error is not None:
                raise error
        finally:
            del error


class Talk:
    """A command that may ask something. Raises what asyncssh raises when the connection fails."""

    def __init__(self, session: _Output, channel: asyncssh.SSHClientChannel[bytes]) -> None:
        self._session = session
        self._channel = channel
        self._from = 0
        self._answer = b""

    @property
    def output(self) -> bytes:
        """What it has said since it was answered, or from the start; what was answered is blotted out."""
        said = bytes(self._session.out[self._from :])
        return said.replace(self._answer, b"***") if self._answer else said

    @property
    def ended(self) -> bool:
        return self._session.done.is_set()

    @property
    def result(self) -> CommandResult:
        return CommandResult(self._session.status, self.output)

    async def until(self, recognised: Callable[[bytes], T | None], quiet: Callable[[bytes], bool]) -> T | None:
        """What `recognised` makes of the output, as soon as it makes something; None when the command has ended, or
        when it has said nothing more for QUIET_S and `quiet` is true of its output.
        """
        session = self._session
        while True:
            found = recognised(self.output)
            if found is not None:
                return found
            if session.done.is_set():
                session.raise_error()
                return None
            session.news = anyio.Event()
            waits = QUIET_S if quiet(self.output) else float("inf")
            with anyio.move_on_after(waits) as silence:
                await session.news.wait()
            if silence.cancelled_caught:
                return None

    def answer(self, line: str) -> bool:
        """Send a line, and the end of all input; False where nobody listens any more."""
        if self.ended or self._channel.is_closing():
            return False
        self._answer = line.encode()
        self._from = len(self._session.out)
        self._channel.write(self._answer + b"\n")
        return True

    def forget(self) -> None:
        self._answer = b""


@asynccontextmanager
async def talk(
    connection: asyncssh.SSHClientConnection, command: str, *, terminal: bool = False
) -> AsyncIterator[Talk]:
    """Run a command that may ask. A terminal, where one is wanted, does not echo."""
    session = _Output()
    modes = {asyncssh.PTY_ECHO: 0} if terminal else {}
    channel, _ = await connection.create_session(
        lambda: session,
        command,
        encoding=None,
        request_pty="force" if terminal else False,
        term_type="dumb" if terminal else None,
        term_modes=modes,
        window=OUTPUT_LIMIT,
        max_pktsize=OUTPUT_LIMIT,
    )
    talking = Talk(session, channel)
    try:
        yield talking
    finally:
        talking.forget()
        channel.abort()


async def run(connection: asyncssh.SSHClientConnection, command: str, *, terminal: bool = False) -> CommandResult:
    """Run a command without input. Raises what asyncssh raises when the connection fails."""
    session = _Output()
    channel, _ = await connection.create_session(
        lambda: session,
        command,
        encoding=None,
        request_pty="force" if terminal else False,
        term_type="dumb" if terminal else None,
        window=OUTPUT_LIMIT,
        max_pktsize=OUTPUT_LIMIT,
    )
    try:
        channel.write_eof()
        await session.done.wait()
    finally:
        channel.abort()
    session.raise_error()
    return CommandResult(session.status, bytes(session.out))
