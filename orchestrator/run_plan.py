"""A run as its controller takes it: what it is made of, and how far it has come."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from appliance.contract import OLDEST, Account, CredentialRef
from appliance.reasons import Status
from orchestrator.account_state import Budget
from orchestrator.approval_watch import Unapproved
from orchestrator.attempts import Planned
from orchestrator.dispatch import Pace
from orchestrator.marked import Marked
from orchestrator.purposes import Purposes
from orchestrator.vault_use import VaultUse
from orchestrator.vault_watch import Away
from orchestrator.zones import Zoning

ZONE_PATIENCE_S = 120.0


@dataclass(frozen=True, slots=True)
class RunPlan:
    """What a run is made of, apart from its progress."""

    run: str
    purposes: Purposes
    zones: Zoning
    began: float
    planned: int
    pace: Pace
    vaults: tuple[str, ...]
    budget: Callable[[Account, str], Budget | None]
    vault_uses: tuple[VaultUse, ...] = ()
    uses: Callable[[], Mapping[CredentialRef, Sequence[str]]] = dict
    """The jobs that may ask for each secret; takes a while for a large plan."""
    marks: Callable[[Planned], Marked] = lambda _: Marked()
    """Whom certificate authorities vouch for, and which keys are revoked: of a target's host."""
    jump_marks: Callable[[Planned], Marked] = lambda _: Marked()
    """The same of its jump host."""
    priority: int = 10
    """Its weight where runs share what there is (`fair_shares`)."""
    zone_patience: float = ZONE_PATIENCE_S
    """Seconds for which a zone without appliances is waited for, when nothing else is left."""
    contract: Literal[1, 2] = OLDEST
    """The lowest contract version that can express its jobs."""
    vault_only: bool = False
    """Secrets are read, and nothing is logged in to: a load test."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run has come, in targets x technologies."""

    planned: int
    in_flight: int
    by_status: Mapping[Status, int]
    away: tuple[Away, ...] = ()
    unapproved: tuple[Unapproved, ...] = ()
    note: str = ""
    """Why nothing new goes out, where nothing does."""

    @property
    def done(self) -> int:
        return sum(self.by_status.values())
