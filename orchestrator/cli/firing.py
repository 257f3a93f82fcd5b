"""`serve CAMPAIGN.toml ...`: the campaigns whose schedules begin runs, and how one is begun."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
from anyio import to_thread

from appliance.logs import get_logger
from orchestrator.assembly import Selection
from orchestrator.campaign import load_campaign
from orchestrator.campaign_model import Campaign
from orchestrator.campaign_times import Schedule
from orchestrator.cli.control import Desk
from orchestrator.cli.errors import BadInput, CommandError, Incomplete, Refused, Unreachable
from orchestrator.cli.restarting import FIRST_PAUSE_S, LONGEST_PAUSE_S, ReadOnce, logins_without_asking, must_be_typed
from orchestrator.cli.running import check_windows, new_order
from orchestrator.lease_keeper import LeaseKeeper
from orchestrator.scheduler import SubmitError, TurnLostError
from orchestrator.store.errors import StoreError
from orchestrator.store.runs import Runs

RETRY_S = 3600.0
GIVE_BACK_S = 5.0
SCHEDULE = "schedule"
"""What the names of leases of schedules begin with."""

log = get_logger()


def scheduled(files: Sequence[Path]) -> Mapping[str, Campaign]:
    """By name, the campaigns that begin runs by themselves. Blocking. Raises CampaignError, BadInput."""
    found: dict[str, Campaign] = {}
    for file in files:
        campaign = load_campaign(file)
        if campaign.schedule is None:
            raise BadInput(f"{file}: has no [schedule]; `keymuster run` submits such a campaign")
        if campaign.name in found:
            raise BadInput(f"{file}: two campaigns are named {campaign.name!r}; a schedule is known by that name")
        if typed := list(must_be_typed(campaign)):
            raise BadInput(
                f"{file}: the login of vault {', '.join(map(repr, typed))} is typed in, and nobody is there to be "
                "asked; take it from env, file or keyring"
            )
        found[campaign.name] = campaign
    return found


@dataclass(frozen=True, slots=True)
class Firing:
    """Begins runs of campaigns, with the logins that their files name."""

    desk: Desk
    campaigns: Mapping[str, Campaign]
    read: ReadOnce
    brings_logins: bool

    @property
    def schedules(self) -> Mapping[str, Schedule]:
        return {name: one.schedule for name, one in self.campaigns.items() if one.schedule is not None}

    async def submit(self, campaign: str) -> str:
        """A vault or an appliance that is not there is waited for, for as long as RETRY_S, and while the schedule is
        ours. Raises SubmitError, TurnLostError.
        """
        with self.desk.engine.keeper.under(schedule_lease(campaign)):
            return await self._submit(campaign)
        raise TurnLostError

    async def _submit(self, campaign: str) -> str:
        what, pause, end = self.campaigns[campaign], FIRST_PAUSE_S, anyio.current_time() + RETRY_S
        while True:
            try:
                check_windows(what)
                logins = await logins_without_asking(what, self.read) if self.brings_logins else ()
                order = await to_thread.run_sync(new_order, what, Selection(), logins)
                return str((await self.desk.start(order))["run"])
            except Refused as error:
                raise SubmitError(str(error)) from None
            except (Unreachable, Incomplete) as error:
                if anyio.current_time() + pause > end:
                    raise SubmitError(str(error)) from None
                log.warning("schedule cannot begin its run yet", campaign=campaign, why=str(error), again_in=pause)
            except CommandError as error:
                raise SubmitError(str(error)) from None
            await anyio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)


@dataclass(frozen=True, slots=True)
class StoredRuns:
    """Implements `OpenRuns`: a run that somebody has paused, or that waits for its vault, is no process's, but open."""

    runs: Runs

    async def under_way(self, campaign: str) -> bool:
        return any(record.campaign == campaign and record.standing.is_open for record in await self.runs.all())


@dataclass(frozen=True, slots=True)
class LeasedTurns:
    """Implements `Turns`."""

    keeper: LeaseKeeper

    @asynccontextmanager
    async def turn(self, campaign: str) -> AsyncIterator[bool]:
        lease = schedule_lease(campaign)
        ours = bool(await self.keeper.take([lease]))
        try:
            yield ours
        finally:
            with anyio.CancelScope(shield=True), anyio.move_on_after(GIVE_BACK_S):
                await self._give_back(lease)

    async def _give_back(self, lease: str) -> None:
        try:
            await self.keeper.give_back([lease])
        except StoreError as error:
            log.warning("a schedule is not given back: others wait until that has run out", error=str(error))


def schedule_lease(campaign: str) -> str:
    return f"{SCHEDULE} {campaign}"
