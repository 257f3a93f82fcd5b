"""A run's stints on the engine, each from where the store says that it came to; and its end, where it is cancelled."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import anyio
from anyio import to_thread

from appliance.logs import bound_contextvars
from appliance.reasons import Status
from orchestrator.assembly import Prepared, dispatcher, run_plan
from orchestrator.cancelling import end_all
from orchestrator.cli.appliance_child import Login
from orchestrator.cli.engine import Engine, new_lease
from orchestrator.controller import RunController
from orchestrator.course import Course
from orchestrator.run_state import Standing
from orchestrator.store.records import Unfinished

DISMISS_S = 5.0


@dataclass(slots=True)
class Stretch:
    """Implements `Stints` for one run: new, or one that goes on."""

    engine: Engine
    prepared: Prepared
    logins: Sequence[Login]
    course: Course
    _begun: int = field(default=0, init=False)

    @property
    def run(self) -> str:
        return self.prepared.record.id

    async def stint(self, ready: Callable[[RunController], None]) -> bool:
        engine, self._begun = self.engine, self._begun + 1
        unfinished = await self._where_it_came_to()
        record = self.prepared.record
        whole = not unfinished and not record.cursors and self._begun == 1
        if not whole:
            await engine.service.purge(self.run, engine.zoning(self.prepared).all)
        counts = await self.counts()

        def ready_with_counts(controller: RunController) -> None:
            controller.counts.update(counts)
            ready(controller)

        meter = engine.meter(record.planned)
        async with self._admitted():
            made = dispatcher(self.prepared, unfinished, new_lease, time.time(), engine.service.neighbourhood)
            with bound_contextvars(run=self.run, campaign=record.campaign):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(meter.watch, name=f"meter {self.run}")
                    plan = await to_thread.run_sync(run_plan, self.prepared, engine.stand_in)
                    finished = await engine.service.execute(plan, made, controller_ready=ready_with_counts)
                    tasks.cancel_scope.cancel()
        if finished and whole:
            await engine.store.runs.update(self.run, spent=meter.read(alone=engine.begun == meter.order).data())
        self.course.came_to(record.planned, await self.counts())
        return finished

    async def end(self, standing: Standing) -> None:
        store = self.engine.store
        await self.engine.service.purge(self.run, self.engine.zoning(self.prepared).all)
        counts = self.prepared.plan.counts()
        await end_all(self.run, counts, store.attempts, store.remainders, standing, time.time())
        self.course.came_to(self.prepared.record.planned, await self.counts())

    async def counts(self) -> Counter[Status]:
        counts: Counter[Status] = Counter()
        for count in (await self.engine.store.attempts.totals(self.run)).counts:
            counts[count.status] += count.number
        return counts

    async def _where_it_came_to(self) -> Sequence[Unfinished]:
        """The cursors and open jobs of now: another stint may have gone before."""
        record = await self.engine.store.runs.get(self.run)
        assert record is not None, "a run is stored before it is driven"  # noqa: S101 - narrows the type
        self.prepared = replace(self.prepared, record=record)
        return await self.engine.store.attempts.unfinished(self.run)

    @asynccontextmanager
    async def _admitted(self) -> AsyncIterator[None]:
        """The embedded appliance has the run's vault logins while it works on the run, and no longer."""
        await self.engine.admit(self.run, self.prepared.campaign, self.logins)
        try:
            yield
        finally:
            with anyio.CancelScope(shield=True), anyio.move_on_after(DISMISS_S):
                if self.engine.appliance is not None:
                    await self.engine.appliance.dismiss(self.run)
