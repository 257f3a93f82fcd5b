"""`serve CAMPAIGN.toml ...`: the campaigns whose schedules begin runs, and how one is begun."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from anyio import to_thread

from orchestrator.assembly import Selection
from orchestrator.campaign import load_campaign
from orchestrator.campaign_model import Campaign
from orchestrator.campaign_times import Schedule
from orchestrator.cli.control import Desk
from orchestrator.cli.errors import BadInput, CommandError
from orchestrator.cli.restarting import ReadOnce, logins_without_asking, must_be_typed
from orchestrator.cli.running import new_order
from orchestrator.scheduler import SubmitError


def scheduled(files: Sequence[Path], zone: str) -> Mapping[str, Campaign]:
    """By name, the campaigns that begin runs by themselves. Blocking. Raises CampaignError, BadInput."""
    found: dict[str, Campaign] = {}
    for file in files:
        campaign = load_campaign(file)
        if campaign.schedule is None:
            raise BadInput(f"{file}: has no [schedule]; `keymuster run` submits such a campaign")
        if campaign.name in found:
            raise BadInput(f"{file}: two campaigns are named {campaign.name!r}; a schedule is known by that name")
        if campaign.pace.zone != zone:
            raise BadInput(f"{file}: is for zone {campaign.pace.zone!r}, and this service has --zone {zone}")
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
        """Raises SubmitError."""
        what = self.campaigns[campaign]
        try:
            logins = await logins_without_asking(what, self.read) if self.brings_logins else ()
            order = await to_thread.run_sync(new_order, what, Selection(), logins)
            return str((await self.desk.start(order))["run"])
        except CommandError as error:
            raise SubmitError(str(error)) from None
