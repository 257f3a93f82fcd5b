"""Peers that stop in a chosen place, and say when they have got there, so that no test has to guess or sleep."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
from anyio.abc import SocketAttribute, SocketStream

Hold = Callable[[bytes], int | None]
"""Given all that a server has said so far: how many of those bytes its client may see, or None for all."""


class Stage:
    """Where a peer stands. `reached`: it hangs there; `released`: its client has hung up."""

    def __init__(self) -> None:
        self.reached = anyio.Event()
        self.released = anyio.Event()


@asynccontextmanager
async def listening(handle: Callable[[SocketStream], object]) -> AsyncIterator[int]:
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, handle)
        yield listener.extra_attributes[SocketAttribute.local_port]()
        tasks.cancel_scope.cancel()


async def until_hung_up(stream: SocketStream) -> None:
    try:
        while True:
            await stream.receive()
    except (anyio.EndOfStream, anyio.BrokenResourceError):
        return


@asynccontextmanager
async def silent_after(said: bytes, stage: Stage) -> AsyncIterator[int]:
    """A peer that says this much and then nothing."""

    async def handle(stream: SocketStream) -> None:
        async with stream:
            await stream.send(said)
            stage.reached.set()
            await until_hung_up(stream)
        stage.released.set()

    async with listening(handle) as port:
        yield port


@asynccontextmanager
async def flooding(data: bytes, stage: Stage) -> AsyncIterator[int]:
    """A peer that says the same for ever, as fast as it is read."""

    async def handle(stream: SocketStream) -> None:
        async with stream:
            try:
                for number in range(1_000_000_000):
                    await stream.send(data)
                    if number == 100:
                        stage.reached.set()
            except anyio.BrokenResourceError:
                stage.released.set()

    async with listening(handle) as port:
        yield port


@asynccontextmanager
async def relay(server_port: int, hold: Hold, stage: Stage) -> AsyncIterator[int]:
    """A real server behind a wire that stops carrying its words in a chosen place. The client's words always pass."""

    async def handle(client: SocketStream) -> None:
        async with (
            client,
            await anyio.connect_tcp("127.0.0.1", server_port) as server,
            anyio.create_task_group() as both,
        ):
            both.start_soon(_downwards, server, client, hold, stage)
            await _upwards(client, server)
            both.cancel_scope.cancel()
        stage.released.set()

    async with listening(handle) as port:
        yield port


async def _upwards(client: SocketStream, server: SocketStream) -> None:
    try:
        while True:
            await server.send(await client.receive())
    except (anyio.EndOfStream, anyio.BrokenResourceError):
        return


async def _downwards(server: SocketStream, client: SocketStream, hold: Hold, stage: Stage) -> None:
    said, passed = b"", 0
    try:
        while True:
            said += await server.receive()
            limit = hold(said)
            await client.send(said[passed:limit])
            passed = len(said) if limit is None else limit
            if limit is not None:
                stage.reached.set()
                await anyio.sleep_forever()
    except (anyio.EndOfStream, anyio.BrokenResourceError):
        return


def after_bytes(count: int) -> Hold:
    return lambda said: count if len(said) > count else None


def after_messages(count: int) -> Hold:
    """Holds what follows so many SMB messages (each with its four-byte header)."""

    def hold(said: bytes) -> int | None:
        position = 0
        for _ in range(count):
            if len(said) < position + 4:
                return None
            position += 4 + int.from_bytes(said[position + 1 : position + 4], "big")
        return position if len(said) > position else None

    return hold
