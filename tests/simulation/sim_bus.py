"""The bus without a server, for schedules on a virtual clock: the Protocols of `appliance.bus` in memory.

It keeps the facts of JetStream (`sim_stream.py`) and can be told to misbehave: `Faults` draws from the given random
source, and the broker's methods stop it, wipe it or lose what it had acknowledged. It knows the running loop's clock
only, and does everything in an order that can be repeated. Messages are handed over as the frozen objects they are.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from random import Random
from typing import Any

import anyio
from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint

from appliance.access import AccessAnswer, AccessRequest
from appliance.bus import Ask, BusError, BusUnavailable, Hold, JobLease, NoPacer, Placed, RunView, Timing
from appliance.contract import Heartbeat, Job, PermitAnswer, PermitAsk, PermitRequest, Report, RunNotice, ZoneOrders
from appliance.questions import VaultAnswer, VaultQuery
from tests.simulation.sim_stream import Consumer, Stream

_FOREVER = float("inf")
_BATCH, _LINGER, _LOOK = 500, 0.05, 1.0
_TAKE_AT_MOST = 4000
_HEARD_BY_ALL = ("hold", "ask", "access")
"""What every orchestrator hears, and one answers."""


@dataclass(frozen=True, slots=True)
class Faults:
    """How often things go wrong, as probabilities; all off by default."""

    latency: float = 0.0
    """The most seconds that a message travels, each drawn anew (so that they overtake each other)."""
    early_redelivery: float = 0.0
    """A delivered message's lease runs out at once."""
    reorder: float = 0.0
    """What one pull delivers is shuffled."""
    lost_ack: float = 0.0
    """The end of a job or report does not arrive, and nobody is told."""
    lost_question: float = 0.0
    """A permit's request or release does not arrive."""
    lost_answer: float = 0.0
    """It arrives, and the answer does not."""


class _Signal:
    """Wakes everybody who waits for a change."""

    def __init__(self) -> None:
        self._event = anyio.Event()

    def fire(self) -> None:
        self._event.set()
        self._event = anyio.Event()

    async def wait(self, until: float) -> None:
        event = self._event
        with anyio.CancelScope(deadline=until):
            await event.wait()


class _Service:
    """A request/reply subject, while somebody serves it."""

    def __init__(self, tasks: TaskGroup, answer: Callable[..., Awaitable[Any]]) -> None:
        self._tasks = tasks
        self._answer = answer

    def ask(self, answered: Callable[[Any], None], *question: object) -> None:
        async def one() -> None:
            answered(await self._answer(*question))

        self._tasks.start_soon(one)


