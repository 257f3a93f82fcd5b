"""`plan --capacity`: how long a run would take, what bounds it, and how many appliances are needed."""

from __future__ import annotations

import os

import anyio.to_thread

from appliance.contract import processes_for
from orchestrator.campaign_fields import duration_of
from orchestrator.campaign_model import Campaign
from orchestrator.capacity.bounds import Site
from orchestrator.capacity.costs import NOTHING_KNOWN, Costs
from orchestrator.capacity.demand import Demand, demand_of
from orchestrator.capacity.history import learnt
from orchestrator.capacity.model import Prediction, appliances_for, predict
from orchestrator.cli.appliance_child import scan_processes
from orchestrator.cli.arguments import Home, Sizing
from orchestrator.cli.errors import BadInput, Exit
from orchestrator.cli.output import written_to
from orchestrator.cli.storing import find_run, is_there, stored
from orchestrator.plan import Plan
from orchestrator.report.capacity_report import Sized, write_capacity


def own_site(capacity: int, targets: int, appliances: int | None = None) -> Site:
    """This machine with the run's own appliance; or so many appliances on machines like it."""
    cores = os.cpu_count() or 1
    processes = processes_for(targets, capacity, scan_processes(capacity))
    return Site(appliances or 1, processes, cores, together=appliances is None)


async def costs_in(home: Home, campaign: str, run: str | None = None) -> Costs:
    """What the runs of a state directory have cost; nothing is known where there are none. Raises BadInput."""
    if run is None and not await is_there(home):
        return NOTHING_KNOWN
    async with stored(home) as store:
        if run is not None:
            await find_run(store, run)
        return await learnt(store, campaign, run)


async def size(home: Home, campaign: Campaign, plan: Plan, asked: Sizing, *, json: bool) -> Exit:
    """Raises BadInput."""
    within = _within(asked.within)
    costs = await costs_in(home, campaign.name, asked.like)
    demand = demand_of(plan, campaign)
    site = own_site(campaign.pace.capacity, demand.count, asked.appliances)
    sized = await anyio.to_thread.run_sync(_sized, demand, costs, site, within)
    with written_to(None) as out:
        write_capacity(sized, out, json=json)
    return Exit.OK


def _sized(demand: Demand, costs: Costs, site: Site, within: float | None) -> Sized:
    prediction: Prediction = predict(demand, costs, site)
    needed = None if within is None else appliances_for(demand, costs, site, within)
    return Sized(demand, costs, prediction, within, needed)


def _within(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        seconds = duration_of(text)
    except ValueError as error:
        raise BadInput(f"--within {text!r} {error}") from None
    if not seconds:
        raise BadInput("--within 0 leaves no time; write how long the run may take, for example 2h")
    return seconds
