"""Reports on their way to the store, in batches."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress

import anyio
import structlog

from appliance.bus import BusError, BusRefused, BusUnavailable, subjects
from appliance.bus.link import GONE, ApiError, Link, Message
from appliance.bus.pull import Puller
from appliance.contract import ContractError, Report, decode_report

log = structlog.get_logger(__name__)

_BATCH = 500
_LINGER = 0.05
"""Seconds that a batch which is not full waits for more."""
_WAIT = 2.0
_PAUSE = 0.25


class JetStreamReport:
    """Implements `ReportDelivery`."""

    def __init__(self, link: Link, message: Message, report: Report) -> None:
        self._link = link
        self._reply = message.reply
        self.report = report
        self.sender = subjects.sender(message.subject)

    async def done(self) -> None:
        await _say(self._link, self._reply, b"+ACK")


class Reports:
    """Iterates batches. `mend` makes the stream when the bus has lost it."""

    def __init__(self, link: Link, mend: Callable[[], Awaitable[None]]) -> None:
        self._link = link
        self._mend = mend
        self._puller = Puller(link, subjects.OUTCOMES, subjects.COLLECTOR, link.timing.report_wait)

    def __aiter__(self) -> AsyncIterator[Sequence[JetStreamReport]]:
        return self

    async def __anext__(self) -> Sequence[JetStreamReport]:
        """Raises BusRefused."""
        while True:
            batch = await self._batch()
            if batch:
                return batch

    async def _batch(self) -> list[JetStreamReport]:
        try:
            messages = list(await self._puller.pull(_BATCH, _WAIT))
            if not messages:
                await self._look()
                return []
            if len(messages) < _BATCH:
                await anyio.sleep(_LINGER)
                messages += await self._puller.pull(_BATCH - len(messages), 0.001)
        except BusRefused:
            raise
        except BusUnavailable:
            await anyio.sleep(_PAUSE)
            return []
        except BusError as error:
            log.warning("bus.mend_failed", stream=subjects.OUTCOMES, text=str(error))
            await anyio.sleep(_PAUSE)
            return []
        return [report for message in messages if (report := await self._read(message)) is not None]

    async def _look(self) -> None:
        """Nothing came. Is it that the bus has lost the stream?"""
        try:
            await self._link.api(f"CONSUMER.INFO.{subjects.OUTCOMES}.{subjects.COLLECTOR}")
        except ApiError as error:
            if error.code not in GONE:
                raise
            await self._mend()

    async def _read(self, message: Message) -> JetStreamReport | None:
        try:
            return JetStreamReport(self._link, message, decode_report(message.data))
        except ContractError as error:
            sender = subjects.sender(message.subject)
            log.warning("bus.unreadable", what="report", sender=sender, text=str(error))
            await _say(self._link, message.reply, b"+TERM")
            return None

    async def close(self) -> None:
        await self._puller.close()


async def _say(link: Link, reply: str, word: bytes) -> None:
    # Where that fails, the report comes again, and the store absorbs it.
    with suppress(BusUnavailable):
        await link.publish(reply, word)