class SimBroker:
    """Make one inside the running loop; then one bus per party."""

    def __init__(self, rng: Random, *, timing: Timing | None = None, faults: Faults | None = None) -> None:
        self.rng = rng
        self.timing = timing or Timing()
        self.faults = faults or Faults()
        self.changed = _Signal()
        self.jobs: dict[str, Stream[Job]] = {}
        self.outcomes: Stream[tuple[Report, str]] | None = None
        self.notices: dict[tuple[str, str], RunNotice] = {}
        self.beats: dict[str, tuple[Heartbeat, float]] = {}
        self.services: dict[str, list[_Service]] = {}
        self.advisories: list[tuple[Mapping[str, None], list[Job]]] = []
        """For each orchestrator that listens: its open runs, and what it has heard."""
        self._epochs = 0
        self._streams_down_until = 0.0
        self._all_down_until = 0.0

    def orchestrator(self) -> SimOrchestrator:
        return SimOrchestrator(self)

    def appliance(self, name: str, zone: str) -> SimAppliance:
        return SimAppliance(self, name, zone)

    def control(self) -> SimControl:
        return SimControl(self)

    # What a test may do to it.

    def lose_leader(self, seconds: float = 9.0) -> None:
        """No stream takes or gives anything for a while; requests between the parties go on."""
        self._streams_down_until = anyio.current_time() + seconds

    def stop(self, seconds: float) -> None:
        """Nothing works for a while: the server is restarting."""
        self._all_down_until = anyio.current_time() + seconds

    def wipe(self) -> None:
        """The store is empty from now on."""
        self.jobs, self.outcomes, self.notices, self.beats = {}, None, {}, {}
        self.changed.fire()

    def lose_acknowledged(self, share: float) -> int:
        """Forget a share of what was acknowledged to its publisher and is still stored; how many."""
        lost = 0
        streams: list[Stream[Any]] = [*self.jobs.values()]
        if self.outcomes is not None:
            streams.append(self.outcomes)
        for stream in streams:
            for seq in list(stream.messages):
                if self.rng.random() < share:
                    stream.remove(seq)
                    lost += 1
        self.changed.fire()
        return lost

    # What the parties are made of.

    def chance(self, probability: float) -> bool:
        return probability > 0 and self.rng.random() < probability

    async def travel(self) -> None:
        await anyio.sleep(self.rng.uniform(0, self.faults.latency) if self.faults.latency else 0)

    async def reach_streams(self) -> None:
        """Wait for the streams to be there, as long as one call may. Raises BusUnavailable."""
        await self._reach(max(self._streams_down_until, self._all_down_until))

    async def reach(self) -> None:
        """Wait for the server. Raises BusUnavailable."""
        await self._reach(self._all_down_until)

    async def _reach(self, up_at: float) -> None:
        await self.travel()
        now = anyio.current_time()
        if up_at - now > self.timing.retry:
            await anyio.sleep(self.timing.retry)
            raise BusUnavailable("the simulated bus does not answer")
        if up_at > now:
            await anyio.sleep(up_at - now)

    @property
    def is_up(self) -> bool:
        return anyio.current_time() >= self._all_down_until

    @property
    def up_at(self) -> float:
        return max(self._streams_down_until, self._all_down_until)

    def epoch(self) -> str:
        self._epochs += 1
        return f"epoch-{self._epochs}"

    def make_shared(self) -> Stream[tuple[Report, str]]:
        if self.outcomes is None:
            self.outcomes = Stream(self.epoch())
        return self.outcomes

    def collector(self, run: str) -> Consumer[tuple[Report, str]]:
        """Made where there is none."""
        consumers = self.make_shared().consumers
        return consumers.setdefault(run, Consumer(run, _TAKE_AT_MOST, self.timing.report_wait, 0))

    def zone(self, zone: str) -> Stream[Job]:
        """Raises BusError when the stream is gone."""
        if zone not in self.jobs:
            raise BusError("stream not found: the bus has lost its store or it was never opened")
        return self.jobs[zone]

    def consumer(self, zone: str, run: str) -> Consumer[Job]:
        """Raises BusError when stream or consumer are gone."""
        if run not in self.zone(zone).consumers:
            raise BusError("consumer not found: the bus has lost its store or it was never opened")
        return self.jobs[zone].consumers[run]

    def drop(self, run: str, zone: str) -> Consumer[Job] | None:
        if zone not in self.jobs:
            return None
        self.jobs[zone].purge(run)
        return self.jobs[zone].consumers.pop(run, None)

    def give_up(self, zone: str, seq: int) -> None:
        """The server's advisory: whoever listens now takes the job off the stream."""
        message = self.jobs[zone].messages.get(seq)
        run = message.body.run if message is not None else ""
        heard = next((found for open_runs, found in self.advisories if run in open_runs), None)
        if heard is None:
            return  # missed; the sweep of the next listener finds it
        stored = self.jobs[zone].remove(seq)
        if stored is not None:
            heard.append(stored.body)
            self.changed.fire()

    async def pulled(self, stream: Stream[Any], name: str, count: int) -> tuple[list[tuple[Any, int]], list[int]]:
        out, given_up = stream.pull(name, count, anyio.current_time())
        if self.chance(self.faults.reorder):
            self.rng.shuffle(out)
        for stored, _ in out:
            if self.chance(self.faults.early_redelivery):
                stream.consumers[name].pending[stored.seq].due = anyio.current_time()
        return out, given_up

    async def ask(self, subject: str, wait: float, *question: object) -> Any:
        """Raises BusUnavailable when nobody serves the subject or answers in time."""
        end = anyio.current_time() + wait
        await self.travel()
        services = self.services.get(subject)
        if not services or not self.is_up:
            raise BusUnavailable(f"nobody answers on {subject}")
        box: list[Any] = []
        answered = anyio.Event()

        def keep(answer: Any) -> None:
            if answer is not None:  # another one's to answer
                box.append(answer)
                answered.set()

        if not self.chance(self.faults.lost_question):
            heard = services if subject in _HEARD_BY_ALL else [services[self.rng.randrange(len(services))]]
            for service in heard:
                service.ask(keep, *question)
        with anyio.CancelScope(deadline=end):
            await answered.wait()
            await self.travel()
        if not box or self.chance(self.faults.lost_answer):
            await anyio.sleep(max(end - anyio.current_time(), 0))
            raise BusUnavailable(f"no answer on {subject} in time")
        return box[0]

    @asynccontextmanager
    async def serve(self, subject: str, answer: Callable[..., Awaitable[Any]]) -> AsyncIterator[None]:
        async with anyio.create_task_group() as tasks:
            service = _Service(tasks, answer)
            self.services.setdefault(subject, []).append(service)
            try:
                yield
            finally:
                self.services[subject].remove(service)
            tasks.cancel_scope.deadline = anyio.current_time() + 5


