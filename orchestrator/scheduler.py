"""Schedules at work: begins runs when their time has come. A member of the task group of whoever runs for long.

Of several orchestrators that have a campaign, one at a time attends to its schedule, until the run that is due has
begun; it does one thing after the other. That a run is due is durable, and stays so until the run has begun: whoever
looks after a restart, or after an orchestrator's death, begins it. A process that is killed in the very moment between
has begun it, and it is begun once more when that one has ended.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import anyio

from appliance.bus import BusError
from appliance.logs import get_logger
from orchestrator.campaign_times import Schedule
from orchestrator.schedule import Due, Verdict, due, next_fire, verdict
from orchestrator.store.errors import StoreError

LOOK_S = 10.0
"""The clock may be set, a machine may have slept, another process may have ended a run, or the lease be free."""

log = get_logger()

Submit = Callable[[str], Awaitable[str]]
"""Begins a run of the campaign of this name, and gives its id; it may take its time over it. Raises SubmitError,
TurnLostError.
"""


class SubmitError(Exception):
    """No run could be begun; the text says why."""


class TurnLostError(Exception):
    """Another orchestrator has taken over, and what is due is its to begin."""


class Fired(Protocol):
    """Which fire of a campaign was last attended to. All is durable when a call returns. Raises StoreError."""

    async def last(self, campaign: str) -> float | None: ...

    async def note(self, campaign: str, at: float) -> None: ...

    async def claim(self, campaign: str, at: float, *, queue: bool) -> bool:
        """Whether this fire is ours to attend to: of several that ask, it is one's. With `queue` a run is due then."""
        ...

    async def queued(self, campaign: str) -> bool:
        """Is a run due?"""
        ...

    async def unqueue(self, campaign: str) -> None:
        """None is any more."""
        ...


class OpenRuns(Protocol):
    async def under_way(self, campaign: str) -> bool:
        """Has it a run that has not ended? Raises StoreError."""
        ...


class Turns(Protocol):
    def turn(self, campaign: str) -> AbstractAsyncContextManager[bool]:
        """Whether we are the one that attends to a campaign's schedule while the context is open. Raises StoreError."""
        ...


class Scheduler:
    def __init__(self, fired: Fired, runs: OpenRuns, turns: Turns, clock: Callable[[], float]) -> None:
        self._fired = fired
        self._runs = runs
        self._turns = turns
        self._clock = clock

    async def run(self, schedules: Mapping[str, Schedule], submit: Submit) -> None:
        """Until cancelled. `schedules`: by the name of their campaign."""
        async with anyio.create_task_group() as tasks:
            for campaign, schedule in schedules.items():
                tasks.start_soon(self._attend, campaign, schedule, submit, name=f"schedule of {campaign}")

    async def _attend(self, campaign: str, schedule: Schedule, submit: Submit) -> None:
        while True:
            try:
                if await self._is_wanted(campaign, schedule):
                    async with self._turns.turn(campaign) as ours:
                        if ours:
                            await self._fire(campaign, schedule)
                            await self._begin_queued(campaign, submit)
            except (StoreError, BusError) as error:  # what is due stays so
                log.warning("cannot attend to a schedule; trying again", campaign=campaign, why=str(error))
            now = self._clock()
            following = next_fire(schedule, now)
            await anyio.sleep(LOOK_S if following is None else min(max(following - now, 0.05), LOOK_S))

    async def _is_wanted(self, campaign: str, schedule: Schedule) -> bool:
        """It looks so: who has the turn looks again."""
        last = await self._fired.last(campaign)
        return last is None or due(schedule, last, self._clock()) is not None or await self._is_to_begin(campaign)

    async def _is_to_begin(self, campaign: str) -> bool:
        return await self._fired.queued(campaign) and not await self._runs.under_way(campaign)

    async def _fire(self, campaign: str, schedule: Schedule) -> None:
        now, last = self._clock(), await self._fired.last(campaign)
        if last is None:  # seen for the first time: what was before was nobody's to begin
            await self._fired.note(campaign, now)
        elif (fire := due(schedule, last, now)) is not None:
            under_way, queued = await self._runs.under_way(campaign), await self._fired.queued(campaign)
            becomes = verdict(schedule, under_way=under_way, queued=queued)
            if await self._fired.claim(campaign, fire.at, queue=becomes is not Verdict.SKIP):
                _tell(campaign, fire, becomes)

    async def _begin_queued(self, campaign: str, submit: Submit) -> None:
        if not await self._is_to_begin(campaign):
            return
        try:
            run = await submit(campaign)
        except TurnLostError:
            log.warning("another orchestrator attends to a schedule by now", campaign=campaign)
            return
        except SubmitError as error:
            log.error("schedule could not begin a run", campaign=campaign, why=str(error))  # noqa: TRY400 - expected
        else:
            log.info("schedule has begun a run", campaign=campaign, run=run)
        await self._fired.unqueue(campaign)


def _tell(campaign: str, fire: Due, becomes: Verdict) -> None:
    log.info("schedule fires", campaign=campaign, at=fire.at, missed=fire.missed)
    if becomes is Verdict.QUEUE:
        log.info("schedule queues a run: the last one has not ended yet", campaign=campaign)
    elif becomes is Verdict.SKIP:
        log.warning("schedule skips: a run has not ended yet", campaign=campaign)
