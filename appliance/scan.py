"""The story of one job: settle, dial, negotiate, choose, prepare, permit, fetch, authenticate, privilege, log off,
evidence.

Each step ends in what the next one needs, or in a `Failure` or a `Later` that ends the story. One absolute deadline
stands around all of it. What was known when the deadline struck is kept: a refused password stays refused though the
second look at the vault took too long, and an accepted one stays accepted though `sudo` hung.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from socket import socket

import anyio

from appliance.access import AccessKind
from appliance.choice import choosable, choose
from appliance.classify import classify
from appliance.contract import (
    DEADLINE,
    OK,
    Candidate,
    CredentialRef,
    Deferred,
    Evidence,
    Failure,
    Job,
    Outcome,
    Phase,
    Report,
    Reread,
    Technology,
    View,
    named,
)
from appliance.jump import Jumps, Passage
from appliance.login import Dial, Login, LoginFactory, Negotiated
from appliance.permit import DEFER_S, Later, Permit, PermitDesk, Verdict
from appliance.phases import PhaseLedger
from appliance.policy import Policy
from appliance.reading import SECOND_LOOK_S, ask_access, in_session, just_changed, read_secret, terms_of
from appliance.reasons import Lockout, Reason
from appliance.vault import CredentialSource, SecretHandle
from appliance.vault.breaker import seconds_away
from appliance.vault.credential import Credential

NEEDS_APPROVAL = named("SECRET_NEEDS_APPROVAL")
_WAITS_FOR, _APPROVAL = "waits_for", "approval"
"""The fact of a failure that is none yet: somebody has been asked."""

End = Failure | Later | None
"""How a story ends; None is success."""
Settled = Mapping[str, SecretHandle | Failure]
"""By record: the secret's handle, or why there is none (reported only if the target ever asks for it)."""


@dataclass(frozen=True, slots=True)
class Kit:
    """What a scan process lends to each scan."""

    appliance: str
    policy: Policy
    sources: Mapping[str, CredentialSource]
    """By vault title."""
    dial: Dial
    logins: Mapping[Technology, LoginFactory]
    desk: PermitDesk
    handshakes: anyio.CapacityLimiter
    """CPU-active handshakes; waiting for a target's greeting takes none."""
    lag: Callable[[float], float]
    """The worst lag of our event loop, in seconds, over the last so many seconds."""
    wall: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
    jumps: Jumps | None = None
    """The sessions with jump hosts; a kit without any reaches no target behind one."""


async def scan(job: Job, kit: Kit) -> Report:
    """Run one attempt to its end. Expected failures are evidence; only bugs and cancellation raise."""
    attempt = _Attempt(job, kit)
    with anyio.move_on_after(job.deadline):
        try:
            attempt.ended(await attempt.story())
        finally:
            await attempt.return_permit()
    if not attempt.over:
        attempt.ended(attempt.out_of_time())
    return attempt.report()


