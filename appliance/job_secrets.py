"""The secrets of one attempt: settled before the target is dialled, read while it waits, looked at again after a
refusal.

What may be deferred is deferred here: a vault that is away, or an approver who has not answered yet, is no word on the
target. A view is on record from the moment that it may have happened.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from appliance.access import AccessKind
from appliance.classify import classify
from appliance.contract import (
    Candidate,
    CredentialRef,
    Evidence,
    Failure,
    Job,
    Part,
    Phase,
    Reread,
    View,
    named,
)
from appliance.permit import DEFER_S, Later, PermitDesk
from appliance.reading import ask_access, in_session, read_secret, second_look, terms_of
from appliance.vault import CredentialSource, SecretHandle
from appliance.vault.breaker import seconds_away
from appliance.vault.credential import Credential
from appliance.vault.turns import PACED

NEEDS_APPROVAL = named("SECRET_NEEDS_APPROVAL")
_WAITS_FOR, _APPROVAL = "waits_for", "approval"
"""The fact of a failure that is none yet: somebody has been asked."""

Settled = Mapping[CredentialRef, SecretHandle | Failure]
"""The secret's handle, or why there is none (reported only if the target ever asks for it)."""


@dataclass(slots=True)
class JobSecrets:
    job: Job
    sources: Mapping[str, CredentialSource]
    """By vault title."""
    desk: PermitDesk
    wall: Callable[[], float]
    views: list[View] = field(default_factory=list)
    """Those of the attempt so far, its jump host's too."""
    asks: Callable[[], None] = lambda: None
    """To be called once the attempt asks for its secret, or ends (`CredentialSource.turn`)."""

    async def turn(self, candidates: list[Candidate]) -> Failure | Later | None:
        """Wait for the rate of the vault that alone could serve the job, where it limits it."""
        if len({candidate.secret.vault for candidate in candidates}) > 1:
            return None
        secret = candidates[0].secret
        entered = await self.sources[secret.vault].turn(secret)
        if isinstance(entered, Failure):
            return self.later(entered, secret) or entered
        self.asks = entered
        return None

    async def settle(self, candidates: list[Candidate]) -> Settled | Later:
        """Names to ids, without a view. Where no record's secrets can be had now, the job is deferred; where the target
        may still choose one that can, it goes on.
        """
        settled: dict[CredentialRef, SecretHandle | Failure] = {}
        waits: list[Later] = []
        for candidate in candidates:
            later = await self._settle_one(candidate, Part.LOGIN, settled)
            for fallback in candidate.answers[1:]:  # which may never be asked for, and so defers nothing
                await self._settle_one(fallback, Part.LOGIN, settled)
            if candidate.root is not None:
                later = await self._settle_one(candidate.as_root(), Part.ROOT, settled) or later
            if later is not None:
                waits.append(later)
        if len(waits) == len(candidates):
            return min(waits, key=lambda later: later.not_before)
        return settled

    async def fetch(self, candidate: Candidate, handle: SecretHandle) -> Credential | Failure | Later:
        """The login's secret, read only now that the target has asked for it."""
        self.asks()
        credential = await self.read(candidate, handle, anew=self.job.rotated)
        asks = terms_of(self.job, candidate.record).approval
        if isinstance(credential, Failure) and credential.signal == NEEDS_APPROVAL and asks:
            lacking = await self._approve(candidate, handle)
            text = "the vault says that access is approved now, and has refused it a moment ago"
            credential = Failure(Phase.VAULT, named("VAULT_ERROR"), text) if lacking is None else lacking
        if isinstance(credential, Failure):
            return self.later(credential, candidate.secret) or credential
        return credential

    async def read(
        self, candidate: Candidate, handle: SecretHandle, *, anew: bool, part: Part = Part.LOGIN
    ) -> Credential | Failure:
        """One look at the candidate's secret. Its views bear the secret's name where it is not the record's own."""
        own = any(c.secret == candidate.secret for c in self.job.candidates if c.record == candidate.record)
        label = "" if own else candidate.secret.label
        source, desk, views = self.sources[candidate.secret.vault], self.desk, self.views
        return await read_secret(
            self.job, candidate, handle, source, desk, views=views, anew=anew, part=part, label=label
        )

    async def second_look(
        self, candidate: Candidate, handle: SecretHandle, tried: Credential, part: Part = Part.LOGIN
    ) -> tuple[Reread, dict[str, str]]:
        """Has the secret of a refused answer been rotated under us? What was found, and facts of it."""
        return await second_look(partial(self.read, candidate, handle, anew=True, part=part), tried, self.wall)

    def later(self, failure: Failure, secret: CredentialRef) -> Later | None:
        """A deferral, where waiting may help and there is still time to wait."""
        seen = Evidence(phase=failure.phase, signal=failure.signal, facts=failure.facts)
        reason, now = classify(self.job.technology, seen), self.wall()
        if PACED in failure.facts:  # whoever waits longest goes first, so that everybody's turn comes
            return Later(reason.code, now + DEFER_S, failure.text, secret.vault, paced=True)
        if failure.facts.get(_WAITS_FOR) == _APPROVAL:  # whose end is the owner's of the run to say
            return Later(reason.code, now + DEFER_S, failure.text, secret=secret)
        if not reason.transient or now >= self.job.give_up_at:
            return None
        away = seconds_away(failure)
        vault = "" if away is None else secret.vault
        return Later(reason.code, now + max(away or 0.0, DEFER_S), failure.text, vault)

    async def _settle_one(
        self, candidate: Candidate, part: Part, settled: dict[CredentialRef, SecretHandle | Failure]
    ) -> Later | None:
        secret = candidate.secret
        if secret not in settled:
            settled[secret] = await self._settled(candidate, part)
        found = settled[secret]
        return self.later(found, secret) if isinstance(found, Failure) else None

    async def _settled(self, candidate: Candidate, part: Part) -> SecretHandle | Failure:
        source = self.sources[candidate.secret.vault]
        found = await in_session(source.settle(candidate.secret))
        if isinstance(found, Failure) or not terms_of(self.job, candidate.record, part).approval:
            return found
        lacking = await in_session(source.approval(found))
        if lacking is not None and lacking.signal == NEEDS_APPROVAL:
            lacking = await self._approve(candidate, found)
        return found if lacking is None else lacking

    async def _approve(self, candidate: Candidate, handle: SecretHandle) -> Failure | None:
        """An approval is asked for once for the whole run, by whom the run belongs to; None: it is there."""
        answer = await ask_access(AccessKind.APPROVAL, self.job, candidate, handle, self.desk)
        if isinstance(answer, Failure) or answer.ok:
            return answer if isinstance(answer, Failure) else None
        facts = {_WAITS_FOR: _APPROVAL} if answer.waiting else {}
        return Failure(Phase.VAULT, named(answer.reason), answer.text, facts)
