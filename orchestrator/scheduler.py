"""Schedules at work: begins runs when their time has come. A member of the task group of whoever runs for long.

That a fire was attended to is durable before its run is begun: one fire never begins two runs, and of several
orchestrators that look one attends to it. A process that ends in between, or while a run is queued, leaves that one
out, and says so nowhere but in its log. Of several that have queued a run of a campaign, the one begins it that has
attended to the latest fire.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

import anyio

from appliance.logs import get_logger
from orchestrator.campaign_times import Schedule
from orchestrator.schedule import Verdict, due, next_fire, verdict

LOOK_S = 30.0
"""The clock may be set, and a machine may have slept."""

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

    async def claim(self, campaign: str, at: float) -> bool:
        """Whether this fire is ours to attend to: of several that ask, it is one's. Durable when it returns."""
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
        self._queued: dict[str, None] = {}
        self._attended: dict[str, float] = {}
        """By campaign: the fire that was last ours."""

    async def run(self, schedules: Mapping[str, Schedule], submit: Submit) -> None:
        """Until cancelled. `schedules`: by the name of their campaign."""
        async with anyio.create_task_group() as tasks:
            for campaign, schedule in schedules.items():
                tasks.start_soon(self._attend, campaign, schedule, submit, name=f"schedule of {campaign}")

    async def _attend(self, campaign: str, schedule: Schedule, submit: Submit) -> None:
        last = await self._fired.last(campaign)
        if last is None:  # seen for the first time: what was before was nobody's to begin
            last = self._clock()
            await self._fired.note(campaign, last)
        async with anyio.create_task_group() as tasks:
            while True:
                now = self._clock()
                if (fire := due(schedule, last, now)) is not None:
                    last = fire.at
                    if not await self._fired.claim(campaign, last):
                        continue  # another orchestrator attends to it
                    self._attended[campaign] = last
                    log.info("schedule fires", campaign=campaign, at=fire.at, missed=fire.missed)
                    under_way = await self._runs.under_way(campaign)
                    match verdict(schedule, under_way=under_way, queued=campaign in self._queued):
                        case Verdict.BEGIN:
                            await self._begin(campaign, submit)
                        case Verdict.QUEUE:
                            self._queued[campaign] = None
                            log.info("schedule queues a run: the last one has not ended yet", campaign=campaign)
                            tasks.start_soon(self._begin_later, campaign, submit, name=f"queued run of {campaign}")
                        case Verdict.SKIP:
                            log.warning("schedule skips: a run has not ended yet", campaign=campaign)
                    continue
                following = next_fire(schedule, max(last, now))
                await anyio.sleep(LOOK_S if following is None else min(max(following - now, 0.05), LOOK_S))

    async def _begin_later(self, campaign: str, submit: Submit) -> None:
        try:
            await self._runs.ended(campaign)
        except anyio.get_cancelled_exc_class():
            log.warning("a queued run is left out: this process ends before its turn", campaign=campaign)
            raise
        self._queued.pop(campaign, None)
        last = await self._fired.last(campaign)
        if last is not None and last > self._attended[campaign]:  # who has attended to that one has a run queued, too
            log.info(
                "a queued run is left to another orchestrator, which has attended to a later fire", campaign=campaign
            )
            return
        await self._begin(campaign, submit)

    async def _begin(self, campaign: str, submit: Submit) -> None:
        try:
            run = await submit(campaign)
        except SubmitError as error:
            log.error("schedule could not begin a run", campaign=campaign, why=str(error))  # noqa: TRY400 - expected
        else:
            log.info("schedule has begun a run", campaign=campaign, run=run)
