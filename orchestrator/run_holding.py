"""A run as the offices of check-outs and approvals see it: its vaults, attempts that are out, what may be asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import anyio.to_thread

from appliance.contract import CredentialRef
from orchestrator.attempt_book import AttemptBook
from orchestrator.attempts import OpenAttempt
from orchestrator.controller import RunController
from orchestrator.purposes import Purposes
from orchestrator.run_plan import RunPlan
from orchestrator.vault_use import VaultUse


@dataclass(slots=True)
class RunHolding:
    """Implements `HoldingRun`."""

    plan: RunPlan
    controller: RunController
    attempts: AttemptBook
    _uses: Mapping[CredentialRef, Sequence[str]] | None = field(default=None, init=False)

    @property
    def run(self) -> str:
        return self.plan.run

    @property
    def vaults(self) -> Sequence[VaultUse]:
        return self.plan.vault_uses

    @property
    def purposes(self) -> Purposes:
        return self.plan.purposes

    def current(self, job: str) -> OpenAttempt | None:
        return self.controller.current(job)

    def asked_in(self, zone: str) -> str:
        zones = (zone, *self.plan.zones.all)
        return next((one for one in zones if one and self.controller.capacity(one)), zone or zones[1])

    def approval_waits(self, secret: CredentialRef, since: float) -> None:
        self.controller.approval_waits(secret, since)

    def approval_over(self, secret: CredentialRef) -> None:
        self.controller.approval_over(secret)

    async def needs(self, secret: CredentialRef) -> bool:
        """May a job that has no outcome yet ask for it? The plan is walked once, and only where check-outs are used."""
        if self._uses is None:
            self._uses = await anyio.to_thread.run_sync(self.plan.uses)
        jobs = self._uses.get(secret, ())
        return await self.attempts.finished(self.plan.run, jobs) < len(jobs)
