"""The greenlet bridge: what a blocking function waits for is awaited by its caller, with all that can happen then."""

from __future__ import annotations

import asyncio
import socket

import anyio
import pytest

from appliance.login.bridge import (
    MESSAGE_LIMIT,
    NotSmbError,
    Smb1Error,
    StreamSession,
    open_session,
    run_blocking,
    wait_for,
)


async def test_values_go_both_ways() -> None:
    async def double(number: int) -> int:
        await anyio.lowlevel.checkpoint()
        return 2 * number

    assert await run_blocking(lambda: wait_for(double(wait_for(double(3))))) == 12
    assert await run_blocking(lambda: 5) == 5


async def test_exceptions_arrive_where_they_are_awaited() -> None:
    async def fail() -> int:
        raise KeyError("inner")

    def handle() -> str:
        try:
            wait_for(fail())
        except KeyError as error:
            return str(error)
        return "not raised"

    assert await run_blocking(handle) == "'inner'"
    with pytest.raises(KeyError):
        await run_blocking(lambda: wait_for(fail()))


async def test_cancellation_unwinds_the_function() -> None:
    unwound: list[type[BaseException]] = []
    waiting = anyio.Event()

    def hang() -> None:
        async def forever() -> None:
            waiting.set()
            await anyio.sleep_forever()

        try:
            wait_for(forever())
        except BaseException as error:
            unwound.append(type(error))
            raise

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run_blocking, hang)
        await waiting.wait()
        tasks.cancel_scope.cancel()
    assert unwound == [asyncio.CancelledError]


async def _session(data: bytes) -> tuple[StreamSession, socket.socket]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.sendall(data)
    theirs.shutdown(socket.SHUT_WR)
    return await open_session(ours), theirs


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", EOFError),
        (b"\x00\x00\x00\x40\xfeSMB", EOFError),
        (b"SSH-2.0-OpenSSH_9.2p1\r\n", NotSmbError),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", NotSmbError),
        (b"\x00\x00\x00\x08\xffSMBrest", Smb1Error),
        (b"\x00\x00\x00\x08whatever", NotSmbError),
        (b"\x00" + (MESSAGE_LIMIT + 1).to_bytes(3, "big"), NotSmbError),
        (b"\x00\x00\x00\x00", NotSmbError),
        (b"\x82\x00\x00\x00", NotSmbError),
    ],
)
async def test_what_is_no_message(data: bytes, error: type[Exception]) -> None:
    session, theirs = await _session(data)
    with theirs:
        with pytest.raises(error):
            await session.receive()
        assert session.heard == bool(data)
        await session.abandon()


async def test_keep_alives_are_passed_over_however_many() -> None:
    """impacket recurses for each, and a flood ends in RecursionError."""
    session, theirs = await _session(b"\x85\x00\x00\x00" * 5000 + b"\x00\x00\x00\x04\xfeSMB")
    with theirs:
        packet = await session.receive()
        assert packet.get_trailer() == b"\xfeSMB"
        await session.abandon()


async def test_messages_are_framed() -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    session = await open_session(ours)
    with theirs:
        session.send_packet(b"x" * 70_000)
        header = await asyncio.to_thread(theirs.recv, 4, socket.MSG_WAITALL)
        assert header == b"\x00\x01\x11\x70"
        await session.abandon()
