"""From a campaign to a run and back: what a run stores of its campaign, and what it needs to go to work."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from appliance.contract import Account, Target, Technology, Ticket
from orchestrator.account_state import Budget
from orchestrator.attempts import Planned, Repeat
from orchestrator.campaign_model import Campaign, Vault
from orchestrator.dispatch import Dispatcher, Pace
from orchestrator.marked import Marked
from orchestrator.plan import NothingSelected, Plan, SampleSize, build_plan, only, sample
from orchestrator.purposes import Purposes, VaultTerms
from orchestrator.records import NoCandidate, RecordBook
from orchestrator.run_plan import RunPlan
from orchestrator.run_state import RunState
from orchestrator.shared_room import Neighbourhood, RoomOf
from orchestrator.store.records import RunRecord, Unfinished
from orchestrator.vault_use import ApprovalTerms, VaultUse
from orchestrator.zones import Zoning

if TYPE_CHECKING:
    from orchestrator.known_hosts import HostMarks

Units = Sequence[tuple[Target, Technology]]


@dataclass(frozen=True, slots=True)
class Selection:
    """Which part of a campaign's plan a run takes: all of it, a sample, or a list (a rerun)."""

    sample: str = ""
    units: Units | None = None

    def data(self) -> dict[str, Any]:
        if self.units is None:
            return {"sample": self.sample}
        return {"units": [[t.model_dump(mode="json", exclude_defaults=True), tech.value] for t, tech in self.units]}

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Selection:
        if "units" not in data:
            return cls(sample=data.get("sample", ""))
        return cls(units=[(Target.model_validate(t), Technology(tech)) for t, tech in data["units"]])


@dataclass(frozen=True, slots=True)
class Prepared:
    """A run that has been planned: its record, its campaign, and the plan they give."""

    record: RunRecord
    campaign: Campaign
    book: RecordBook
    plan: Plan


def run_id(now: float, salt: str) -> str:
    """A run's id: when it began, and four characters that tell runs of the same second apart."""
    return f"{datetime.fromtimestamp(now, UTC):%Y%m%d-%H%M%S}-{salt[:4]}"


