"""A run as the office of check-outs sees it: whose vaults, which attempts are out, and what may still be asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import anyio.to_thread

from appliance.contract import CredentialRef
from orchestrator.check_outs import VaultUse
from orchestrator.controller import RunController, RunPlan
from orchestrator.dispatch import OpenAttempt
from orchestrator.purposes import Purposes
from orchestrator.store.attempts import Attempts


@dataclass(slots=True)
class RunHolding:
    """Implements `HoldingRun`."""

    plan: RunPlan
    controller: RunController
    attempts: Attempts
    _uses: Mapping[CredentialRef, Sequence[str]] | None = field(default=None, init=False)

    @property
    def run(self) -> str:
        return self.plan.run

    @property
    def zone(self) -> str:
        return self.plan.zone

    @property
    def vaults(self) -> Sequence[VaultUse]:
        return self.plan.vault_uses

    @property
    def purposes(self) -> Purposes:
        return self.plan.purposes

    def current(self, job: str) -> OpenAttempt | None:
        return self.controller.current(job)

    async def needs(self, secret: CredentialRef) -> bool:
        """May a job that has no outcome yet ask for it? The plan is walked once, and only where check-outs are used."""
        if self._uses is None:
            self._uses = await anyio.to_thread.run_sync(self.plan.uses)
        jobs = self._uses.get(secret, ())
        return await self.attempts.finished(self.plan.run, jobs) < len(jobs)
