"""The appliance's side of the bus on NATS. Supervisor and scan processes each make one, with the same credentials."""

from __future__ import annotations

import json
import ssl
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from hashlib import sha256
from typing import Self

import anyio

from appliance.access import AccessAnswer, AccessRequest
from appliance.bus import BusError, BusUnavailable, JobLease, NoPacer, Timing, subjects
from appliance.bus.batches import decode_answers, encode_asks, joined
from appliance.bus.link import GONE, ApiError, Link, Message, NoAnswer
from appliance.bus.pull import Puller, delivery
from appliance.bus.serve import serve
from appliance.bus.watch import KeyWatch, watch
from appliance.contract import (
    ContractError,
    Heartbeat,
    Job,
    PermitAnswer,
    PermitAsk,
    PermitRequest,
    Report,
    RunNotice,
    ZoneOrders,
    encode_report,
)
from appliance.logs import get_logger
from appliance.questions import VaultAnswer, VaultQuery

log = get_logger(__name__)

_ACK_TRY = 2.0
_PARCEL = 256 * 1024
"""Bytes of reports in one message; a server takes 1 MiB at least."""


class JetStreamLease:
    """Implements `JobLease`."""

    def __init__(self, link: Link, message: Message, job: Job, count: int) -> None:
        self._link = link
        self._reply = message.reply
        self.job = job
        self.delivery = count

    async def in_progress(self) -> None:
        # The next one may arrive; if none does, the job is delivered again, which its permit makes harmless.
        with suppress(BusUnavailable):
            await self._link.publish(self._reply, b"+WPI")

    async def end(self) -> None:
        """`done`, but for the confirmation: the next one on the same connection stands for it."""
        with suppress(BusUnavailable):
            await self._link.publish(self._reply, b"+ACK")

    async def done(self) -> None:
        await self._confirm(b"+ACK")

    async def give_back(self, delay: float) -> None:
        await self._confirm(b"-NAK " + json.dumps({"delay": int(delay * 1e9)}).encode())

    async def _confirm(self, word: bytes) -> None:
        end = anyio.current_time() + self._link.timing.retry
        while True:
            try:
                await self._link.request(self._reply, word, wait=_ACK_TRY)
                return
            except NoAnswer:
                if await self._is_over():
                    return
                failure: BusUnavailable = BusUnavailable("the job's consumer does not answer")
            except BusUnavailable as error:
                failure = error
            if anyio.current_time() >= end:
                raise failure
            await anyio.sleep(0.2)

    async def _is_over(self) -> bool:
        """Has the run's consumer been taken away, and this job with it?"""
        tokens = self._reply.split(".")
        stream, consumer = tokens[2:4] if len(tokens) == 9 else tokens[4:6]
        try:
            await self._link.api(f"CONSUMER.INFO.{stream}.{consumer}")
        except ApiError as error:
            return error.code in GONE
        return False


def _parcels(reports: Sequence[Report]) -> Iterator[tuple[str, list[tuple[Report, bytes]]]]:
    """Reports of one run each, encoded, as many as fit into a message."""
    by_run: dict[str, list[tuple[Report, bytes]]] = defaultdict(list)
    sizes: dict[str, int] = defaultdict(int)
    for report in reports:
        run, line = report.run, encode_report(report)
        if by_run[run] and sizes[run] + len(line) > _PARCEL:
            yield run, by_run.pop(run)
            del sizes[run]
        by_run[run].append((report, line))
        sizes[run] += len(line)
    yield from by_run.items()


def _message_id(some: Sequence[tuple[Report, bytes]]) -> str:
    """Of exactly these reports: where one is of another attempt, it is no duplicate, and the others are not lost."""
    ids = [f"{report.job}:{report.attempt}:{report.lease[:12]}" for report, _ in some]
    return ids[0] if len(ids) == 1 else sha256(",".join(ids).encode()).hexdigest()


class RunNotices:
    """Iterates the open runs of a zone."""

    def __init__(self, keys: KeyWatch) -> None:
        self._keys = keys

    def __aiter__(self) -> AsyncIterator[Mapping[str, RunNotice]]:
        return self

    async def __anext__(self) -> Mapping[str, RunNotice]:
        notices: dict[str, RunNotice] = {}
        for key, value in (await anext(self._keys)).items():
            if key.endswith(f".{subjects.ORDERS_KEY}"):
                continue
            try:
                notice = RunNotice.decode(value)
            except ContractError as error:
                log.warning("bus.unreadable", what="run notice", key=key, text=str(error))
                continue
            notices[notice.run] = notice
        return notices


def _orders(data: bytes | None) -> ZoneOrders | None:
    try:
        return ZoneOrders.decode(data) if data else None
    except ContractError as error:
        log.warning("bus.unreadable", what="zone orders", text=str(error))
        return None


