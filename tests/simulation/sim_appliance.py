"""An appliance of the simulation: the real supervisor, and scan processes whose worker and scans are the real ones.

A process is a task that can be killed. What it still does while its tasks unwind reaches nobody, as after a kill -9.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from random import Random
from typing import cast

import anyio
import anyio.lowlevel
from anyio.abc import Process, TaskGroup
from pydantic import SecretStr

from appliance.bus import ApplianceBus
from appliance.bus.credentials import BusLogin
from appliance.channel import Busy, Channel, Drain, Hello, Message
from appliance.contract import PermitRelease, Report, Technology
from appliance.desk import GatheringDesk
from appliance.policy import Policy
from appliance.scan import Kit
from appliance.supervisor import Admission, Admissions, Identity, Supervisor
from appliance.vault.definition import Hidden, VaultAccess, VaultLogin
from appliance.worker import Worker
from tests.simulation.estate import VAULT
from tests.simulation.sim_bus import SimAppliance as SimBus
from tests.simulation.sim_bus import SimBroker
from tests.simulation.sim_targets import SimSource, SimTargets, SimVault

ZONE = "default"
NO_BUS = BusLogin(url="", seed=SecretStr(""))
NETWORKS = ("10.0.0.0/8",)
KILLED = -9
URL = "https://vault.example"
POLICY = Policy.of(NETWORKS, "any", {VAULT: URL})
ADMISSION = Admission(POLICY, NETWORKS, (VaultLogin(VaultAccess(title=VAULT, url=URL), Hidden("never used")),))


class End:
    """One end of a pipe between two processes."""

    def __init__(self) -> None:
        self.other: End = self
        self._heard: deque[Message] = deque()
        self._changed = anyio.Event()
        self._closed = False

    @staticmethod
    def pair() -> tuple[End, End]:
        one, two = End(), End()
        one.other, two.other = two, one
        return one, two

    async def send(self, message: Message) -> None:
        await anyio.lowlevel.checkpoint()
        if self._closed or self.other._closed:
            raise anyio.BrokenResourceError
        self.other._heard.append(message)
        self.other._changed.set()

    async def receive(self) -> Message | None:
        while not self._heard:
            if self._closed or self.other._closed:
                return None
            self._changed = anyio.Event()
            await self._changed.wait()
        return self._heard.popleft()

    async def aclose(self) -> None:
        await anyio.lowlevel.checkpoint()
        self.close()

    def close(self) -> None:
        self._closed = True
        self._changed.set()
        self.other._changed.set()


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What processes live among."""

    broker: SimBroker
    targets: SimTargets
    vault: SimVault
    rng: Random
    tasks: TaskGroup


class Bus(SimBus):
    """A scan process's bus; the oracle sees what it reports."""

    def __init__(self, around: Surroundings, appliance: str, zone: str) -> None:
        super().__init__(around.broker, appliance, zone)
        self._oracle = around.targets.oracle

    async def publish(self, *reports: Report) -> None:
        for report in reports:
            self._oracle.sent(report)
        await super().publish(*reports)


class Desk(GatheringDesk):
    """A killed process returns no permits, though its shielded cleanup tries."""

    def __init__(self, bus: ApplianceBus, process: ScanProcess) -> None:
        super().__init__(bus)
        self._process = process

    async def release(self, release: PermitRelease) -> None:
        if self._process.returncode is not None:
            await anyio.sleep_forever()
        await super().release(release)


class ScanProcess:
    """Plays `anyio.abc.Process`; what runs in it follows `appliance.worker.serve`."""

    def __init__(self, around: Surroundings, appliance: str, pipe: End) -> None:
        self._around, self._appliance, self._pipe = around, appliance, pipe
        self._scope = anyio.CancelScope()
        self._ended = anyio.Event()
        self.returncode: int | None = None
        self._source = SimSource(around.vault)

    async def wait(self) -> int:
        await self._ended.wait()
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        self._end(-number)

    def kill(self) -> None:
        self._end(KILLED)

    def _end(self, code: int) -> None:
        if self.returncode is None:
            self.returncode = code
            self._scope.cancel()
            self._pipe.close()
            self._ended.set()

    async def live(self) -> None:
        with self._scope:
            await self._serve()
        if self.returncode is None and any(credential.password for credential in self._source.issued):
            self._around.targets.broken.append(f"{self._appliance}: a scan process has not forgotten a password")
        self._end(0)

    async def _serve(self) -> None:
        hello = await self._pipe.receive()
        if not isinstance(hello, Hello):
            return
        bus = cast("ApplianceBus", Bus(self._around, hello.appliance, hello.zone))

        async def busy(in_flight: int) -> None:
            await self._pipe.send(Busy(in_flight=in_flight))

        desk = Desk(bus, self)
        kit = self._kit(desk)
        worker = Worker(hello.run, hello.capacity, bus, kit, busy, anyio.current_time, hello.life)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(desk.run, name="worker: desk")
            tasks.start_soon(self._listen, worker, tasks.cancel_scope, name="worker: channel")
            await worker.work()
            tasks.cancel_scope.cancel()

    async def _listen(self, worker: Worker, abort: anyio.CancelScope) -> None:
        while (message := await self._pipe.receive()) is not None:
            if isinstance(message, Drain):
                worker.draining.set()
        abort.cancel()

    def _kit(self, desk: Desk) -> Kit:
        around = self._around
        return Kit(
            appliance=self._appliance,
            policy=POLICY,
            sources={VAULT: self._source},
            dial=around.targets.dial,
            logins=dict.fromkeys(Technology, around.targets.login),
            desk=desk,
            handshakes=anyio.CapacityLimiter(64),
            lag=lambda _seconds: 0.0,
            wall=anyio.current_time,
            monotonic=anyio.current_time,
        )


@dataclass(slots=True)
class SimHost:
    """The machine of one appliance: a supervisor that is started again whenever it has died."""

    name: str
    capacity: int
    processes: int
    around: Surroundings
    scanners: list[ScanProcess] = field(default_factory=list)
    _supervisor: anyio.CancelScope | None = None
    _down: float = 0.0

    async def live(self) -> None:
        """Until cancelled."""
        while True:
            bus = cast("ApplianceBus", self.around.broker.appliance(self.name, ZONE))
            identity = Identity(self.name, ZONE, NO_BUS, self.capacity, self.processes)
            supervisor = Supervisor(identity, bus, Admissions(ADMISSION), clock=anyio.current_time, start=self._start)
            with anyio.CancelScope() as self._supervisor:
                await supervisor.serve()
            self._supervisor = None
            await anyio.sleep(self._down)

    async def _start(self) -> tuple[Process, Channel]:
        ours, theirs = End.pair()
        process = ScanProcess(self.around, self.name, theirs)
        self.scanners = [scanner for scanner in self.scanners if scanner.returncode is None]
        self.scanners.append(process)
        self.around.tasks.start_soon(process.live, name=f"{self.name}: scan process")
        await anyio.sleep(self.around.rng.uniform(0.0, 1.0))
        return cast("Process", process), cast("Channel", ours)

    @property
    def alive(self) -> list[ScanProcess]:
        return [scanner for scanner in self.scanners if scanner.returncode is None]

    def kill_scanner(self) -> None:
        if self.alive:
            self.around.rng.choice(self.alive).kill()

    def kill(self, down: float) -> None:
        """The supervisor, and with it (as the kernel sees to it) its scan processes; for `down` seconds."""
        if self._supervisor is not None:
            self._down = down
            for scanner in self.alive:
                scanner.kill()
            self._supervisor.cancel()
