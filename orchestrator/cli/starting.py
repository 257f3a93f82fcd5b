"""`run`, `run --resume`, `rerun` and `probe`: what is to be run, and then who executes it."""

from __future__ import annotations

from dataclasses import replace

from appliance.contract import Target, Technology
from appliance.reasons import REASONS, Status
from orchestrator.addresses import AddressError, canonical_address
from orchestrator.assembly import Selection
from orchestrator.campaign_model import Campaign, TargetEntry
from orchestrator.cli.acquiring import acquire
from orchestrator.cli.arguments import Format, Show, Where, Which
from orchestrator.cli.errors import BadInput, Exit, NothingToDo
from orchestrator.cli.given import Given
from orchestrator.cli.holder import who
from orchestrator.cli.holding import hold, logins
from orchestrator.cli.output import check_output
from orchestrator.cli.running import check_windows, drawn_run_id, how_it_goes_on, new_order, recalled, resumed_order
from orchestrator.cli.storing import find_run, stored
from orchestrator.cli.submitting import through
from orchestrator.outcomes import outcomes_of
from orchestrator.plan import select
from orchestrator.run_state import Act, RunState
from orchestrator.state_dir import HolderInfo
from orchestrator.store.records import RunRecord


async def run(where: Where, campaign: Campaign, sample: str, show: Show, priority: int | None = None) -> Exit:
    """A new run of a campaign."""
    return await _begin(where, campaign, Selection(sample=sample), None, show, priority)


async def rerun(where: Where, run_id: str, which: Which, show: Show) -> Exit:
    """A new run over a part of an earlier run's targets."""
    unknown = [reason for reason in which.reasons if reason not in REASONS]
    if unknown:
        raise BadInput(f"there is no reason {unknown[0]}; `keymuster report {run_id}` shows those that occurred")
    if which.nothing:
        raise BadInput("say which targets: --failed, --unreached or --reason CODE")
    async with stored(where.home) as store:
        record = await find_run(store, run_id)
        campaign = recalled(record).campaign
        units = [
            (outcome.target, outcome.technology)
            async for outcome in outcomes_of(store, record)
            if _wanted(which, outcome.status, outcome.reason)
        ]
    if not units:
        raise NothingToDo(f"run {record.id} has no such target{_more_to_come(record)}")
    return await _begin(where, campaign, Selection(units=units), record.id, show)


def _more_to_come(record: RunRecord) -> str:
    """What to do about targets that a run has not come to; empty where it is over."""
    if record.state.over:
        return ""
    goes_on = record.state in (RunState.PAUSED, RunState.ERROR)
    return f"; it has not ended: {how_it_goes_on(record) if goes_on else record.standing.text}"


def _wanted(which: Which, status: Status, reason: str) -> bool:
    return (
        (which.failed and status is Status.FAILED)
        or (which.unreached and status is Status.NOT_ATTEMPTED)
        or reason in which.reasons
    )


async def probe(where: Where, campaign: Campaign, host: str, record: str, form: Format) -> Exit:
    """One host with one record, whatever the campaign includes; what it excludes, by address or by the names that it
    gives the host, is left alone here too.
    """
    chosen = [r for r in campaign.records if r.title == record]
    if not chosen:
        known = ", ".join(repr(r.title) for r in campaign.records)
        raise BadInput(f"the campaign has no record titled {record!r}; it has {known}")
    narrowed = _narrowed(campaign, host, record)
    if select(narrowed.targets).count == 0:
        raise BadInput(f"{host} is excluded by the campaign ([targets] exclude); take it out of there to probe it")
    unit = (Target(address=host), Technology(chosen[0].technology))
    show = Show(form, None, progress=False)
    return await _begin(where, narrowed, Selection(units=[unit]), None, show)


def _narrowed(campaign: Campaign, host: str, record: str) -> Campaign:
    """The campaign with this one target and record; validated anew, since the host is the user's word."""
    try:
        target = _entry(campaign, canonical_address(host))
    except AddressError:
        raise _no_host(host) from None
    data = campaign.snapshot()["campaign"]
    data["gate"] = []
    data["targets"] = {
        "include": [target.model_dump(exclude_none=True)],
        "exclude": data["targets"].get("exclude", []),
    }
    data["records"] = [r for r in data["records"] if r["title"] == record]
    for kept in data["records"]:
        if kept.get("ips"):
            kept["ips"] = [host]
    try:
        return Campaign.model_validate(data)
    except ValueError:
        raise _no_host(host) from None


def _entry(campaign: Campaign, address: str) -> TargetEntry:
    """A host with the names that the campaign gives it, if it gives it any."""
    named = (e for e in campaign.targets.include if e.host or e.fqdn or e.domain)
    own = next((e for e in named if canonical_address(e.address) == address), None)
    return own or TargetEntry(address=address)


def _no_host(text: str) -> BadInput:
    return BadInput(f"{text!r} cannot be probed: it is no address and no name of a host")


async def resume(where: Where, run_id: str, show: Show, act: Act = Act.GO_ON) -> Exit:
    """Go on with a run that nobody drives. GO_ON leaves one alone that was paused by hand, RESUME does not."""
    check_output(show.output)
    given = Given(act, who())
    async with stored(where.home) as store:
        campaign = (await resumed_order(store, run_id, given, ())).prepared.campaign
    held = await acquire(where)
    if isinstance(held, HolderInfo):
        return await through(
            held, where, show, run_id, lambda c: c.resume(run_id, given, campaign, logins(where, campaign))
        )
    with held:
        async with stored(where.home) as store:
            order = await resumed_order(store, run_id, given, logins(where, campaign))
        return await hold(held, where, order, show)


async def _begin(
    where: Where,
    campaign: Campaign,
    selection: Selection,
    parent: str | None,
    show: Show,
    priority: int | None = None,
) -> Exit:
    check_output(show.output)
    check_windows(campaign, parent)
    held, run = await acquire(where), drawn_run_id()
    if isinstance(held, HolderInfo):
        return await through(
            held,
            where,
            show,
            run,
            lambda c: c.submit(run, campaign, logins(where, campaign), selection, parent, priority),
        )
    with held:
        # What can be wrong with the selection is said before a password is asked for.
        order = new_order(campaign, selection, (), parent=parent, priority=priority)
        return await hold(held, where, replace(order, logins=logins(where, campaign)), show)