class SimLease:
    """Implements `JobLease`."""

    def __init__(self, broker: SimBroker, stream: Stream[Job], job: Job, seq: int, count: int) -> None:
        self._broker = broker
        self._stream = stream
        self._seq = seq
        self.job = job
        self.delivery = count

    async def in_progress(self) -> None:
        await self._broker.travel()
        consumer = self._stream.consumers.get(self.job.run)
        if self._broker.is_up and consumer is not None and self._seq in consumer.pending:
            consumer.pending[self._seq].due = anyio.current_time() + consumer.ack_wait

    async def done(self) -> None:
        await self._broker.reach_streams()
        if not self._broker.chance(self._broker.faults.lost_ack):
            self._stream.ack(self.job.run, self._seq)

    async def give_back(self, delay: float) -> None:
        await self._broker.reach_streams()
        consumer = self._stream.consumers.get(self.job.run)
        if consumer is not None and self._seq in consumer.pending:
            consumer.pending[self._seq].due = anyio.current_time() + delay
            self._broker.changed.fire()


class SimAppliance:
    """Implements `ApplianceBus`."""

    def __init__(self, broker: SimBroker, name: str, zone: str) -> None:
        self._broker = broker
        self._name = name
        self._zone = zone

    @property
    def connected(self) -> bool:
        return self._broker.is_up

    async def lease(self, run: str, count: int, wait: float) -> Sequence[SimLease]:
        broker = self._broker
        end = anyio.current_time() + wait
        await broker.travel()
        while True:
            stream = broker.jobs.get(self._zone)
            next_look = end
            if broker.up_at > anyio.current_time():
                next_look = min(end, broker.up_at)
            elif stream is not None and run in stream.consumers:
                out, given_up = await broker.pulled(stream, run, count)
                for seq in given_up:
                    broker.give_up(self._zone, seq)
                if out:
                    return [SimLease(broker, stream, stored.body, stored.seq, times) for stored, times in out]
                next_look = min(end, stream.next_due(run))
            if anyio.current_time() >= end:
                if not broker.is_up:
                    raise BusUnavailable("the simulated bus does not answer")
                return []
            await broker.changed.wait(next_look)

    async def publish(self, *reports: Report) -> None:
        for report in reports:
            await self._publish(report)

    async def _publish(self, report: Report) -> None:
        await self._broker.reach_streams()
        if self._broker.outcomes is None:
            await anyio.sleep(self._broker.timing.retry)
            raise BusUnavailable("the stream of outcomes is gone")
        msg_id = f"{report.job}:{report.attempt}:{report.lease[:12]}"
        subject = report.run
        self._broker.outcomes.publish(subject, (report, self._name), msg_id, anyio.current_time())
        self._broker.changed.fire()

    async def permit(self, request: PermitRequest, wait: float) -> PermitAnswer:
        try:
            answer: PermitAnswer = await self._broker.ask("hold", wait, request, self._name)
        except BusUnavailable as error:
            raise NoPacer(str(error)) from error
        return answer

    async def done(self, *leases: JobLease) -> None:
        for lease in leases:
            await lease.done()

    async def ask(self, asks: Sequence[PermitAsk], wait: float) -> Sequence[PermitAnswer | None]:
        try:
            answers: Sequence[PermitAnswer | None] = await self._broker.ask("ask", wait, asks, self._name)
        except BusUnavailable as error:
            raise NoPacer(str(error)) from error
        return answers

    async def access(self, request: AccessRequest, wait: float) -> AccessAnswer:
        answer: AccessAnswer = await self._broker.ask("access", wait, request, self._name)
        return answer

    async def heartbeat(self, beat: Heartbeat) -> None:
        await self._broker.reach_streams()
        self._broker.beats[self._name] = (beat, anyio.current_time() + self._broker.timing.beat_ttl)
        self._broker.changed.fire()

    @asynccontextmanager
    async def orders(self) -> AsyncIterator[AsyncIterator[ZoneOrders | None]]:
        yield self._orders()

    async def _orders(self) -> AsyncIterator[ZoneOrders | None]:
        """Nobody gives any here."""
        yield None
        await anyio.sleep_forever()

    @asynccontextmanager
    async def runs(self) -> AsyncIterator[AsyncIterator[Mapping[str, RunNotice]]]:
        yield self._runs()

    async def _runs(self) -> AsyncIterator[Mapping[str, RunNotice]]:
        told: Mapping[str, RunNotice] | None = None
        while True:
            now = {run: notice for (zone, run), notice in self._broker.notices.items() if zone == self._zone}
            if now != told:
                told = now
                yield dict(now)
            else:
                await self._broker.changed.wait(_FOREVER)
                await self._broker.travel()

    async def unended(self, run: str) -> int:
        await self._broker.reach_streams()
        stream = self._broker.jobs.get(self._zone)
        if stream is None or run not in stream.consumers:
            return 0
        return len(stream.waiting(run)) + len(stream.consumers[run].pending)

    def vault_queries(
        self, answer: Callable[[VaultQuery], Awaitable[VaultAnswer]]
    ) -> AbstractAsyncContextManager[None]:
        return self._broker.serve(f"vault {self._zone}", answer)

    async def close(self) -> None:
        await checkpoint()


