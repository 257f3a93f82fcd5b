"""A connected socket goes over to a transport, which alone closes it from then on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from socket import socket
from typing import TypeVar

import anyio

P = TypeVar("P", bound=asyncio.Protocol)


async def adopt(sock: socket, factory: Callable[[], P]) -> tuple[asyncio.Transport, P]:
    """Raises OSError; the socket is the transport's, or closed, also then.

    uvloop closes the descriptor of a transport itself, and detaches the socket object so that nobody closes it again;
    but not where the connection ends before `create_connection` returns. The socket object would then close, sooner or
    later, whatever has been given that number in the meantime: another login's connection, or the bus's.
    """
    loop = asyncio.get_running_loop()
    with anyio.CancelScope(shield=True):  # two turns of the loop, no network
        transport, protocol = await loop.create_connection(factory, sock=sock)
    if transport.is_closing() and type(transport).__module__.partition(".")[0] == "uvloop":
        sock.detach()
    return transport, protocol
