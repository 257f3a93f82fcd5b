"""The scan process: one or more for each run, a core each. Takes capacity, then a job; scans; reports; ends.

Its life is bounded, since the end of the process is what destroys the credentials: it ends with its run, after IDLE_S
without a job, and after TARGETS_MAX targets or LIFE_S, whichever comes first (sooner, where its greeting says so: what
was started together must not end together). SIGTERM or `drain` takes no more jobs and
finishes those in hand; a second SIGTERM, or the supervisor's end, aborts.
"""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import anyio
from anyio.abc import TaskGroup

from appliance.bus import ApplianceBus, BusUnavailable, JobLease
from appliance.channel import HEARTBEAT_S, Busy, Channel, Drain, Hello, TokenGive
from appliance.contract import Evidence, Outcome, Phase, Report
from appliance.handshakes import FEWEST, follow_load
from appliance.hardening import harden
from appliance.lag import LoopLag
from appliance.login.resolver import be_brisk
from appliance.logs import bind_contextvars, get_logger, set_up
from appliance.long_lived import BACKEND_OPTIONS, begin_loading, settle_in
from appliance.scan import Kit, scan
from appliance.signals import drain_on_signal
from appliance.token_desk import TokenDesk
from appliance.unforeseen import told_of

IDLE_S = 60.0
TARGETS_MAX = 10_000
LIFE_S = 900.0
LEASE_WAIT_S = 1.0
LEASE_BATCH = 64
KEEP_EVERY_S = 3.0
GATHER_S = 0.1
"""A report waits so long for others: a message, its confirmation and its end cost as much for fifty as for one."""
PART = 16
"""No more than that part of the jobs in hand waits so: they take capacity. Of a few jobs none does."""
TOGETHER = 100
"""Reports that are delivered at a time."""

log = get_logger()


@dataclass(slots=True)
class Worker:
    """Pulls and runs the jobs of one run until its life is over."""

    run: str
    capacity: int
    bus: ApplianceBus
    kit: Kit
    busy: Callable[[int], Awaitable[None]]
    """Told how many jobs are in hand, after every change."""
    clock: Callable[[], float] = time.monotonic
    life: float = 1.0
    """The part of TARGETS_MAX and LIFE_S that is this one's."""
    draining: anyio.Event = field(default_factory=anyio.Event)
    _in_hand: dict[str, JobLease] = field(default_factory=dict)
    """By lease token: a newer attempt of a job may come while the older one still runs."""
    _reports: list[Report] = field(default_factory=list)
    """Of scans that have ended, to be delivered."""
    _ended: anyio.Event = field(default_factory=anyio.Event)
    _enough: anyio.Event = field(default_factory=anyio.Event)
    """There are so many reports that waiting for more would take capacity."""
    _freed: anyio.Event = field(default_factory=anyio.Event)
    _taken: int = 0

    async def work(self) -> None:
        """Until drained, idle or old; then until the jobs in hand have ended."""
        async with anyio.create_task_group() as keeper:
            keeper.start_soon(self._keep_leases, name="worker: keep leases")
            keeper.start_soon(self._deliver, name="worker: deliver reports")
            async with anyio.create_task_group() as scans:
                await self._pull(scans)
            while self._in_hand:
                await self._freed.wait()
            keeper.cancel_scope.cancel()

    async def _pull(self, scans: TaskGroup) -> None:
        last = self.clock()
        most, until = max(1, int(TARGETS_MAX * self.life)), last + LIFE_S * self.life
        while not self.draining.is_set():
            now = self.clock()
            last = now if self._in_hand else last
            if self._taken >= most or now >= until or now - last >= IDLE_S:
                return
            free = self.capacity - len(self._in_hand)
            if free <= 0:
                await self._freed.wait()
                continue
            for lease in await self._lease(min(free, LEASE_BATCH, most - self._taken)):
                last = self.clock()
                again = lease.job.lease in self._in_hand
                self._in_hand[lease.job.lease] = lease
                if again:
                    # Delivered again while we still work on it (the bus was away): scanned once, ended as the newest.
                    continue
                self._taken += 1
                scans.start_soon(self._one, lease, name=f"scan {lease.job.job}:{lease.job.attempt}")
            await self.busy(len(self._in_hand))

    async def _lease(self, count: int) -> Sequence[JobLease]:
        try:
            return await self.bus.lease(self.run, count, LEASE_WAIT_S)
        except BusUnavailable:
            await anyio.sleep(LEASE_WAIT_S)
            return ()

    async def _one(self, lease: JobLease) -> None:
        bind_contextvars(job=lease.job.job)
        self._reports.append(await self._scan(lease))
        self._ended.set()
        if len(self._reports) * PART >= len(self._in_hand):
            self._enough.set()

    async def _scan(self, lease: JobLease) -> Report:
        job = lease.job
        try:
            return await scan(job, self.kit)
        except Exception as error:  # noqa: BLE001 - see below
            # The boundary of one job: a bug must cost one outcome, not the process with hundreds in hand.
            log.error("scan failed", job=job.job, error=type(error).__name__)  # noqa: TRY400 - no traceback: it may quote a secret
            signal, text = told_of(error)
            evidence = Evidence(phase=Phase.LEASE, signal=signal, text=text, submitted=True)
            ids = {"run": job.run, "job": job.job, "lease": job.lease, "appliance": self.kit.appliance}
            return Outcome(**ids, attempt=job.attempt, evidence=evidence)

    async def _deliver(self) -> None:
        """Publish reports, those that come within GATHER_S or while others are on their way in one message."""
        while True:
            await self._ended.wait()
            with anyio.move_on_after(GATHER_S):
                await self._enough.wait()
            self._ended, self._enough = anyio.Event(), anyio.Event()
            while self._reports:
                some = self._reports[:TOGETHER]
                del self._reports[:TOGETHER]
                await self._deliver_some(some)
                for report in some:
                    del self._in_hand[report.lease]
                self._freed.set()
                self._freed = anyio.Event()

    async def _deliver_some(self, reports: Sequence[Report]) -> None:
        try:
            await self.bus.publish(*reports)
            # The newest lease of each: it may have been delivered again while it was in hand.
            await self.bus.done(*(self._in_hand[report.lease] for report in reports))
        except BusUnavailable:
            # The bus redelivers the jobs; their permits are spent, so nothing is submitted twice.
            for report in reports:
                log.warning("report not delivered", job=report.job, attempt=report.attempt)

    async def _keep_leases(self) -> None:
        while True:
            await anyio.sleep(KEEP_EVERY_S)
            for lease in list(self._in_hand.values()):
                await lease.in_progress()


