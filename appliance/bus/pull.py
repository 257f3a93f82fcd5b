"""Reading a durable consumer by pull, so that nothing arrives that was not asked for.

A pull asks for at most `count` messages with `no_wait` and an expiry: the server answers as soon as it has any, and
ends a short answer with a status message, unless what is left may not go out yet. So a pull leaves nothing behind on
the server but when it is cancelled; what then still arrives is kept for the next pull.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream

from appliance.bus import BusRefused, BusUnavailable
from appliance.bus.link import Interrupted, Link, Message

_SPARE = 1.0
"""Seconds by which the server's own expiry is given time to arrive."""
_PAUSE = 0.1
_LINGER = 0.1
"""Seconds in which the rest of a pull follows its first message, if it does."""
_STALE = 0.8
"""The part of the ack wait after which a message that was kept is left to the server, which delivers it again."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """What the reply subject of a delivered message says: `$JS.ACK...<count>.<seq>.<consumer seq>.<time>.<pending>`."""

    consumer: str
    count: int
    seq: int
    consumer_seq: int
    pending: int


def delivery(reply: str) -> Delivery | None:
    """None for a message that no consumer delivered."""
    tokens = reply.split(".")
    if tokens[:2] != ["$JS", "ACK"] or len(tokens) < 9:
        return None
    # The longer form has domain and account before the stream, and a random token at the end.
    first = 3 if len(tokens) == 9 else 5
    count, seq, consumer_seq, _, pending = map(int, tokens[first + 1 : first + 6])
    return Delivery(tokens[first], count, seq, consumer_seq, pending)


class Puller:
    """One consumer, read by one caller at a time (`pull` waits for its turn)."""

    def __init__(self, link: Link, stream: str, consumer: str, ack_wait: float) -> None:
        self._link = link
        self._subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"
        self._ack_wait = ack_wait
        self._turn = anyio.Lock()
        self._stack = AsyncExitStack()
        self._source: MemoryObjectReceiveStream[Message] | None = None
        self._inbox = ""
        self._pulls = 0
        self._kept: list[tuple[float, Message]] = []

    async def pull(self, count: int, wait: float) -> Sequence[Message]:
        """Up to `count` messages, waiting at most `wait` seconds for the first. Empty too when the consumer is gone.

        Raises BusRefused; BusUnavailable when there is no connection at the end.
        """
        async with self._turn:
            end = anyio.current_time() + wait
            self._drain()
            while not self._kept:
                left = end - anyio.current_time()
                if left <= 0:
                    break
                try:
                    await self._ask(count, left)
                except Interrupted:
                    pass
                except BusUnavailable:
                    if not self._link.connected:
                        raise
                    break
                if not self._kept:
                    await anyio.sleep(min(_PAUSE, max(end - anyio.current_time(), 0)))
            taken, self._kept = self._kept[:count], self._kept[count:]
            return [message for _, message in taken]

    async def close(self) -> None:
        """Give back what nobody took; then end the subscription."""
        self._drain()
        for _, message in self._kept:
            try:
                await self._link.publish(message.reply, b"-NAK")
            except BusUnavailable:
                break
        self._kept = []
        await self._stack.aclose()

    def _keep(self, message: Message) -> None:
        self._kept.append((anyio.current_time(), message))

    def _drain(self) -> None:
        if self._source is None:
            return
        while self._source.statistics().current_buffer_used:
            message = self._source.receive_nowait()
            if _status(message) is None:
                self._keep(message)
        oldest = anyio.current_time() - self._ack_wait * _STALE
        self._kept = [(at, message) for at, message in self._kept if at > oldest]

    async def _ask(self, count: int, wait: float) -> None:
        if self._source is None:
            self._inbox = self._link.new_inbox()
            self._source = await self._stack.enter_async_context(self._link.listen(f"{self._inbox}.*"))
        self._pulls += 1
        reply = f"{self._inbox}.{self._pulls}"
        request = {"batch": count, "expires": int(wait * 1e9), "no_wait": True}
        with self._link.patience(self._subject, wait + _SPARE):
            await self._link.publish(self._subject, json.dumps(request).encode(), reply)
            if await self._collect(1, reply):
                return
            with anyio.move_on_after(_LINGER) as linger:
                await self._collect(count - 1, reply)
        if linger.cancelled_caught:
            # As many jobs are out as may be. What the server still owes would come when nobody has room for it; what it
            # sends at this very moment must not be lost, since it is a delivery.
            await self._link.silence(self._source)
            self._drain()
            await self._stack.aclose()
            self._source = None

    async def _collect(self, wanted: int, reply: str) -> bool:
        """Keep the next messages; True when the server has ended the pull before all had come."""
        while wanted and self._source is not None:
            try:
                message = await self._source.receive()
            except anyio.EndOfStream:
                raise BusRefused("the server has closed this connection for good") from None
            if _status(message) is None:
                self._keep(message)
                wanted -= 1
            elif message.subject == reply:
                return True
        return False


def _status(message: Message) -> str | None:
    """The status code of a message that carries nothing else (404, 408, 409, 503, 100)."""
    return None if message.data or not message.headers else message.headers.get("Status")