def is_run_id(text: str) -> bool:
    """Is it one that `run_id` may have made?"""
    return re.fullmatch(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{4}", text) is not None


def prepare(
    campaign: Campaign,
    selection: Selection,
    *,
    run: str,
    seed: int,
    now: float,
    parent: str | None = None,
    priority: int | None = None,
    marks: Mapping[str, Sequence[str]] = MappingProxyType({}),
    jump_marks: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> Prepared | NothingSelected:
    """A new run of a campaign. `marks`: by record, the marked lines of its known_hosts file; `jump_marks`: of its jump
    host's.
    """
    book = RecordBook(campaign.records, campaign.vaults)
    plan = _plan(campaign, book, selection, run, seed)
    if isinstance(plan, NothingSelected):
        return plan
    snapshot = {
        **campaign.snapshot(),
        "vaults": [{"title": v.title, "type": v.type} for v in campaign.vaults],
        "selection": selection.data(),
        "host_marks": {title: list(lines) for title, lines in marks.items()},
        "jump_marks": {title: list(lines) for title, lines in jump_marks.items()},
    }
    record = RunRecord(
        id=run,
        campaign=campaign.name,
        created_at=now,
        state=RunState.QUEUED,
        seed=seed,
        snapshot=snapshot,
        planned=plan.count_all,
        parent=parent,
        priority=priority,
    )
    return Prepared(record, campaign, book, plan)


def recall(record: RunRecord) -> Prepared | NothingSelected:
    """A stored run as it was planned. Raises SnapshotError."""
    campaign = Campaign.from_snapshot(dict(record.snapshot))
    book = RecordBook(campaign.records, campaign.vaults)
    selection = Selection.of(record.snapshot["selection"])
    plan = _plan(campaign, book, selection, record.id, record.seed)
    return plan if isinstance(plan, NothingSelected) else Prepared(record, campaign, book, plan)


def _plan(campaign: Campaign, book: RecordBook, selection: Selection, run: str, seed: int) -> Plan | NothingSelected:
    plan = build_plan(campaign, book, run=run, seed=seed)
    if isinstance(plan, NothingSelected):
        return plan
    if selection.units is not None:
        return only(plan, selection.units)
    if selection.sample:
        return sample(plan, SampleSize.parse(selection.sample), seed=seed)
    return plan


def purposes(campaign: Campaign, run: str) -> Purposes:
    """What the campaign's vaults are told of this run."""
    return Purposes(campaign.name, run, {vault.title: _terms(vault) for vault in campaign.vaults})


def _use(vault: Vault) -> VaultUse:
    asks = ApprovalTerms(vault.approval_wait, vault.approval_window) if vault.approval == "request" else None
    return VaultUse(vault.title, vault.url, vault.user, vault.check_out, asks)


def _terms(vault: Vault) -> VaultTerms:
    ticket = None if vault.ticket is None else Ticket(number=vault.ticket, system=vault.ticket_system)
    return VaultTerms(vault.comment or "", ticket, approval=vault.approval == "request")


def priority_of(prepared: Prepared) -> int:
    """The run's own, where somebody has given it one; else its campaign's."""
    own = prepared.record.priority
    return prepared.campaign.priority if own is None else own


def zoning(prepared: Prepared, stand_in: str = "") -> Zoning:
    """A run's zones. `stand_in`: the one whose appliances do everything, where there are no others."""
    targets = prepared.plan.by_zone()
    fallbacks = {zone: one for zone, one in prepared.campaign.zone_map.fallbacks.items() if zone in targets}
    return Zoning(targets, fallbacks, stand_in)


def run_plan(prepared: Prepared, stand_in: str = "") -> RunPlan:
    """What the controller needs of a run. `stand_in`: see `zoning`. In a thread where an event loop must go on: what
    known_hosts files have marked is read.
    """
    campaign, record, book = prepared.campaign, prepared.record, prepared.book

    def budget(account: Account, title: str) -> Budget | None:
        shared = book.budget_for(account)
        if shared is not None:
            return shared
        return book.budget(title) if any(r.title == title for r in campaign.records) else None

    return RunPlan(
        run=record.id,
        purposes=purposes(campaign, record.id),
        zones=zoning(prepared, stand_in),
        began=record.created_at,
        planned=record.planned,
        pace=_pace(campaign),
        vaults=tuple(v.title for v in campaign.vaults),
        priority=priority_of(prepared),
        zone_patience=campaign.pace.zone_patience,
        budget=budget,
        vault_uses=tuple(_use(vault) for vault in campaign.vaults),
        uses=prepared.plan.uses,
        marks=_marks(record),
        jump_marks=_jump_marks(record),
    )


def _marks(record: RunRecord) -> Callable[[Planned], Marked]:
    """Of the first of a target's records that has any."""
    by_record = _read(record.snapshot.get("host_marks", {}))

    def of(planned: Planned) -> Marked:
        for candidate in planned.candidates if by_record else ():
            if candidate.record in by_record:
                return by_record[candidate.record].of(planned.target, candidate.port)
        return Marked()

    return of


def _jump_marks(record: RunRecord) -> Callable[[Planned], Marked]:
    """The same of its jump host."""
    by_record = _read(record.snapshot.get("jump_marks", {}))

    def of(planned: Planned) -> Marked:
        for candidate in planned.candidates if by_record else ():
            if candidate.jump is not None and candidate.record in by_record:
                return by_record[candidate.record].of(Target(address=candidate.jump.address), candidate.jump.port)
        return Marked()

    return of


def _read(marks: Mapping[str, Sequence[str]]) -> dict[str, HostMarks]:
    """By record."""
    if not marks:
        return {}
    from orchestrator.known_hosts import HostMarks  # noqa: PLC0415 - see there

    return {title: HostMarks(lines) for title, lines in marks.items()}


def dispatcher(
    prepared: Prepared,
    unfinished: Sequence[Unfinished],
    lease: Callable[[], str],
    now: float,
    neighbourhood: Neighbourhood | None = None,
) -> Dispatcher:
    """A run's dispatcher: from the start, or from where its store says it came to. `neighbourhood`: the runs that it
    shares subnets and vaults with.

    A job whose last attempt nobody reported is tried anew with the next number: the old one's lease is dead, and its
    permit, if it had one, counts as a failed logon.
    """
    book, plan = prepared.book, prepared.plan
    pace, urls = _pace(prepared.campaign), {vault.title: vault.url for vault in prepared.campaign.vaults}
    made = Dispatcher(
        plan,
        pace,
        prepared.record.cursors,
        lease,
        logons_allowed(book),
        room=RoomOf(prepared.record.id, neighbourhood, pace.per_subnet),
        vault_key=lambda title: urls.get(title, title),
    )
    for job in unfinished:
        candidates = book.candidates(job.job.target, job.job.technology)
        if isinstance(candidates, NoCandidate):
            continue
        home = prepared.campaign.zone_map.of(job.job.target.address)
        planned = Planned(job.job.job, job.job.technology, job.job.target, candidates, home)
        made.again(Repeat(planned, attempt=job.attempt + 1, not_before=now, tried=job.tried))
    return made


def logons_allowed(book: RecordBook) -> Callable[[Account], int]:
    """How many failed logons the records allow an account."""

    def allowed(account: Account) -> int:
        shared = book.budget_for(account)
        return shared.failures if shared is not None else 1

    return allowed


def _pace(campaign: Campaign) -> Pace:
    pace = campaign.pace
    return Pace(
        pace.deadline,
        pace.vault_patience,
        retries=pace.retries,
        per_subnet=pace.per_subnet,
        throttle_patience=pace.throttle_patience,
    )