async def _serve_channel(channel: Channel, desk: TokenDesk, worker: Worker, abort: anyio.CancelScope) -> None:
    while (message := await channel.receive()) is not None:
        if isinstance(message, TokenGive):
            desk.take(message)
        elif isinstance(message, Drain):
            worker.draining.set()
            if message.cut:
                worker.kit.cut.strike()
    abort.cancel()  # the supervisor is gone: nobody would hear us


async def _call_off(draining: anyio.Event, kit: Kit) -> None:
    """What waits for a vault's rate would keep a run from being paused for longer than its jobs' deadline."""
    await draining.wait()
    kit.call_off()


async def serve(sock: socket.socket) -> None:
    """The whole life of a scan process, on its inherited end of the channel."""
    # The adapters' libraries load after the greeting.
    from appliance.bus.opening import open_bus  # noqa: PLC0415
    from appliance.wiring import kit_for  # noqa: PLC0415

    channel = await Channel.over(sock)
    hello = await channel.receive()
    if not isinstance(hello, Hello):
        return
    bind_contextvars(appliance=hello.appliance, run=hello.run)
    settle_in()
    lag = LoopLag()
    desk = TokenDesk(channel)
    handshakes = anyio.CapacityLimiter(min(FEWEST, hello.capacity))
    async with (
        open_bus(hello.bus, hello.appliance, hello.zone) as bus,
        kit_for(hello, bus, desk.of, lag, handshakes) as kit,
    ):

        async def busy(in_flight: int) -> None:
            await channel.send(Busy(in_flight=in_flight, loop_lag_ms=round(1000 * lag.worst(HEARTBEAT_S), 1)))

        worker = Worker(hello.run, hello.capacity, bus, kit, busy, life=hello.life)
        async with anyio.create_task_group() as tasks:
            await tasks.start(drain_on_signal, worker.draining, tasks.cancel_scope, name="worker: signals")
            tasks.start_soon(_serve_channel, channel, desk, worker, tasks.cancel_scope, name="worker: channel")
            tasks.start_soon(lag.run, name="worker: loop lag")
            tasks.start_soon(follow_load, handshakes, lag.worst, hello.capacity, name="worker: handshakes")
            tasks.start_soon(_call_off, worker.draining, kit, name="worker: call off")
            await worker.work()
            tasks.cancel_scope.cancel()
    await channel.aclose()


def main() -> None:
    """`python -m appliance.worker FD`: FD is the inherited socket."""
    begin_loading()
    harden()
    set_up()
    be_brisk()
    sock = socket.socket(fileno=int(sys.argv[1]))
    sock.setblocking(False)
    anyio.run(serve, sock, backend_options=BACKEND_OPTIONS)


if __name__ == "__main__":
    main()
