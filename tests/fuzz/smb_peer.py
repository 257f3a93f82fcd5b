"""A simulated SMB host behind a relay that changes what it says."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import anyio
from anyio.abc import SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

from tests.fuzz.mutations import LENGTHS, mutated
from tests.unit.login.ssh_servers import peer

MESSAGES = 9
"""Messages that a host sends in one login, give or take a few."""
KEEP_ALIVE = b"\x85\0\0\0"


def framed(message: bytes) -> bytes:
    """A direct TCP transport packet (MS-SMB2 2.1)."""
    return len(message).to_bytes(4, "big") + message


def _changed(message: bytes, rng: random.Random) -> Iterator[bytes]:
    """What is sent in the place of a message; nothing at the end of it all means a connection that is cut."""
    match rng.randrange(9):
        case 0:
            return
        case 1:
            yield from [framed(message)] * rng.choice((2, 40))
        case 2:
            yield KEEP_ALIVE * rng.choice((1, 200))
            yield framed(message)
        case 3:
            yield framed(rng.randbytes(rng.randrange(200)))
            yield framed(message)
        case 4:
            yield rng.choice(LENGTHS).to_bytes(4, "big") + message
        case 5:
            status = rng.choice((0, 0x00000103, 0xC0000016, 0xC000006D, rng.getrandbits(32)))
            yield framed(message[:8] + status.to_bytes(4, "little") + message[12:])
        case _:
            yield framed(mutated(message, rng))


@asynccontextmanager
async def changing_smb_host(host: str, port: int, rng: random.Random) -> AsyncIterator[tuple[str, int]]:
    """The address of a relay to the host. What is changed is drawn from `rng`."""
    at, often, cuts = rng.randrange(MESSAGES), rng.random() < 0.1, rng.random() < 0.1

    async def handle(client: SocketStream) -> None:
        async with client, await anyio.connect_tcp(host, port) as server, anyio.create_task_group() as both:
            both.start_soon(_upwards, client, server)
            answers = BufferedByteReceiveStream(server)
            number = 0
            try:
                while True:
                    length = int.from_bytes(await answers.receive_exactly(4), "big")
                    message = await answers.receive_exactly(length)
                    due = number == at or (often and number > at)
                    number += 1
                    if due and cuts:
                        break
                    for piece in _changed(message, rng) if due else (framed(message),):
                        await client.send(piece)
            except (anyio.IncompleteRead, anyio.EndOfStream, anyio.BrokenResourceError):
                pass
            both.cancel_scope.cancel()

    async with peer(handle) as relay:
        yield "127.0.0.1", relay


async def _upwards(client: SocketStream, server: SocketStream) -> None:
    try:
        async for data in client:
            await server.send(data)
        await server.send_eof()
    except (anyio.BrokenResourceError, OSError):
        return
