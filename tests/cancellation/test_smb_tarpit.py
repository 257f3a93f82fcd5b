"""SMB hosts that keep a login busy instead of answering it, after each of their messages: the deadline ends it, with
the reason of the phase that it hung in. What can be no answer ends it at once.
"""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from anyio.abc import SocketStream

from appliance.classify import classify
from appliance.contract import DEADLINE, Evidence, Phase, Technology
from appliance.login.bridge import MESSAGE_LIMIT
from appliance.vault.credential import Credential
from tests.cancellation.hanging import Stage, after_messages, listening
from tests.cancellation.test_login import Seen
from tests.peers.attempt import attempt, make_job
from tests.unit.targets.targets_lab import running

GROUP = '[[hosts]]\ntechnology = "windows"\nnetwork = "127.94.0.0/24"\n'
DEADLINE_S, TOLERANCE_S = 0.8, 20.0
NAG_S = 0.3
KEEP_ALIVE = b"\x85\0\0\0"

Torment = Callable[[SocketStream, bytes], Awaitable[None]]
"""What a host does instead of its next message, which is given."""


def framed(message: bytes) -> bytes:
    return len(message).to_bytes(4, "big") + message


async def keep_alives(client: SocketStream, _message: bytes) -> None:
    while True:
        await client.send(KEEP_ALIVE)
        await anyio.sleep(NAG_S)


async def flood_of_keep_alives(client: SocketStream, _message: bytes) -> None:
    while True:
        await client.send(KEEP_ALIVE * 512)


def _pending(message: bytes) -> bytes:
    """An interim answer to the request that the message answers (MS-SMB2 3.3.4.2)."""
    if message.startswith(b"\xfeSMB"):
        return message[:8] + struct.pack("<I", 0x103) + message[12:64] + bytes(9)
    return message


async def pending(client: SocketStream, message: bytes) -> None:
    while True:
        await client.send(framed(_pending(message)))
        await anyio.sleep(NAG_S)


async def flood_of_pending(client: SocketStream, message: bytes) -> None:
    while True:
        await client.send(framed(_pending(message)) * 64)


async def drip(client: SocketStream, message: bytes) -> None:
    for byte in framed(message.ljust(1000, b"\0")):
        await client.send(bytes([byte]))
        await anyio.sleep(NAG_S / 2)


@asynccontextmanager
async def tormenting(address: str, port: int, after: int, torment: Torment, stage: Stage) -> AsyncIterator[int]:
    """A host behind a wire on which, after so many messages, something else comes instead."""
    hold = after_messages(after)

    async def downwards(server: SocketStream, client: SocketStream) -> None:
        said, passed = b"", 0
        while True:
            said += await server.receive()
            limit = hold(said)
            await client.send(said[passed:limit])
            passed = len(said) if limit is None else limit
            if limit is not None:
                stage.reached.set()
                await torment(client, said[limit + 4 :])

    async def handle(client: SocketStream) -> None:
        async with client, await anyio.connect_tcp(address, port) as server, anyio.create_task_group() as both:

            async def upwards() -> None:
                try:
                    async for data in client:
                        await server.send(data)
                except (anyio.EndOfStream, anyio.BrokenResourceError):
                    pass
                both.cancel_scope.cancel()

            async def guarded() -> None:
                try:
                    await downwards(server, client)
                except (anyio.EndOfStream, anyio.BrokenResourceError):
                    await anyio.sleep_forever()

            both.start_soon(upwards)
            both.start_soon(guarded)
        stage.released.set()

    async with listening(handle) as tormented:
        yield tormented


def reason_after(messages: int) -> tuple[Phase, str]:
    """What it is called to hang after so many messages."""
    if messages < 2:
        return Phase.NEGOTIATE, "BANNER_TIMEOUT"
    return (Phase.AUTH, "AUTH_TIMEOUT") if messages == 2 else (Phase.PRIVILEGE, "PRIV_TIMEOUT")


@pytest.mark.parametrize("after", [0, 1, 2, 3, 8])
@pytest.mark.parametrize("torment", [keep_alives, flood_of_keep_alives, pending, flood_of_pending, drip])
async def test_a_host_that_only_keeps_busy_ends_at_the_deadline(torment: Torment, after: int, tmp_path: Path) -> None:
    seen, stage = Seen(), Stage()
    async with running(GROUP, tmp_path) as (ready, world):
        [(address, host)] = world.estate.hosts.items()
        password = world.estate.secrets[host.secret].material.password
        async with (
            tormenting(address, ready.smb_port, after, torment, stage) as port,
            anyio.create_task_group() as tasks,
        ):

            async def strike() -> None:
                """So long after the host has begun, however long it took to come to that."""
                await stage.reached.wait()
                deadline.deadline = anyio.current_time() + DEADLINE_S

            with anyio.CancelScope() as deadline:
                tasks.start_soon(strike)
                await seen.log_in(make_job(Technology.WINDOWS, "scan", port), password)
            late = anyio.current_time() - deadline.deadline
            await stage.released.wait()
    assert deadline.cancelled_caught
    assert late < TOLERANCE_S
    phase = seen.ledger.current
    evidence = Evidence(phase=phase, signal=DEADLINE, submitted=seen.submitted)
    assert (phase, classify(Technology.WINDOWS, evidence).code) == reason_after(after)
    assert seen.submitted is (after >= 2)


def huge(length: int) -> Torment:
    async def torment(client: SocketStream, _message: bytes) -> None:
        await client.send(length.to_bytes(4, "big") + b"\xfeSMB")
        await anyio.sleep_forever()

    return torment


async def half_close(client: SocketStream, message: bytes) -> None:
    await client.send(framed(message)[:20])
    await client.send_eof()
    await anyio.sleep_forever()


async def unasked(client: SocketStream, message: bytes) -> None:
    """Answers with numbers that no request has."""
    number = struct.pack("<Q", 77)
    await client.send(framed(message[:24] + number + message[32:]))
    await anyio.sleep_forever()


@pytest.mark.parametrize("after", [0, 1, 2, 3, 5, 10])
@pytest.mark.parametrize(
    ("torment", "reasons"),
    [
        (huge(0xFFFFFF), ("NOT_SMB", "SMB_PROTOCOL", "SMB_PROTOCOL", "PRIV_CHECK_FAILED")),
        (huge(MESSAGE_LIMIT + 1), ("NOT_SMB", "SMB_PROTOCOL", "SMB_PROTOCOL", "PRIV_CHECK_FAILED")),
        (unasked, ("NOT_SMB", "SMB_PROTOCOL", "SMB_PROTOCOL", "PRIV_CHECK_FAILED")),
        (half_close, ("CONNECTION_RESET", "CONNECTION_RESET", "AUTH_DROPPED", "PRIV_CHECK_FAILED")),
    ],
    ids=["16 MiB", "a byte too many", "unasked", "half close"],
)
async def test_what_can_be_no_answer_ends_the_login_at_once(
    torment: Torment, reasons: tuple[str, ...], after: int, tmp_path: Path
) -> None:
    stage = Stage()
    async with running(GROUP, tmp_path) as (ready, world):
        [(address, host)] = world.estate.hosts.items()
        credential = Credential(password=world.estate.secrets[host.secret].material.password)
        async with tormenting(address, ready.smb_port, after, torment, stage) as port:
            with anyio.fail_after(TOLERANCE_S):
                ended = await attempt(make_job(Technology.WINDOWS, "scan", port), credential)
                await stage.released.wait()
    assert ended.reason == reasons[min(after, 3)]
