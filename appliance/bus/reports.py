"""Reports on their way to the store, in batches."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress

import anyio

from appliance.bus import BusError, BusRefused, BusUnavailable, subjects
from appliance.bus.batches import decode_reports
from appliance.bus.link import GONE, ApiError, Link, Message
from appliance.bus.pull import Puller
from appliance.contract import ContractError, Report
from appliance.logs import get_logger

log = get_logger(__name__)

_BATCH = 500
"""Messages of a pull, and reports of a batch."""
_LINGER = 0.05
"""Seconds that a batch which is not full waits for more."""
_WAIT = 2.0
_PAUSE = 0.25


class _Parcel:
    """A message with reports in it; it is over when all of them are."""

    def __init__(self, link: Link, message: Message) -> None:
        self._link = link
        self._reply = message.reply
        self.left = 0

    async def one_done(self) -> None:
        self.left -= 1
        if not self.left:
            await _say(self._link, self._reply, b"+ACK")


class JetStreamReport:
    """Implements `ReportDelivery`."""

    def __init__(self, parcel: _Parcel, sender: str, report: Report) -> None:
        self._parcel = parcel
        self.report = report
        self.sender = sender

    async def done(self) -> None:
        await self._parcel.one_done()


class Reports:
    """Iterates batches of a run's reports. `mend` makes stream and consumer when the bus has lost them."""

    def __init__(self, link: Link, run: str, mend: Callable[[], Awaitable[None]]) -> None:
        self._link = link
        self._run = subjects.token(run, "run")
        self._mend = mend
        self._puller = Puller(link, subjects.OUTCOMES, run, link.timing.report_wait)
        self._read: list[JetStreamReport] = []

    def __aiter__(self) -> AsyncIterator[Sequence[JetStreamReport]]:
        return self

    async def __anext__(self) -> Sequence[JetStreamReport]:
        """Raises BusRefused."""
        while not self._read:
            self._read = await self._pull()
        batch, self._read = self._read[:_BATCH], self._read[_BATCH:]
        return batch

    async def _pull(self) -> list[JetStreamReport]:
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
        return [report for message in messages for report in await self._open(message)]

    async def _look(self) -> None:
        """Nothing came. Is it that the bus has lost the stream?"""
        try:
            await self._link.api(f"CONSUMER.INFO.{subjects.OUTCOMES}.{self._run}")
        except ApiError as error:
            if error.code not in GONE:
                raise
            await self._mend()

    async def _open(self, message: Message) -> list[JetStreamReport]:
        """What can be read of it; a message of which nothing can is over."""
        parcel, sender = _Parcel(self._link, message), subjects.sender(message.subject)
        found = []
        for report in decode_reports(message.data):
            if isinstance(report, ContractError):
                log.warning("bus.unreadable", what="report", sender=sender, text=str(report))
            else:
                found.append(JetStreamReport(parcel, sender, report))
        parcel.left = len(found)
        if not found:
            await _say(self._link, message.reply, b"+TERM")
        return found

    async def close(self) -> None:
        await self._puller.close()


async def _say(link: Link, reply: str, word: bytes) -> None:
    # Where that fails, the report comes again, and the store absorbs it.
    with suppress(BusUnavailable):
        await link.publish(reply, word)
