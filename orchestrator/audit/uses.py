"""What runs have read in vaults, out of their evidence.

An attempt that was heard tells each of its views (`Evidence.views`). What one did that was never heard of, or whose
evidence is of a release that noted no views, is not known: it may have left rows while it lived, UNHEARD_VIEWS at most
(the secret and two fields of it, and once more after a refused login). That is an unsure use, and never a fault.
So is what `verify-clean` has read: the secrets of its run, while it searched.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from appliance.contract import CredentialRef, Evidence, Phase, View, named
from orchestrator.assembly import Prepared
from orchestrator.campaign_model import Campaign, SnapshotError
from orchestrator.records import NoCandidate
from orchestrator.store import Store
from orchestrator.store.records import DispatchedAttempt, RunRecord, SearchRow

UNHEARD_VIEWS = 6
SEARCH_S = 600.0
"""How long a search that was killed may have been reading."""
LATE_S = 60.0
"""What an attempt may take beyond its deadline: a vault that limits its rate has it wait before, and its process may be
late to notice.
"""
_OF_THE_BUS = (named("APPLIANCE_LOST"), named("NO_PACER"))
"""Ends of an attempt whose job the bus may have delivered twice: the other process's report came too late to count."""
_AT_LOGIN = (Phase.AUTH, Phase.PRIVILEGE, Phase.LOGOFF)


class VaultKey(NamedTuple):
    """A vault's user, whatever titles campaigns give the vault."""

    url: str
    user: str
    domain: str


class SecretKey(NamedTuple):
    vault: VaultKey
    secret_id: int


@dataclass(frozen=True, slots=True)
class Use:
    """One view that a run made, or may have made, and for whom. Times are the appliance's clock."""

    run: str
    campaign: str
    job: str
    attempt: int
    target: str
    technology: str
    appliance: str
    secret: str
    """As the record names it."""
    begin: float
    end: float
    sure: bool
    heard: bool = True
    """False: nothing is known of it but that it was possible."""


@dataclass(slots=True)
class Uses:
    """Of one run, and of those that ran since it began and used the same secrets."""

    titles: dict[VaultKey, str]
    """In the audited run."""
    by_secret: dict[SecretKey, list[Use]] = field(default_factory=lambda: defaultdict(list))
    unheard: dict[CredentialRef, list[Use]] = field(default_factory=lambda: defaultdict(list))
    """Of the audited run, until it is known which secrets the references name; each use stands for UNHEARD_VIEWS."""
    unreadable_runs: list[str] = field(default_factory=list)
    """Runs of the same time whose campaigns this release cannot read."""

    def resolve(self, ref: CredentialRef, secret: SecretKey) -> None:
        """The reference names this secret: who may have read it, may have read that one."""
        self.by_secret[secret] += [use for use in self.unheard.pop(ref, []) for _ in range(UNHEARD_VIEWS)]


def vault_keys(campaign: Campaign) -> dict[str, VaultKey]:
    """By title."""
    return {v.title: VaultKey(v.url.rstrip("/"), v.user.lower(), (v.domain or "").lower()) for v in campaign.vaults}


async def uses_of(store: Store, prepared: Prepared, now: float) -> Uses:
    """The run's uses and those of others that explain rows of the same secrets."""
    record, keys = prepared.record, vault_keys(prepared.campaign)
    found = Uses({key: title for title, key in keys.items()})
    async for attempt in store.attempts.dispatched_of(record.id):
        for view, use in _seen(attempt, record.campaign):
            if view.vault in keys:
                found.by_secret[SecretKey(keys[view.vault], view.secret_id)].append(use)
        if _is_unheard(attempt):
            candidates = prepared.book.candidates(attempt.target, attempt.technology)
            until = _until(attempt, record, prepared.campaign, now)
            for ref in (
                [] if isinstance(candidates, NoCandidate) else dict.fromkeys(s for c in candidates for s in c.secrets)
            ):
                found.unheard[ref].append(_maybe(attempt, record.campaign, ref.label, until))
    for other in await store.runs.all():
        if other.id != record.id and (other.finished_at is None or other.finished_at >= record.created_at):
            await _explain(store, other, found, now)
    for search in await store.searches.all():
        if (search.ended_at or now) >= record.created_at:
            _searched(search, found)
    return found


