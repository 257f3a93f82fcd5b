"""What hub and shard say to each other over a socket pair: questions that are answered, and things that are told.

A message is a line of JSON: [number, word, body] asks (number 0: tells), [-number, null, body] answers. Answers are
given at once, or when a future that the handler has returned is done.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any, cast

Handler = Callable[[Any], Any]
"""Takes the body of a question, gives that of its answer, or a future of it."""


class LinkLost(ConnectionError):
    """The other process has gone."""


class Link(asyncio.Protocol):
    """One end; `lost` is told when the other one has gone. Questions that are open then end with LinkLost."""

    def __init__(self, handlers: Mapping[str, Handler], lost: Callable[[], None]) -> None:
        self._handlers = handlers
        self._lost = lost
        self._open: dict[int, asyncio.Future[Any]] = {}
        self._last = 0
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None

    def ask(self, word: str, body: Any = None) -> asyncio.Future[Any]:
        self._last += 1
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self._transport is None:
            answer.set_exception(LinkLost())
        else:
            self._open[self._last] = answer
            self._send(self._last, word, body)
        return answer

    def tell(self, word: str, body: Any = None) -> None:
        self._send(0, word, body)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A socket's transport, which is an asyncio.Transport.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if b"\n" not in data:
            return  # a message of many megabytes comes in many parts
        *lines, self._buffer = self._buffer.split(b"\n")
        for line in lines:
            number, word, body = json.loads(line)
            if number < 0:
                answer = self._open.pop(-number)
                if not answer.done():  # its asker may have gone
                    answer.set_result(body)
            else:
                self._handle(number, self._handlers[word](body))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._transport = None
        for answer in self._open.values():
            if not answer.done():
                answer.set_exception(LinkLost())
        self._open.clear()
        self._lost()

    def _handle(self, number: int, said: Any) -> None:
        if isinstance(said, asyncio.Future):
            said.add_done_callback(lambda done: self._send(-number, None, done.result()))
        elif number:
            self._send(-number, None, said)

    def _send(self, number: int, word: str | None, body: Any) -> None:
        if self._transport is not None:
            self._transport.write(json.dumps((number, word, body)).encode() + b"\n")
