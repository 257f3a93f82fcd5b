"""The HTTP pages of whoever watches a process: GET on this machine's loopback, and nothing else.

Who is off this machine comes through something that knows whom it lets in (a proxy with TLS and a login): nobody is
asked for a name here. Other paths are 404, other methods 405.
"""

from __future__ import annotations

import ipaddress
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Self

import anyio
from aiohttp import web

PAGE_S = 5.0
"""How long one page may take; who scrapes gives up soon after."""
CLOSE_S = 1.0


class ListenError(Exception):
    """The address cannot be listened on; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Page:
    text: str
    status: int = 200
    content_type: str = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A loopback address and a port; 0 takes a free one."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """`127.0.0.1:PORT` or `[::1]:PORT`. Raises ListenError."""
        host, _, port = text.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        try:
            loopback = ipaddress.ip_address(host).is_loopback
        except ValueError:
            raise ListenError(f"{text!r} is no address to listen on; write 127.0.0.1:PORT") from None
        if not (port.isascii() and port.isdecimal() and int(port) < 1 << 16):
            raise ListenError(f"{text!r} names no port; write 127.0.0.1:PORT")
        if not loopback:
            raise ListenError(
                f"{host} is not loopback, and nobody is asked for a login here: listen on 127.0.0.1, and let a proxy "
                "with TLS and a login pass on what others may see"
            )
        return cls(host, int(port))

    @property
    def url(self) -> str:
        return f"http://[{self.host}]:{self.port}" if ":" in self.host else f"http://{self.host}:{self.port}"


@asynccontextmanager
async def listening(at: Endpoint, pages: Mapping[str, Callable[[], Awaitable[Page]]]) -> AsyncIterator[Endpoint]:
    """Answer while the context is open; yields where. `pages`: by path. Raises ListenError."""
    application = web.Application()
    for path, page in pages.items():
        application.router.add_get(path, _handler(page), allow_head=False)
    runner = web.AppRunner(application, access_log=None, handle_signals=False, shutdown_timeout=CLOSE_S)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, at.host, at.port).start()
        except OSError as error:
            raise ListenError(f"cannot listen on {at.url}: {error.strerror}; name another port") from None
        yield Endpoint(at.host, int(runner.addresses[0][1]))
    finally:
        with anyio.move_on_after(2 * CLOSE_S, shield=True):
            await runner.cleanup()


def _handler(page: Callable[[], Awaitable[Page]]) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(_: web.Request) -> web.Response:
        made = Page(f"no answer in {PAGE_S:g} s\n", 503)
        with anyio.move_on_after(PAGE_S):
            made = await page()
        headers = {"Content-Type": made.content_type, "Cache-Control": "no-store"}
        return web.Response(body=made.text.encode(), status=made.status, headers=headers)

    return answer
