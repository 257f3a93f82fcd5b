"""Answers that come wrong: cut short, swollen, dripping, or not at all."""

from __future__ import annotations

import anyio
from aiohttp import web

from targets.door import reset
from targets.vault_faults import HTML, Mangle

OVERSIZE = 8 * 1024 * 1024
"""Bytes of white space before the body, which JSON allows."""
_CHUNK = 64 * 1024
DRIP_S = 0.5
"""Between two bytes."""


async def mangled(request: web.Request, response: web.StreamResponse, how: Mangle) -> web.StreamResponse:
    """Send it in this way; what is returned has been sent as far as it ever will be."""
    body = response.body if isinstance(response, web.Response) and isinstance(response.body, bytes) else b""
    match how:
        case Mangle.HTML:
            return web.Response(text=HTML.format("Log in"), content_type="text/html")
        case Mangle.RESET:
            if request.transport is not None:
                reset(request.transport)
            return response
        case Mangle.TRUNCATED:
            sent = await _begun(request, response, len(body))
            await sent.write(body[: len(body) // 2])
            if request.transport is not None:
                request.transport.abort()
            return sent
        case Mangle.OVERSIZED:
            sent = await _begun(request, response, OVERSIZE + len(body))
            for _ in range(OVERSIZE // _CHUNK):
                await sent.write(b" " * _CHUNK)
            await sent.write(body)
        case Mangle.DRIP:
            sent = await _begun(request, response, len(body))
            for at in range(len(body)):
                await sent.write(body[at : at + 1])
                await anyio.sleep(DRIP_S)
    await sent.write_eof()
    return sent


async def _begun(request: web.Request, like: web.StreamResponse, length: int) -> web.StreamResponse:
    started = web.StreamResponse(status=like.status, headers={"Content-Type": like.headers.get("Content-Type", "")})
    started.content_length = length
    await started.prepare(request)
    return started