class SimReport:
    """Implements `ReportDelivery`."""

    def __init__(
        self, broker: SimBroker, stream: Stream[tuple[Report, str]], seq: int, body: tuple[Report, str]
    ) -> None:
        self._broker = broker
        self._stream = stream
        self._seq = seq
        self.report, self.sender = body

    async def done(self) -> None:
        await self._broker.travel()
        if self._broker.is_up and not self._broker.chance(self._broker.faults.lost_ack):
            self._stream.ack(self.report.run, self._seq)


class SimOrchestrator:
    """Implements `OrchestratorBus`."""

    def __init__(self, broker: SimBroker) -> None:
        self._broker = broker
        self._open: dict[str, None] = {}
        broker.make_shared()

    @property
    def connected(self) -> bool:
        return self._broker.is_up

    async def open_zone(self, zone: str) -> None:
        await self._broker.reach_streams()
        self._broker.make_shared()
        if zone not in self._broker.jobs:
            self._broker.jobs[zone] = Stream(self._broker.epoch())

    async def open_run(self, notice: RunNotice, capacity: int) -> None:
        await self._broker.reach_streams()
        consumers = self._broker.zone(notice.zone).consumers
        wait = self._broker.timing.ack_wait
        consumer = consumers.setdefault(notice.run, Consumer(notice.run, capacity, wait, max_deliver=2))
        consumer.capacity = capacity
        self._broker.collector(notice.run)
        self._open[notice.run] = None
        self._broker.notices[notice.zone, notice.run] = notice
        self._broker.changed.fire()

    async def close_run(self, run: str, zone: str) -> None:
        await self._broker.reach_streams()
        self._broker.notices.pop((zone, run), None)
        self._broker.drop(run, zone)
        self._open.pop(run, None)
        outcomes = self._broker.make_shared()
        outcomes.purge(run)
        outcomes.consumers.pop(run, None)
        self._broker.changed.fire()

    async def put(self, jobs: Sequence[Job]) -> Sequence[Placed | None]:
        try:
            await self._broker.reach_streams()
        except BusUnavailable:
            return [None] * len(jobs)
        placed = []
        for job in jobs:
            stream = self._broker.zone(job.zone)
            seq = stream.publish(job.run, job, f"{job.job}:{job.attempt}", anyio.current_time())
            placed.append(Placed(stream.epoch, seq))
        self._broker.changed.fire()
        return placed

    async def purge_run(self, run: str, zone: str) -> None:
        await self._broker.reach_streams()
        old = self._broker.drop(run, zone)
        if old is not None:
            fresh = Consumer[Job](run, old.capacity, old.ack_wait, old.max_deliver)
            self._broker.zone(zone).consumers[run] = fresh

    async def view(self, run: str, zone: str) -> RunView:
        await self._broker.reach_streams()
        stream, consumer = self._broker.zone(zone), self._broker.consumer(zone, run)
        reports = len(self._broker.collector(run).pending) + len(self._broker.make_shared().waiting(run))
        return RunView(
            epoch=stream.epoch,
            last_seq=stream.last_seq,
            ack_floor=consumer.ack_floor,
            waiting=len(stream.waiting(run)),
            leased=len(consumer.pending),
            reports_waiting=reports,
            delivered=consumer.delivered,
        )

    @asynccontextmanager
    async def reports(self, run: str) -> AsyncIterator[AsyncIterator[Sequence[SimReport]]]:
        try:
            yield self._reports(run)
        finally:
            self._open.pop(run, None)

    async def _reports(self, run: str) -> AsyncIterator[Sequence[SimReport]]:
        broker = self._broker
        while True:
            stream = broker.make_shared()
            if run not in stream.consumers:
                if run in self._open and broker.up_at <= anyio.current_time():
                    broker.collector(run)
                else:
                    await broker.changed.wait(anyio.current_time() + _LOOK)
                continue
            if broker.up_at > anyio.current_time():
                await anyio.sleep(broker.up_at - anyio.current_time())
                continue
            out, _ = await broker.pulled(stream, run, _BATCH)
            if out:
                await anyio.sleep(_LINGER)
                room = _BATCH - len(out)
                more, _ = await broker.pulled(stream, run, room) if room and run in stream.consumers else ([], [])
                yield [SimReport(broker, stream, stored.seq, stored.body) for stored, _ in [*out, *more]]
            else:
                await broker.changed.wait(stream.next_due(run))

    @asynccontextmanager
    async def permits(
        self,
        hold: Hold,
        ask: Ask,
    ) -> AsyncIterator[None]:
        async with self._broker.serve("hold", hold), self._broker.serve("ask", ask):
            yield

    @asynccontextmanager
    async def access(
        self, answer: Callable[[AccessRequest, str], Awaitable[AccessAnswer | None]]
    ) -> AsyncIterator[None]:
        async with self._broker.serve("access", answer):
            yield

    @asynccontextmanager
    async def lost_jobs(self) -> AsyncIterator[AsyncIterator[Job]]:
        found: list[Job] = []
        listener = (self._open, found)
        self._broker.advisories.append(listener)
        try:
            yield self._lost(found)
        finally:
            self._broker.advisories = [one for one in self._broker.advisories if one is not listener]

    async def _lost(self, found: list[Job]) -> AsyncIterator[Job]:
        broker = self._broker
        next_sweep = anyio.current_time()
        while True:
            if anyio.current_time() >= next_sweep:
                next_sweep = anyio.current_time() + broker.timing.sweep
                self._sweep(found)
            while found:
                yield found.pop(0)
            await broker.changed.wait(next_sweep)

    def _sweep(self, found: list[Job]) -> None:
        """What was given up while nobody listened."""
        for stream in self._broker.jobs.values():
            for consumer in [one for run, one in stream.consumers.items() if run in self._open]:
                for seq in [] if consumer.pending else list(consumer.given_up):
                    stored = stream.remove(seq)
                    if stored is not None:
                        found.append(stored.body)

    def serve_control(self, answer: Callable[[str, bytes], Awaitable[bytes]]) -> AbstractAsyncContextManager[None]:
        return self._broker.serve("control", answer)

    def serve_desk(
        self, name: str, desk: str, answer: Callable[[str, bytes], Awaitable[bytes | None]]
    ) -> AbstractAsyncContextManager[None]:
        return self._broker.serve(f"{desk} of {name}", answer)

    async def ask_desk(self, name: str, desk: str, verb: str, body: bytes, wait: float) -> bytes:
        answer: bytes = await self._broker.ask(f"{desk} of {name}", wait, verb, body)
        return answer

    @asynccontextmanager
    async def appliances(self) -> AsyncIterator[AsyncIterator[Mapping[str, Heartbeat]]]:
        yield self._appliances()

    async def _appliances(self) -> AsyncIterator[Mapping[str, Heartbeat]]:
        told: Mapping[str, Heartbeat] | None = None
        while True:
            now = anyio.current_time()
            alive = {name: (beat, until) for name, (beat, until) in self._broker.beats.items() if until > now}
            beats = {name: beat for name, (beat, _) in alive.items()}
            if beats != told:
                told = beats
                yield dict(beats)
            else:
                await self._broker.changed.wait(min((until for _, until in alive.values()), default=_FOREVER))

    async def ask_vault(self, zone: str, query: VaultQuery, wait: float) -> VaultAnswer:
        try:
            answer: VaultAnswer = await self._broker.ask(f"vault {zone}", wait, query)
        except BusUnavailable as error:
            raise BusError(f"no appliance of zone {zone!r} answered about the vault: {error}") from error
        return answer

    async def close(self) -> None:
        await checkpoint()


class SimControl:
    """Implements `ControlBus`."""

    def __init__(self, broker: SimBroker) -> None:
        self._broker = broker

    async def ask(self, verb: str, body: bytes, wait: float) -> bytes:
        try:
            answer: bytes = await self._broker.ask("control", wait, verb, body)
        except BusUnavailable as error:
            raise BusError(str(error)) from error
        return answer

    async def close(self) -> None:
        await checkpoint()
