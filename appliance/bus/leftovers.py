"""Jobs that were delivered twice and never ended: found by the server's advisory, or by a sweep when that was missed.

The sweep rests on one fact: while a consumer has nothing unacknowledged, what still lies in its part of the stream up
to the last sequence number it delivered will never be delivered again. A message must be seen so in two sweeps, since
the removal of an acknowledged one may lag.
"""

from __future__ import annotations

import base64
import json
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream

from appliance.bus import BusError, BusRefused, BusUnavailable, subjects
from appliance.bus.link import GONE, ApiError, Link, Message
from appliance.contract import ContractError, Job
from appliance.logs import get_logger

log = get_logger(__name__)

_NO_MESSAGE = 10037


class Leftovers:
    """Iterates lost jobs; `open_runs` names the (zone, run) pairs that are ours to look after."""

    def __init__(
        self,
        link: Link,
        advisories: MemoryObjectReceiveStream[Message],
        open_runs: Callable[[], Iterable[tuple[str, str]]],
    ) -> None:
        self._link = link
        self._advisories = advisories
        self._open_runs = open_runs
        self._found: deque[Job] = deque()
        self._suspects: dict[tuple[str, int], None] = {}
        self._next_sweep = anyio.current_time()

    def __aiter__(self) -> AsyncIterator[Job]:
        return self

    async def __anext__(self) -> Job:
        """Raises BusRefused when the server has closed the connection for good."""
        while not self._found:
            message: Message | None = None
            with anyio.move_on_after(max(self._next_sweep - anyio.current_time(), 0)):
                try:
                    message = await self._advisories.receive()
                except anyio.EndOfStream:
                    raise BusRefused("the server has closed this connection for good") from None
            try:
                if message is not None:
                    await self._advised(message)
                else:
                    self._next_sweep = anyio.current_time() + self._link.timing.sweep
                    await self._sweep()
            except BusError as error:
                log.warning("bus.leftovers_not_read", text=str(error))
        return self._found.popleft()

    async def _advised(self, message: Message) -> None:
        try:
            advisory = json.loads(message.data)
            stream, run, seq = str(advisory["stream"]), str(advisory["consumer"]), int(advisory["stream_seq"])
        except (ValueError, KeyError, TypeError) as error:
            log.warning("bus.unreadable", what="advisory", text=str(error))
            return
        if any(stream == subjects.jobs_stream(zone) and run == ours for zone, ours in self._open_runs()):
            await self._remove(stream, seq)

    async def _remove(self, stream: str, seq: int) -> None:
        """Take the message off the stream, and keep the job it was; nothing if somebody else has ended it."""
        try:
            found = await self._link.api(f"STREAM.MSG.GET.{stream}", {"seq": seq})
            await self._link.api(f"STREAM.MSG.DELETE.{stream}", {"seq": seq})
        except ApiError as error:
            if error.code in GONE or error.code == _NO_MESSAGE:
                return
            raise
        try:
            self._found.append(Job.decode(base64.b64decode(found["message"]["data"])))
        except (ContractError, KeyError) as error:
            log.warning("bus.unreadable", what="lost job", stream=stream, seq=seq, text=str(error))

    async def _sweep(self) -> None:
        seen: dict[tuple[str, int], None] = {}
        for zone, run in tuple(self._open_runs()):
            stream = subjects.jobs_stream(zone)
            for seq in await self._stranded(stream, zone, run):
                if (stream, seq) in self._suspects:
                    await self._remove(stream, seq)
                else:
                    seen[stream, seq] = None
        self._suspects = seen

    async def _stranded(self, stream: str, zone: str, run: str) -> list[int]:
        try:
            info = await self._link.api(f"CONSUMER.INFO.{stream}.{run}")
        except BusUnavailable:
            raise
        except ApiError:
            return []
        if info["num_ack_pending"]:
            return []
        last = int(info["delivered"]["stream_seq"])
        stranded: list[int] = []
        seq = 1
        while seq <= last:
            try:
                found = await self._link.api(
                    f"STREAM.MSG.GET.{stream}", {"seq": seq, "next_by_subj": subjects.jobs(zone, run)}
                )
            except ApiError:
                break
            seq = int(found["message"]["seq"])
            if seq <= last:
                stranded.append(seq)
            seq += 1
        return stranded
