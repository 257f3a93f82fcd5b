"""A socket that a transport has closed is closed once: its number may be another connection's by then."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from importlib.util import find_spec
from typing import cast

import anyio
import pytest

from appliance.login.adopt import adopt

LOOPS = [False, True] if find_spec("uvloop") else [False]


class Once(asyncio.Protocol):
    """Hangs up as soon as it is connected, or when it is told to."""

    def __init__(self, *, at_once: bool) -> None:
        self._at_once = at_once
        self.lost = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if self._at_once:
            cast("asyncio.Transport", transport).abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()


def on(uvloop: bool, story: Callable[[], Awaitable[None]]) -> None:
    anyio.run(story, backend_options={"use_uvloop": uvloop})


@pytest.mark.keeps_open("uvloop keeps the pipe by which it hears of signals")
@pytest.mark.parametrize("uvloop", LOOPS, ids=lambda uvloop: "uvloop" if uvloop else "asyncio")
@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "later"])
def test_nobody_closes_the_number_again(uvloop: bool, at_once: bool) -> None:
    async def story() -> None:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        number = ours.fileno()
        with theirs:
            transport, protocol = await adopt(ours, lambda: Once(at_once=at_once))
            if not at_once:
                assert not transport.is_closing()
                transport.abort()
            await protocol.lost.wait()
            await asyncio.sleep(0)
            assert ours.fileno() == -1, "the object still takes the number for its own"
            with socket.socket() as next_one:
                assert next_one.fileno() == number, "the transport has closed it"
                del ours, transport
                assert next_one.getsockname()

    on(uvloop, story)