class JetStreamAppliance:
    """Implements `ApplianceBus`."""

    def __init__(self, link: Link, zone: str, name: str) -> None:
        self._link = link
        self._zone = zone
        self._name = name
        self._pullers: dict[str, Puller] = {}

    @property
    def connected(self) -> bool:
        return self._link.connected

    async def lease(self, run: str, count: int, wait: float) -> Sequence[JetStreamLease]:
        puller = self._pullers.get(run)
        if puller is None:
            stream = subjects.jobs_stream(self._zone)
            consumer = subjects.token(run, "run")
            puller = self._pullers[run] = Puller(self._link, stream, consumer, self._link.timing.ack_wait)
        leases = []
        for message in await puller.pull(count, wait):
            origin = delivery(message.reply)
            try:
                job = Job.decode(message.data)
            except ContractError as error:
                log.warning("bus.unreadable", what="job", run=run, text=str(error))
                await self._terminate(message)
                continue
            if origin is not None:
                leases.append(JetStreamLease(self._link, message, job, origin.count))
        return leases

    async def _terminate(self, message: Message) -> None:
        # Where that fails, it is delivered once more and terminated then.
        with suppress(BusUnavailable):
            await self._link.publish(message.reply, b"+TERM")

    async def publish(self, *reports: Report) -> None:
        for run, some in _parcels(reports):
            subject = subjects.outcome(self._zone, self._name, run)
            try:
                await self._link.store(subject, joined(line for _, line in some), _message_id(some))
            except ApiError as error:
                raise BusUnavailable(str(error)) from error

    async def done(self, *leases: JobLease) -> None:
        *others, last = [lease for lease in leases if isinstance(lease, JetStreamLease)]
        connection = self._link.connection
        for lease in others:
            await lease.end()
        await last.done()
        if self._link.connection != connection:
            # What had been said on the old connection may not have been heard.
            for lease in others:
                await lease.done()

    async def ask(self, asks: Sequence[PermitAsk], wait: float) -> Sequence[PermitAnswer | None]:
        try:
            subject = subjects.permit_ask(self._zone, self._name)
            reply = await self._link.request(subject, encode_asks(asks), wait=wait)
            answers = decode_answers(reply.data)
        except (BusError, ContractError) as error:
            raise NoPacer(f"no answer about permits: {error}") from error
        if len(answers) != len(asks):
            raise NoPacer(f"{len(answers)} answers to {len(asks)} questions about permits")
        return answers

    async def permit(self, request: PermitRequest, wait: float) -> PermitAnswer:
        try:
            reply = await self._link.request(subjects.permit_hold(self._zone, self._name), request.encode(), wait=wait)
            return PermitAnswer.decode(reply.data)
        except (BusError, ContractError) as error:
            raise NoPacer(f"no permit: {error}") from error

    async def access(self, request: AccessRequest, wait: float) -> AccessAnswer:
        try:
            reply = await self._link.request(subjects.access(self._zone, self._name), request.encode(), wait=wait)
            return AccessAnswer.decode(reply.data)
        except (BusError, ContractError) as error:
            raise BusUnavailable(f"no answer about access to a secret: {error}") from error

    async def heartbeat(self, beat: Heartbeat) -> None:
        try:
            await self._link.store(subjects.heartbeat(self._zone, self._name), beat.encode())
        except ApiError as error:
            raise BusUnavailable(str(error)) from error

    @asynccontextmanager
    async def runs(self) -> AsyncIterator[AsyncIterator[Mapping[str, RunNotice]]]:
        subject = subjects.run_notices(self._zone)
        async with watch(self._link, stream=subjects.RUNS, prefix=subjects.RUNS_PREFIX, subject=subject) as keys:
            yield RunNotices(keys)

    @asynccontextmanager
    async def orders(self) -> AsyncIterator[AsyncIterator[ZoneOrders | None]]:
        subject = subjects.run_notices(self._zone)  # what it may read; the orders lie among the notices
        async with watch(self._link, stream=subjects.RUNS, prefix=subjects.RUNS_PREFIX, subject=subject) as keys:
            yield (_orders(now.get(f"{self._zone}.{subjects.ORDERS_KEY}")) async for now in keys)

    @asynccontextmanager
    async def logins(self) -> AsyncIterator[AsyncIterator[bytes | None]]:
        """What is sealed for this appliance: first as it is, then anew after every change; None where nothing is."""
        subject = subjects.logins(self._zone, self._name)
        async with watch(self._link, stream=subjects.LOGINS, prefix=subjects.LOGINS_PREFIX, subject=subject) as keys:
            yield (next(iter(now.values()), None) async for now in keys)

    async def unended(self, run: str) -> int:
        try:
            info = await self._link.api(
                f"CONSUMER.INFO.{subjects.jobs_stream(self._zone)}.{subjects.token(run, 'run')}"
            )
        except ApiError as error:
            if error.code in GONE:
                return 0
            raise BusUnavailable(str(error)) from error
        return int(info["num_pending"]) + int(info["num_ack_pending"])

    def vault_queries(
        self, answer: Callable[[VaultQuery], Awaitable[VaultAnswer]]
    ) -> AbstractAsyncContextManager[None]:
        async def reply(message: Message) -> bytes:
            try:
                query = VaultQuery.decode(message.data)
            except ContractError as error:
                log.warning("bus.unreadable", what="vault query", text=str(error))
                return VaultAnswer(ok=False, reason="INTERNAL", text=str(error)).encode()
            return (await answer(query)).encode()

        return serve(self._link, subjects.vault(self._zone), reply, queue=subjects.VAULT_QUEUE)

    async def close(self) -> None:
        for puller in self._pullers.values():
            await puller.close()
        await self._link.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


async def connect_appliance(
    url: str,
    *,
    name: str,
    zone: str,
    seed: str | None = None,
    token: str = "",
    tls: ssl.SSLContext | None = None,
    timing: Timing | None = None,
) -> JetStreamAppliance:
    """Connect as the appliance whose user `seed` (an nkey) proves; `token`: what its account says of it, if the server
    goes by that.

    Raises BusRefused, BusUnavailable; ValueError for a name that is no NATS token.
    """
    inbox = subjects.appliance_inbox(zone, name)
    link = await Link.open(
        url, name=f"keymuster {name}", inbox=inbox, seed=seed, token=token, tls=tls, timing=timing or Timing()
    )
    return JetStreamAppliance(link, zone, name)
