"""The orchestrator's side of the bus on NATS."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Self

import anyio

from appliance.access import AccessAnswer, AccessRequest
from appliance.bus import Ask, BusError, BusUnavailable, Hold, Placed, RunView, Timing, layout, subjects
from appliance.bus.batches import decode_asks, encode_answers
from appliance.bus.leftovers import Leftovers
from appliance.bus.link import GONE, ApiError, Link, Message, NoAnswer
from appliance.bus.posting import Post, Posting
from appliance.bus.reports import Reports
from appliance.bus.serve import serve
from appliance.bus.watch import KeyWatch, watch
from appliance.contract import (
    ContractError,
    EnrolmentAnswer,
    EnrolmentRequest,
    Heartbeat,
    Job,
    PermitAnswer,
    PermitAsk,
    PermitRequest,
    PermitVerdict,
    RunNotice,
    ZoneOrders,
)
from appliance.contract.sealed import SealedLogins
from appliance.logs import get_logger
from appliance.questions import VaultAnswer, VaultQuery

log = get_logger(__name__)

_PIPELINE = 256
"""Jobs that may be under way to the server at a time."""
_TOMBSTONE_TTL = "60"


class LiveAppliances:
    """Iterates the appliances that are alive."""

    def __init__(self, keys: KeyWatch) -> None:
        self._keys = keys

    def __aiter__(self) -> AsyncIterator[Mapping[str, Heartbeat]]:
        return self

    async def __anext__(self) -> Mapping[str, Heartbeat]:
        beats: dict[str, Heartbeat] = {}
        for key, value in (await anext(self._keys)).items():
            try:
                beats[key.rsplit(".", 1)[-1]] = Heartbeat.decode(value)
            except ContractError as error:
                log.warning("bus.unreadable", what="heartbeat", key=key, text=str(error))
        return beats


class JetStreamOrchestrator:
    """Implements `OrchestratorBus`."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._posting = Posting(link)
        self._epochs: dict[str, str] = {}
        self._open: dict[tuple[str, str], None] = {}

    @property
    def connected(self) -> bool:
        return self._link.connected

    async def open_zone(self, zone: str) -> None:
        await layout.make_shared(self._link)
        self._epochs[zone] = await layout.make_stream(self._link, layout.jobs_stream(zone))

    async def open_run(self, notice: RunNotice, capacity: int) -> None:
        zone, run = notice.zone, notice.run
        config = layout.run_consumer(zone, run, capacity, self._link.timing)
        await layout.make_consumer(self._link, subjects.jobs_stream(zone), config)
        await layout.make_collector(self._link, run)
        await self._link.store(subjects.run_notice(zone, run), notice.encode())
        self._open[zone, run] = None

    async def close_run(self, run: str, zone: str) -> None:
        self._open.pop((zone, run), None)
        marker = {"KV-Operation": "PURGE", "Nats-Rollup": "sub", "Nats-TTL": _TOMBSTONE_TTL}
        await self._mend()  # a bus that has lost its store has no bucket to write to
        await self._link.store(subjects.run_notice(zone, run), b"", **marker)
        await self._drop(run, zone)
        if not self._is_open(run):  # in another zone
            await layout.drop_consumer(self._link, subjects.OUTCOMES, subjects.token(run, "run"))
            await layout.purge(self._link, subjects.OUTCOMES, subjects.reports_of(run))

    def _is_open(self, run: str) -> bool:
        return any(run == ours for _, ours in self._open)

    async def _drop(self, run: str, zone: str) -> bool:
        """Delete consumer and jobs; was there a consumer?"""
        stream = subjects.jobs_stream(zone)
        existed = await layout.drop_consumer(self._link, stream, subjects.token(run, "run"))
        await layout.purge(self._link, stream, subjects.jobs(zone, run))
        return existed

    async def purge_run(self, run: str, zone: str) -> None:
        stream = subjects.jobs_stream(zone)
        try:
            info = await self._link.api(f"CONSUMER.INFO.{stream}.{subjects.token(run, 'run')}")
        except ApiError as error:
            if error.code not in GONE:
                raise
            info = {}
        if await self._drop(run, zone) and info:
            capacity = int(info["config"]["max_ack_pending"])
            await layout.make_consumer(self._link, stream, layout.run_consumer(zone, run, capacity, self._link.timing))

    async def put(self, jobs: Sequence[Job]) -> Sequence[Placed | None]:
        zones = dict.fromkeys(job.zone for job in jobs)
        for zone in zones:
            if zone not in self._epochs:
                self._epochs[zone] = await self._epoch(zone)
        epochs = dict(self._epochs)
        posts = [Post(subjects.jobs(j.zone, j.run), j.encode(), f"{j.job}:{j.attempt}") for j in jobs]
        seqs: list[int | None] = []
        for first in range(0, len(posts), _PIPELINE):
            seqs += await self._posting.post(posts[first : first + _PIPELINE])
        await self._repeat(jobs, posts, seqs)
        same = {zone: self._epochs[zone] == epochs[zone] for zone in zones}
        return [
            Placed(epochs[job.zone], seq) if seq is not None and same[job.zone] else None
            for job, seq in zip(jobs, seqs, strict=True)
        ]

    async def _repeat(self, jobs: Sequence[Job], posts: Sequence[Post], seqs: list[int | None]) -> None:
        """What was not confirmed with the others, each by itself, for as long as a call may take."""
        places = anyio.CapacityLimiter(_PIPELINE)
        failures: list[BusError] = []

        async def place(n: int) -> None:
            job, post = jobs[n], posts[n]
            async with places:
                if failures:
                    return
                try:
                    stream = subjects.jobs_stream(job.zone)
                    seqs[n] = int((await self._link.store_job(post.subject, post.body, post.msg_id, stream))["seq"])
                except BusUnavailable as error:
                    log.warning("bus.job_not_confirmed", job=job.job, attempt=job.attempt, text=str(error))
                except BusError as error:
                    failures.append(error)

        async with anyio.create_task_group() as placing:
            for n in [n for n, seq in enumerate(seqs) if seq is None]:
                placing.start_soon(place, n, name=f"put {jobs[n].job}")
        if failures:
            raise failures[0]

    async def _epoch(self, zone: str) -> str:
        info = await self._link.api(f"STREAM.INFO.{subjects.jobs_stream(zone)}")
        return str(info["created"])

    async def view(self, run: str, zone: str) -> RunView:
        stream = subjects.jobs_stream(zone)
        at = await self._link.api(f"STREAM.INFO.{stream}")
        consumer = await self._link.api(f"CONSUMER.INFO.{stream}.{subjects.token(run, 'run')}")
        collector = await self._link.api(f"CONSUMER.INFO.{subjects.OUTCOMES}.{subjects.token(run, 'run')}")
        return RunView(
            epoch=str(at["created"]),
            last_seq=int(at["state"]["last_seq"]),
            ack_floor=int(consumer["ack_floor"]["stream_seq"]),
            waiting=int(consumer["num_pending"]),
            leased=int(consumer["num_ack_pending"]),
            reports_waiting=int(collector["num_pending"]) + int(collector["num_ack_pending"]),
            delivered=int(consumer["delivered"]["stream_seq"]),
        )

    @asynccontextmanager
    async def reports(self, run: str) -> AsyncIterator[Reports]:
        async def mend() -> None:
            await self._mend()
            if self._is_open(run):
                await layout.make_collector(self._link, run)

        reports = Reports(self._link, run, mend)
        try:
            yield reports
        finally:
            for zone in [zone for zone, ours in self._open if ours == run]:
                del self._open[zone, run]
            await reports.close()

    async def _mend(self) -> None:
        await layout.make_shared(self._link)

    def permits(
        self,
        hold: Hold,
        ask: Ask,
    ) -> AbstractAsyncContextManager[None]:
        async def answer(message: Message) -> bytes | None:
            sender = subjects.sender(message.subject)
            if message.subject.endswith(".ask"):
                answers = await _answer_all(decode_asks(message.data), sender, ask)
                return None if answers is None else encode_answers(answers)
            try:
                request = PermitRequest.decode(message.data)
            except ContractError as error:
                return _unreadable(error, sender).encode()
            held = await hold(request, sender)
            return None if held is None else held.encode()

        return serve(self._link, subjects.PERMITS, answer)

    def access(
        self, answer: Callable[[AccessRequest, str], Awaitable[AccessAnswer | None]]
    ) -> AbstractAsyncContextManager[None]:
        async def reply(message: Message) -> bytes | None:
            sender = subjects.sender(message.subject)
            try:
                request = AccessRequest.decode(message.data)
            except ContractError as error:
                log.warning("bus.unreadable", what="access", sender=sender, text=str(error))
                return AccessAnswer(ok=False, reason="INTERNAL", text=str(error)).encode()
            answered = await answer(request, sender)
            return None if answered is None else answered.encode()

        return serve(self._link, subjects.ACCESS, reply)

    @asynccontextmanager
    async def lost_jobs(self) -> AsyncIterator[AsyncIterator[Job]]:
        async with self._link.listen(subjects.LOST) as advisories:
            yield Leftovers(self._link, advisories, lambda: self._open)

    def serve_control(self, answer: Callable[[str, bytes], Awaitable[bytes]]) -> AbstractAsyncContextManager[None]:
        async def reply(message: Message) -> bytes:
            return await answer(message.subject.split(".", 1)[1], message.data)

        return serve(self._link, subjects.CONTROL, reply)

    def serve_desk(
        self, name: str, desk: str, answer: Callable[[str, bytes], Awaitable[bytes | None]]
    ) -> AbstractAsyncContextManager[None]:
        async def reply(message: Message) -> bytes | None:
            return await answer(message.subject.rsplit(".", 1)[1], message.data)

        return serve(self._link, subjects.orchestrator(name, desk, "*"), reply)

    async def ask_desk(self, name: str, desk: str, verb: str, body: bytes, wait: float) -> bytes:
        reply = await self._link.request(subjects.orchestrator(name, desk, verb), body, wait=wait)
        return reply.data

    async def put_logins(self, zone: str, appliance: str, sealed: SealedLogins | None) -> None:
        subject = subjects.logins(zone, appliance)
        if sealed is None:
            await self._link.store(subject, b"", **{"KV-Operation": "DEL"})
        else:
            await self._link.store(subject, sealed.encode())

    async def put_orders(self, orders: ZoneOrders) -> None:
        await self._mend()
        await self._link.store(subjects.zone_orders(orders.zone), orders.encode())

    def enrolments(
        self, answer: Callable[[EnrolmentRequest, str], Awaitable[EnrolmentAnswer]]
    ) -> AbstractAsyncContextManager[None]:
        async def reply(message: Message) -> bytes:
            try:
                request = EnrolmentRequest.decode(message.data)
            except ContractError as error:
                log.warning("bus.unreadable", what="enrolment", text=str(error))
                return EnrolmentAnswer(ok=False, text=str(error)).encode()
            return (await answer(request, message.subject.split(".", 1)[1])).encode()

        return serve(self._link, subjects.ENROLMENT, reply, queue=subjects.ENROLMENT_QUEUE)

    @asynccontextmanager
    async def appliances(self) -> AsyncIterator[AsyncIterator[Mapping[str, Heartbeat]]]:
        prefix = subjects.HEARTBEATS_PREFIX
        async with watch(
            self._link, stream=subjects.HEARTBEATS, prefix=prefix, subject=prefix + ">", mend=self._mend
        ) as keys:
            yield LiveAppliances(keys)

    async def ask_vault(self, zone: str, query: VaultQuery, wait: float) -> VaultAnswer:
        try:
            reply = await self._link.request(subjects.vault(zone), query.encode(), wait=wait)
            return VaultAnswer.decode(reply.data)
        except NoAnswer:
            raise BusError(f"no appliance of zone {zone!r} is there to ask the vault: start one") from None
        except (BusUnavailable, ContractError) as error:
            raise BusError(f"no appliance of zone {zone!r} answered about the vault: {error}") from error

    async def close(self) -> None:
        await self._posting.close()
        await self._link.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


