"""Schedules at work: begins runs when their time has come. A member of the task group of whoever runs for long.

That a fire was attended to is durable before its run is begun: one fire never begins two runs, and of several
orchestrators that look one attends to it. A process that ends in between leaves that one out, and says so nowhere but
in its log. That a run is queued is durable too: whoever looks when the last one has ended takes it, and begins it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

import anyio

from appliance.logs import get_logger
from orchestrator.campaign_times import Schedule
from orchestrator.schedule import Due, Verdict, due, next_fire, verdict
from orchestrator.store.errors import StoreError

LOOK_S = 30.0
"""The clock may be set, and a machine may have slept."""
QUEUE_LOOK_S = 10.0
"""Another orchestrator may have queued a run, and be gone."""

log = get_logger()

Submit = Callable[[str], Awaitable[str]]
"""Begins a run of the campaign of this name, and gives its id; it may take its time over it. Raises SubmitError."""


class SubmitError(Exception):
    """No run could be begun; the text says why."""


class Fired(Protocol):
    """Which fire of a campaign was last attended to. Raises StoreError."""

    async def last(self, campaign: str) -> float | None: ...

    async def note(self, campaign: str, at: float) -> None:
        """Durable when it returns."""
        ...

    async def claim(self, campaign: str, at: float, *, queue: bool) -> bool:
        """Whether this fire is ours to attend to: of several that ask, it is one's. With `queue` a run is queued then.
        Durable when it returns.
        """
        ...

    async def queued(self, campaign: str) -> bool:
        """Is a run queued?"""
        ...

    async def take(self, campaign: str) -> bool:
        """Whether the queued run is ours to begin: of several that ask, it is one's. Durable when it returns."""
        ...


class OpenRuns(Protocol):
    async def under_way(self, campaign: str) -> bool:
        """Has it a run that has not ended? Raises StoreError."""
        ...

    async def ended(self, campaign: str) -> None:
        """Returns when it has none."""
        ...


class Scheduler:
    def __init__(self, fired: Fired, runs: OpenRuns, clock: Callable[[], float]) -> None:
        self._fired = fired
        self._runs = runs
        self._clock = clock
        self._beginning: set[str] = set()
        """Campaigns of which a run is about to be: its vaults are asked first, and no store knows of it."""

    async def run(self, schedules: Mapping[str, Schedule], submit: Submit) -> None:
        """Until cancelled. `schedules`: by the name of their campaign."""
        async with anyio.create_task_group() as tasks:
            for campaign, schedule in schedules.items():
                tasks.start_soon(self._attend, campaign, schedule, submit, name=f"schedule of {campaign}")
                if schedule.overlap == "queue":
                    tasks.start_soon(self._begin_queued, campaign, submit, name=f"queued runs of {campaign}")

    async def _attend(self, campaign: str, schedule: Schedule, submit: Submit) -> None:
        last = await self._fired.last(campaign)
        if last is None:  # seen for the first time: what was before was nobody's to begin
            last = self._clock()
            await self._fired.note(campaign, last)
        if schedule.overlap == "skip" and await self._fired.take(campaign):
            log.warning("a queued run is left out: its schedule has been told to skip since", campaign=campaign)
        while True:
            now = self._clock()
            if (fire := due(schedule, last, now)) is None:
                following = next_fire(schedule, max(last, now))
                await anyio.sleep(LOOK_S if following is None else min(max(following - now, 0.05), LOOK_S))
                continue
            last = fire.at
            await self._attend_to(campaign, fire, schedule, submit)

    async def _attend_to(self, campaign: str, fire: Due, schedule: Schedule, submit: Submit) -> None:
        under_way = campaign in self._beginning or await self._runs.under_way(campaign)
        queued = await self._fired.queued(campaign)
        becomes = verdict(schedule, under_way=under_way, queued=queued)
        if not await self._fired.claim(campaign, fire.at, queue=becomes is Verdict.QUEUE):
            return  # another orchestrator attends to it
        log.info("schedule fires", campaign=campaign, at=fire.at, missed=fire.missed)
        match becomes:
            case Verdict.BEGIN:
                await self._begin(campaign, submit)
            case Verdict.QUEUE:
                log.info("schedule queues a run: the last one has not ended yet", campaign=campaign)
            case Verdict.SKIP:
                log.warning("schedule skips: a run has not ended yet", campaign=campaign)

    async def _begin_queued(self, campaign: str, submit: Submit) -> None:
        while True:
            try:
                ours = await self._fired.queued(campaign)
                if ours:
                    await self._runs.ended(campaign)
                    ours = await self._fired.take(campaign)
            except StoreError as error:  # nothing is at stake: it waits there
                log.warning("cannot look for queued runs", campaign=campaign, why=str(error))
                ours = False
            if ours:
                await self._begin(campaign, submit)
            await anyio.sleep(QUEUE_LOOK_S)

    async def _begin(self, campaign: str, submit: Submit) -> None:
        self._beginning.add(campaign)
        try:
            run = await submit(campaign)
        except SubmitError as error:
            log.error("schedule could not begin a run", campaign=campaign, why=str(error))  # noqa: TRY400 - expected
        else:
            log.info("schedule has begun a run", campaign=campaign, run=run)
        finally:
            self._beginning.discard(campaign)