@dataclass(slots=True)
class _Attempt:
    job: Job
    kit: Kit
    ledger: PhaseLedger = field(init=False)
    began: float = field(init=False)
    facts: dict[str, str] = field(default_factory=dict)
    views: list[View] = field(default_factory=list)
    passage: Passage | None = None
    login: Login | None = None
    candidate: Candidate | None = None
    permit: Permit | None = None
    reread: Reread = Reread.NOT_DONE
    authenticated: bool = False
    end: End = None
    over: bool = False

    def __post_init__(self) -> None:
        self.began = self.kit.wall()
        self.ledger = PhaseLedger(self.kit.monotonic)
        self.ledger.enter(Phase.LEASE)

    # -- the story -----------------------------------------------------------------------------------------------------

    async def story(self) -> End:
        if refusal := self.kit.policy.refusal(self.job):
            return Failure(Phase.LEASE, named("REFUSED_BY_POLICY"), refusal)
        candidates = [c for c in self.job.candidates if c.record not in self.job.tried]
        if not candidates:
            return Failure(Phase.LEASE, named("NO_RECORD"))

        settled = await self._settle(choosable(candidates))
        if isinstance(settled, Later):
            return settled

        sock = await self._reach(candidates[0])
        if isinstance(sock, Failure | Later):
            return sock
        async with self.kit.logins[self.job.technology](sock, self.job, self.ledger) as login:
            self.login = login
            self.ended(await self._converse(login, candidates, settled))
            self.ledger.enter(Phase.LOGOFF)
        return self.end

    async def _reach(self, candidate: Candidate) -> socket | Failure | Later:
        """A connection with the target: our own, or one that its record's jump host makes."""
        if candidate.jump is None:
            address, allow = self.job.target.address, self.kit.policy.allows_address
            return await self.kit.dial(address, candidate.port, self.ledger, allow=allow, facts=self.facts)
        self.ledger.enter(Phase.JUMP)
        if self.kit.jumps is None:
            return Failure(Phase.JUMP, named("INTERNAL"), "this appliance keeps no sessions with jump hosts")
        passage = await self.kit.jumps.through(self.job, candidate, candidate.jump, self.ledger, self.facts, self.views)
        if isinstance(passage, Passage):
            self.passage = passage
            return passage.sock
        if isinstance(passage, Failure) and passage.phase is Phase.VAULT:
            return self._later(passage, candidate.jump.secret) or passage
        return passage

    async def _converse(self, login: Login, candidates: list[Candidate], settled: Settled) -> End:
        negotiated = await self._negotiate(login)
        if isinstance(negotiated, Failure):
            return negotiated
        self.facts.update(negotiated.facts)

        self.candidate = candidate = choose(candidates, negotiated)
        if candidate is None:
            return Failure(Phase.NEGOTIATE, named("NO_RECORD"), f"no record serves domain {negotiated.domain}")
        handle = settled[candidate.record]
        if isinstance(handle, Failure):
            return self._later(handle, candidate.secret) or handle

        unfit = await login.prepare(candidate)
        if unfit is not None:
            return unfit

        self.ledger.enter(Phase.PERMIT)
        self.permit = Permit(self.job, candidate, self.kit.desk, self.kit.wall)
        refused = await self.permit.ask()
        if refused is not None:
            return refused

        self.ledger.enter(Phase.VAULT)
        credential = await self._fetch(candidate, handle)
        if not isinstance(credential, Credential):
            return credential

        self.ledger.enter(Phase.AUTH)
        try:
            verdict = await login.authenticate(candidate, credential)
            if isinstance(verdict, Failure):
                return await self._refused(verdict, candidate, handle, credential)
        finally:
            credential.forget()  # whatever ends this: the verdict, the deadline, an abort
        self.facts.update(verdict.facts)
        self.authenticated = True
        await self.return_permit()

        self.ledger.enter(Phase.PRIVILEGE)
        rights = await login.privileges()
        if isinstance(rights, Failure):
            return rights
        self.facts.update(rights.facts)
        return None

    async def _negotiate(self, login: Login) -> Negotiated | Failure:
        self.ledger.enter(Phase.NEGOTIATE)
        silent_or_strange = await login.greet()
        if silent_or_strange is not None:
            return silent_or_strange
        self.ledger.enter(Phase.LEASE)  # waiting for a handshake slot is our own doing, not the host's
        async with self.kit.handshakes:
            self.ledger.enter(Phase.NEGOTIATE)
            return await login.negotiate()

    # -- vault ---------------------------------------------------------------------------------------------------------

    async def _settle(self, candidates: list[Candidate]) -> Settled | Later:
        """Names to ids, before dialling and without a view. Where no record's secret can be had now, the job is
        deferred; where the target may still choose one that can, it goes on.
        """
        settled: dict[str, SecretHandle | Failure] = {}
        waits: list[Later] = []
        self.ledger.enter(Phase.VAULT)
        for candidate in candidates:
            found = settled[candidate.record] = await self._settle_one(candidate)
            if isinstance(found, Failure) and (later := self._later(found, candidate.secret)):
                waits.append(later)
        if len(waits) == len(candidates):
            return min(waits, key=lambda later: later.not_before)
        return settled

    async def _settle_one(self, candidate: Candidate) -> SecretHandle | Failure:
        source = self._source(candidate)
        found = await in_session(source.settle(candidate.secret))
        if isinstance(found, Failure) or not terms_of(self.job, candidate.record).approval:
            return found
        lacking = await in_session(source.approval(found))
        if lacking is not None and lacking.signal == NEEDS_APPROVAL:
            lacking = await self._approve(candidate, found)
        return found if lacking is None else lacking

    async def _approve(self, candidate: Candidate, handle: SecretHandle) -> Failure | None:
        """An approval is asked for once for the whole run, by whom the run belongs to; None: it is there."""
        answer = await ask_access(AccessKind.APPROVAL, self.job, candidate, handle, self.kit.desk)
        if isinstance(answer, Failure) or answer.ok:
            return answer if isinstance(answer, Failure) else None
        facts = {_WAITS_FOR: _APPROVAL} if answer.waiting else {}
        return Failure(Phase.VAULT, named(answer.reason), answer.text, facts)

    async def _fetch(self, candidate: Candidate, handle: SecretHandle) -> Credential | Failure | Later:
        """The secret, read only now that the target has asked for it."""
        credential = await self._read(candidate, handle, anew=self.job.rotated)
        asks = terms_of(self.job, candidate.record).approval
        if isinstance(credential, Failure) and credential.signal == NEEDS_APPROVAL and asks:
            lacking = await self._approve(candidate, handle)
            text = "the vault says that access is approved now, and has refused it a moment ago"
            credential = Failure(Phase.VAULT, named("VAULT_ERROR"), text) if lacking is None else lacking
        if isinstance(credential, Failure):
            return self._later(credential, candidate.secret) or credential
        if credential.user and credential.user.lower() != candidate.user.lower():
            self.facts["warning"] = "the secret names another user than the record"
        return credential

    async def _read(self, candidate: Candidate, handle: SecretHandle, *, anew: bool) -> Credential | Failure:
        source, desk, views = self._source(candidate), self.kit.desk, self.views
        return await read_secret(self.job, candidate, handle, source, desk, views=views, anew=anew)

    def _source(self, candidate: Candidate) -> CredentialSource:
        return self.kit.sources[candidate.secret.vault]

    def _later(self, failure: Failure, secret: CredentialRef) -> Later | None:
        """A deferral, where waiting may help and there is still time to wait."""
        reason, now = self._reason(failure), self.kit.wall()
        if failure.facts.get(_WAITS_FOR) == _APPROVAL:  # whose end is the owner's of the run to say
            return Later(reason.code, now + DEFER_S, failure.text, secret=secret)
        if not reason.transient or now >= self.job.give_up_at:
            return None
        away = seconds_away(failure)
        vault = "" if away is None else secret.vault
        return Later(reason.code, now + max(away or 0.0, DEFER_S), failure.text, vault)

    async def _refused(
        self, failure: Failure, candidate: Candidate, handle: SecretHandle, tried: Credential
    ) -> Failure:
        """A refused login: look at the secret once more, since it may have been rotated under us.

        Host and vault get a new password one after the other, so the look comes a moment later: where the host was
        first, the vault has the new one by then. Where the vault was, we have tried the new one already, and the vault
        says when it has changed it; there the same password may be right in a moment.
        """
        self.ended(failure)
        if self.submitted and self._reason(failure).lockout is Lockout.YES:
            self.ledger.enter(Phase.VAULT)
            self.reread = Reread.FAILED
            await anyio.sleep(SECOND_LOOK_S)
            again = await self._read(candidate, handle, anew=True)
            if isinstance(again, Credential):
                same = again.same_secret_as(tried) and not just_changed(again, self.kit.wall())
                self.reread = Reread.UNCHANGED if same else Reread.CHANGED
                self.facts.update(again.standing.facts())
                again.forget()
        return failure

    # -- the end -------------------------------------------------------------------------------------------------------

    @property
    def submitted(self) -> bool:
        return self.login is not None and self.login.submitted

    def ended(self, end: End) -> None:
        if isinstance(end, Failure) and self.passage is not None:
            end = self.passage.judge(end, self._reason(end).code)
        self.end, self.over = end, True

    def out_of_time(self) -> Failure:
        lag = self.kit.lag(self.job.deadline)
        facts = {"loop_lag_ms": f"{lag * 1000:.0f}"} if lag > self.job.deadline / 4 else {}
        return Failure(self.ledger.current, DEADLINE, facts=facts)

    async def return_permit(self) -> None:
        if self.permit is None:
            return
        if self.authenticated or (self.login is not None and self.login.proven):
            verdict = Verdict(Phase.AUTH, OK, submitted=True)
        elif isinstance(self.end, Failure):
            verdict = Verdict(self.end.phase, self.end.signal, self.submitted, self.reread)
        else:  # deferred, out of time, or cancelled: what was sent counts, what was not does not
            verdict = Verdict(Phase.AUTH, DEADLINE, self.submitted)
        await self.permit.give_back(verdict)

    def report(self) -> Report:
        job, end = self.job, self.end
        ids = {"run": job.run, "job": job.job, "lease": job.lease, "appliance": self.kit.appliance}
        if isinstance(end, Later):
            not_before = max(end.not_before, self.kit.wall())
            put_off = {"reason": end.reason, "text": end.text, "vault": end.vault, "not_before": not_before}
            return Deferred(**ids, **put_off, secret=end.secret, attempt=job.attempt, views=tuple(self.views))
        return Outcome(**ids, attempt=job.attempt, evidence=self._evidence(end or Failure(Phase.LOGOFF, OK)))

    def _evidence(self, end: Failure) -> Evidence:
        return Evidence(
            phase=end.phase,
            signal=end.signal,
            text=end.text,
            facts={**self.facts, **end.facts},
            record=self.candidate.record if self.candidate else "",
            submitted=self.submitted,
            reread=self.reread,
            views=tuple(self.views),
            started_at=self.began,
            phases=self.ledger.finish(),
        )

    def _reason(self, failure: Failure) -> Reason:
        return classify(
            self.job.technology,
            Evidence(phase=failure.phase, signal=failure.signal, facts=failure.facts, submitted=self.submitted),
        )
