"""Publishing many messages into streams at a time: written one behind the other, confirmed on one subscription.

A call of its own for each message costs a task, a time-out, an entry in the register of calls and a future; what this
saves is in the figures of `appliance/desk.py`. Only what goes well is done here: whatever is not confirmed in time, or
is refused, is the caller's to repeat by itself, with the same id.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream

from appliance.bus import BusUnavailable
from appliance.bus.link import Link, Message

_TRY = 3.0
"""Seconds until the last of them is confirmed."""


@dataclass(frozen=True, slots=True)
class Post:
    subject: str
    body: bytes
    msg_id: str


class Posting:
    """One caller at a time is served; the others wait for their turn."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._turn = anyio.Lock()
        self._stack = AsyncExitStack()
        self._source: MemoryObjectReceiveStream[Message] | None = None
        self._inbox = ""
        self._posted = 0

    async def post(self, posts: Sequence[Post]) -> list[int | None]:
        """Each message's sequence number in its stream; None for what was not confirmed. Raises BusRefused."""
        async with self._turn:
            try:
                return await self._post(posts)
            except BusUnavailable:
                return [None] * len(posts)

    async def close(self) -> None:
        await self._stack.aclose()

    async def _post(self, posts: Sequence[Post]) -> list[int | None]:
        if self._source is None:
            self._inbox = self._link.new_inbox()
            self._source = await self._stack.enter_async_context(self._link.listen(f"{self._inbox}.*"))
        first, self._posted = self._posted, self._posted + len(posts)
        seqs: list[int | None] = [None] * len(posts)
        try:
            with self._link.patience(posts[0].subject, _TRY):
                for n, post in enumerate(posts, start=first):
                    await self._link.publish(
                        post.subject, post.body, f"{self._inbox}.{n}", {"Nats-Msg-Id": post.msg_id}
                    )
                left = len(posts)
                while left:
                    message = await self._source.receive()
                    n = int(message.subject.rsplit(".", 1)[1]) - first
                    if 0 <= n < len(posts) and seqs[n] is None:  # an older one's confirmation may come late
                        seqs[n] = _seq(message)
                        left -= 1
        except (BusUnavailable, anyio.EndOfStream):
            pass
        return seqs


def _seq(message: Message) -> int | None:
    """None: the stream has refused it, or there is none."""
    answer = json.loads(message.data) if message.data else {}
    return None if "error" in answer or "seq" not in answer else int(answer["seq"])
