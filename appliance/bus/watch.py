"""Watching a key-value bucket: a snapshot, then its changes; on any doubt a new snapshot.

The client library's own watcher goes deaf when the server comes back with an empty store. This one makes a push
consumer under a new name whenever the connection broke, the server's idle heartbeat is missing, a sequence number is
skipped or the bucket is gone, and replaces what it knew by what the new consumer delivers.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream

from appliance.bus import BusError, BusRefused, BusUnavailable
from appliance.bus.link import GONE, ApiError, Link, Message
from appliance.bus.pull import delivery
from appliance.logs import get_logger

log = get_logger(__name__)

_BEAT = 1.0
_SILENCE = 3.5
_PAUSE = 0.25
_LINGER = 30
"""Seconds after which the server forgets a consumer that nobody listens to."""


class KeyWatch:
    """The bucket's keys (without the prefix) and values that match the filter: each step of the iteration as of then.

    `mend` is awaited when the bucket does not exist, and may make it.
    """

    def __init__(
        self,
        link: Link,
        *,
        stream: str,
        prefix: str,
        subject: str,
        mend: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._link = link
        self._stream = stream
        self._prefix = prefix
        self._subject = subject
        self._mend = mend
        self._consumer = ""
        self._subscription = AsyncExitStack()
        self._source: MemoryObjectReceiveStream[Message] | None = None
        self._inbox = ""
        self._seen = 0
        self._connection = 0
        self._complete = False
        self._state: dict[str, bytes] = {}
        self._told: dict[str, bytes] | None = None

    def __aiter__(self) -> AsyncIterator[Mapping[str, bytes]]:
        return self

    async def __anext__(self) -> Mapping[str, bytes]:
        """Raises BusRefused."""
        while True:
            try:
                if not self._consumer or self._connection != self._link.connection:
                    await self._begin()
                elif not self._complete or self._state == self._told:
                    await self._follow()
                while self._consumer and self._source and self._source.statistics().current_buffer_used:
                    self._take(self._source.receive_nowait())
            except BusRefused:
                raise
            except BusUnavailable:
                self._consumer = ""
            except ApiError as error:
                self._consumer = ""
                await self._missing(error)
            if self._complete and self._state != self._told:
                self._told = dict(self._state)
                return self._told
            if not self._consumer:
                await anyio.sleep(_PAUSE)

    async def close(self) -> None:
        """End the subscription; the server forgets the consumer by itself."""
        await self._subscription.aclose()

    async def _missing(self, error: ApiError) -> None:
        if error.code not in GONE:
            log.warning("bus.watch_failed", stream=self._stream, text=str(error))
        elif self._mend is not None:
            try:
                await self._mend()
            except BusError as failure:
                log.warning("bus.mend_failed", stream=self._stream, text=str(failure))

    async def _begin(self) -> None:
        # A subscription of its own, to the literal subject: the server delivers nothing to a wildcard.
        await self.close()
        self._inbox = self._link.new_inbox()
        self._source = await self._subscription.enter_async_context(self._link.listen(self._inbox))
        self._connection = self._link.connection
        name = self._inbox.rsplit(".", 1)[1]
        self._state, self._complete, self._seen = {}, False, 0
        config = {
            "name": name,
            "deliver_subject": self._inbox,
            "deliver_policy": "last_per_subject",
            "ack_policy": "none",
            "filter_subject": self._subject,
            "idle_heartbeat": int(_BEAT * 1e9),
            "inactive_threshold": int(_LINGER * 1e9),
            "max_deliver": 1,
            "mem_storage": True,
            "num_replicas": 1,
        }
        info = await self._link.api(
            f"CONSUMER.CREATE.{self._stream}.{name}.{self._subject}",
            {"stream_name": self._stream, "config": config, "action": "create"},
        )
        self._consumer = name
        self._complete = info["num_pending"] + info["delivered"]["consumer_seq"] == 0

    async def _follow(self) -> None:
        if self._source is None:
            return
        with self._link.patience(self._subject, _SILENCE):
            try:
                self._take(await self._source.receive())
            except anyio.EndOfStream:
                raise BusRefused("the server has closed this connection for good") from None

    def _take(self, message: Message) -> None:
        origin = delivery(message.reply)
        headers = message.headers or {}
        if origin is None:
            last = headers.get("Nats-Last-Consumer", "0")
            if message.subject == self._inbox and int(last) != self._seen:
                self._consumer = ""
            return
        if origin.consumer != self._consumer:
            return
        if origin.consumer_seq != self._seen + 1:
            self._consumer = ""
            return
        self._seen = origin.consumer_seq
        key = message.subject.removeprefix(self._prefix)
        if "Nats-Marker-Reason" in headers or "KV-Operation" in headers:
            self._state.pop(key, None)
        else:
            self._state[key] = message.data
        if origin.pending == 0:
            self._complete = True


@asynccontextmanager
async def watch(
    link: Link, *, stream: str, prefix: str, subject: str, mend: Callable[[], Awaitable[None]] | None = None
) -> AsyncIterator[KeyWatch]:
    keys = KeyWatch(link, stream=stream, prefix=prefix, subject=subject, mend=mend)
    try:
        yield keys
    finally:
        await keys.close()