async def _answer_all(
    asks: Sequence[PermitAsk | ContractError],
    sender: str,
    ask: Ask,
) -> list[PermitAnswer | None] | None:
    """One answer each; what cannot be read is answered here. None where another orchestrator is to answer."""
    readable = [one for one in asks if not isinstance(one, ContractError)]
    answered = await ask(readable, sender)
    if answered is None:
        return None
    answers = iter(answered)
    return [_unreadable(one, sender) if isinstance(one, ContractError) else next(answers) for one in asks]


def _unreadable(error: ContractError, sender: str) -> PermitAnswer:
    log.warning("bus.unreadable", what="permit", sender=sender, text=str(error))
    return PermitAnswer(verdict=PermitVerdict.SKIP, cause="INTERNAL", text=str(error))


async def connect_orchestrator(
    url: str,
    *,
    seed: str | None = None,
    token: str = "",
    tls: ssl.SSLContext | None = None,
    timing: Timing | None = None,
) -> JetStreamOrchestrator:
    """Connect as the orchestrator, by `seed` (an nkey) and, where the server goes by that, `token`; make what all zones
    share. Raises BusRefused, BusUnavailable, BusError.
    """
    link = await Link.open(
        url,
        name="keymuster orchestrator",
        inbox=subjects.ORCHESTRATOR_INBOX,
        seed=seed,
        token=token,
        tls=tls,
        timing=timing or Timing(),
    )
    try:
        await layout.make_shared(link)
    except BaseException:
        await link.close()
        raise
    return JetStreamOrchestrator(link)