def _searched(search: SearchRow, found: Uses) -> None:
    """It has read what its run had, as far as that is audited."""
    until = search.ended_at or search.begun_at + SEARCH_S
    for uses in found.by_secret.values():
        if any(use.run == search.run for use in uses):
            use = replace(uses[0], run=f"verify-clean {search.run}", job="", attempt=0, target="", appliance="")
            maybe = replace(use, begin=search.begun_at, end=until, sure=False, heard=False)
            uses.extend([maybe] * UNHEARD_VIEWS)


async def _explain(store: Store, run: RunRecord, found: Uses, now: float) -> None:
    """Another run's uses of the secrets that are audited."""
    try:
        campaign = Campaign.from_snapshot(dict(run.snapshot))
    except SnapshotError:
        found.unreadable_runs.append(run.id)
        return
    keys = {title: key for title, key in vault_keys(campaign).items() if key in found.titles}
    if not keys:
        return
    ids: dict[tuple[VaultKey, str], int] = {}
    unheard: list[DispatchedAttempt] = []
    async for attempt in store.attempts.dispatched_of(run.id):
        for view, use in _seen(attempt, run.campaign):
            key = keys.get(view.vault)
            if key is not None and (secret := SecretKey(key, view.secret_id)) in found.by_secret:
                found.by_secret[secret].append(use)
        if _is_unheard(attempt):
            unheard.append(attempt)
    for secret, uses in found.by_secret.items():
        ids |= {(secret.vault, use.secret): secret.secret_id for use in uses}
    for attempt in unheard:
        until = _until(attempt, run, campaign, now)
        for vault, named_so in (pair for record in attempt.records for pair in record.secrets):
            key = keys.get(vault)
            secret_id = ids.get((key, named_so)) if key is not None else None
            if key is not None and secret_id is not None:
                use = _maybe(attempt, run.campaign, named_so, until)
                found.by_secret[SecretKey(key, secret_id)] += [use] * UNHEARD_VIEWS


def _seen(attempt: DispatchedAttempt, campaign: str) -> list[tuple[View, Use]]:
    evidence = attempt.evidence
    if evidence is None:
        return []
    found = []
    for view in evidence.views:
        secret = view.secret or _named(attempt, evidence.record, view.vault)
        found.append((view, _use(attempt, campaign, secret, view.asked, view.answered, sure=view.sure)))
    return found


def _named(attempt: DispatchedAttempt, record: str, vault: str) -> str:
    """What the record calls it; an attempt that was put off has not said which of them it used."""
    in_vault = [r for r in attempt.records if r.vault == vault]
    return next((r.secret for r in in_vault if r.record == record), in_vault[0].secret if in_vault else "")


def _is_unheard(attempt: DispatchedAttempt) -> bool:
    evidence = attempt.evidence
    if evidence is None or evidence.signal in _OF_THE_BUS:
        return True
    return not evidence.views and had_credential(evidence)


def had_credential(evidence: Evidence) -> bool:
    """An attempt that came as far as the login has had its secret, unless it ended before a record was chosen."""
    return bool(evidence.record) and (evidence.submitted or evidence.phase in _AT_LOGIN)


def _until(attempt: DispatchedAttempt, run: RunRecord, campaign: Campaign, now: float) -> float:
    """An attempt that was given up may go on until its own deadline."""
    ended = attempt.ended_at or run.finished_at or now
    return ended + campaign.pace.deadline + LATE_S


def _maybe(attempt: DispatchedAttempt, campaign: str, secret: str, until: float) -> Use:
    return _use(attempt, campaign, secret, attempt.dispatched_at, until, sure=False, heard=False)


def _use(
    attempt: DispatchedAttempt,
    campaign: str,
    secret: str,
    begin: float,
    end: float,
    *,
    sure: bool,
    heard: bool = True,
) -> Use:
    return Use(
        run=attempt.run,
        campaign=campaign,
        job=attempt.job,
        attempt=attempt.attempt,
        target=attempt.target.address,
        technology=attempt.technology.value,
        appliance=attempt.appliance,
        secret=secret,
        begin=begin,
        end=end,
        sure=sure,
        heard=heard,
    )
