"""A load test while it goes on: it starts once scan processes take jobs, is looked at every second, and has an end."""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import anyio

from appliance.contract import Heartbeat
from orchestrator.assembly import Prepared, logons_allowed, run_plan
from orchestrator.controller import DRAIN_GRACE_S, RunController
from orchestrator.dispatch import Dispatcher
from orchestrator.load.bottleneck import Sample
from orchestrator.load.rate import Schedule
from orchestrator.load.recorder import Recorder
from orchestrator.load.source import Arrivals
from orchestrator.run_plan import RunPlan

READY_S = 30.0
"""How long scan processes may take to start; then the test begins with those that there are."""
LOOK_S = 0.2
LEAD_S = 0.2
SAMPLE_S = 1.0
TICK_S = 0.05


@dataclass(frozen=True, slots=True)
class CpuUse:
    """Cores in use since the call before."""

    by_kind: Mapping[str, float] = field(default_factory=dict)
    busiest_scan: float = 0.0
    machine: float = 0.0
    """Share of all cores."""


@dataclass(slots=True)
class LoadTest:
    """What the service is given to drive, and what is seen of it."""

    plan: RunPlan
    dispatcher: Dispatcher
    arrivals: Arrivals
    recorder: Recorder
    samples: list[Sample] = field(default_factory=list)
    over_at: float = math.inf
    """When no more arrivals were to come: the schedule's end, or an earlier stop. Unix time."""

    @property
    def schedule(self) -> Schedule:
        return self.arrivals.schedule


def load_test(
    prepared: Prepared, schedule: Schedule, lease: Callable[[], str], *, vault_only: bool, stand_in: str = ""
) -> LoadTest:
    """A campaign's plan as a load test. Nobody retries: an arrival that a retry would save has failed under load."""
    arrivals = Arrivals(prepared.plan, schedule)
    given = run_plan(prepared, stand_in)
    pace = replace(given.pace, retries=0, throttle_patience=0.0)
    zones = replace(given.zones, targets=dict.fromkeys(given.zones.homes, schedule.total))
    plan = replace(given, pace=pace, planned=schedule.total, vault_only=vault_only, zones=zones)
    dispatcher = Dispatcher(arrivals, pace, {}, lease, logons_allowed(prepared.book), arrivals.due)
    return LoadTest(plan, dispatcher, arrivals, Recorder(arrivals, pace.deadline))


@dataclass(slots=True)
class Driver:
    """Accompanies the controller that drives a load test; ends it when its time is over, whatever is under way."""

    test: LoadTest
    controller: RunController
    beats: Callable[[], Sequence[Heartbeat]]
    expected: int
    """Scan processes that are to come; 0 where nobody knows."""
    capacity: Callable[[], int]
    cpu: Callable[[], Awaitable[CpuUse]]
    clock: Callable[[], float] = time.time
    _lag: float = 0.0

    async def run(self) -> None:
        """Until the arrivals are over, and what is under way has had its time. The controller ends by itself."""
        await self._wait_until_ready()
        test = self.test
        test.arrivals.began = self.clock() + LEAD_S
        test.over_at = test.arrivals.began + test.schedule.duration
        self.controller.wake()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._measure_lag, name="load: loop lag")
            tasks.start_soon(self._sample, name="load: samples")
            drained_by = test.over_at + test.plan.pace.deadline + DRAIN_GRACE_S
            with anyio.move_on_after(drained_by - self.clock()):
                await self.controller.stopping.wait()
            self.stop()
            tasks.cancel_scope.cancel()

    def stop(self) -> None:
        """No more arrivals; what the appliances have in hand is waited for."""
        self.test.over_at = min(self.test.over_at, self.clock())
        self.controller.stopping.set()
        self.controller.wake()

    async def _wait_until_ready(self) -> None:
        with anyio.move_on_after(READY_S):
            while (pulling := sum(beat.pulling for beat in self.beats())) == 0 or pulling < self.expected:
                if self.controller.stopping.is_set():
                    return
                await anyio.sleep(LOOK_S)

    async def _sample(self) -> None:
        await self.cpu()
        while True:
            await anyio.sleep(SAMPLE_S)
            cpu = await self.cpu()
            now, dispatcher, arrivals = self.clock(), self.test.dispatcher, self.test.arrivals
            if now > self.test.over_at:
                return
            sample = Sample(
                at=now - arrivals.began,
                out=dispatcher.in_flight,
                capacity=self.capacity(),
                waiting=arrivals.waiting(now) + dispatcher.waiting,
                held=dispatcher.held,
                own_lag_ms=1000 * self._lag,
                appliance_lag_ms=max((beat.loop_lag_ms for beat in self.beats()), default=0.0),
                cpu=cpu.by_kind,
                busiest_scan=cpu.busiest_scan,
                machine=cpu.machine,
            )
            self._lag = 0.0
            self.test.samples.append(sample)

    async def _measure_lag(self) -> None:
        """How late this event loop has been since the last sample, at worst."""
        while True:
            due = time.monotonic() + TICK_S
            await anyio.sleep(TICK_S)
            self._lag = max(self._lag, time.monotonic() - due)
