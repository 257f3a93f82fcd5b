"""A forward proxy on loopback, for vaults that are reached through one."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from anyio.abc import SocketAttribute, SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream


class Proxy:
    """A forward proxy that knows CONNECT alone, and notes what it sees."""

    def __init__(self, status: str = "200 Connection established") -> None:
        self.status = status
        self.heads: list[bytes] = []
        self.carried = bytearray()
        self.port = 0

    async def serve(self, client: SocketStream) -> None:
        async with client:
            head = await BufferedByteReceiveStream(client).receive_until(b"\r\n\r\n", 4096)
            self.heads.append(head)
            await client.send(f"HTTP/1.1 {self.status}\r\n\r\n".encode())
            if not self.status.startswith("200"):
                return
            host, _, port = head.split()[1].decode().rpartition(":")
            async with await anyio.connect_tcp(host, int(port)) as vault, anyio.create_task_group() as tasks:
                tasks.start_soon(self._carry, client, vault, tasks.cancel_scope, name="proxy: up")
                tasks.start_soon(self._carry, vault, client, tasks.cancel_scope, name="proxy: down")

    async def _carry(self, source: SocketStream, sink: SocketStream, scope: anyio.CancelScope) -> None:
        with contextlib.suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            async for data in source:
                self.carried += data
                await sink.send(data)
        scope.cancel()


@asynccontextmanager
async def proxied(proxy: Proxy) -> AsyncIterator[str]:
    """The proxy's URL while it serves."""
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, proxy.serve, name="proxy")
        yield f"http://127.0.0.1:{listener.extra(SocketAttribute.local_port)}"
        tasks.cancel_scope.cancel()
