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

from appliance.answering import Answers
from appliance.choice import choosable, choose
from appliance.classify import classify
from appliance.contract import (
    CUT,
    DEADLINE,
    OK,
    Candidate,
    Deferred,
    Evidence,
    Failure,
    Job,
    Outcome,
    Phase,
    Report,
    Reread,
    Technology,
    named,
)
from appliance.elevation import RootAnswer
from appliance.job_secrets import JobSecrets, Settled
from appliance.jump import Jumps, Passage
from appliance.login import Dial, Elevation, Login, LoginFactory, Negotiated
from appliance.permit import Later, Permit, PermitDesk, Verdict
from appliance.phases import CutOff, PhaseLedger, deadline, off_the_clock
from appliance.policy import Policy
from appliance.reasons import Lockout, Reason
from appliance.vault import CredentialSource
from appliance.vault.credential import Credential

End = Failure | Later | None
"""How a story ends; None is success."""


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
    cut: CutOff = field(default_factory=CutOff)
    """Struck when the run's window is over."""
    call_off: Callable[[], None] = lambda: None
    """No scan waits for a vault's rate any longer: the run is taken off this appliance."""


async def scan(job: Job, kit: Kit) -> Report:
    """Run one attempt to its end. Expected failures are evidence; only bugs and cancellation raise."""
    attempt = _Attempt(job, kit)
    not_begun = attempt.refusal() or await attempt.turn()
    if not_begun is not None:
        attempt.ended(not_begun)
        return attempt.report()
    try:
        with deadline(job.deadline, kit.cut):
            try:
                attempt.ended(await attempt.story())
            finally:
                await attempt.return_permits()
    finally:
        attempt.secrets.asks()
    if not attempt.over:
        attempt.ended(attempt.out_of_time())
    return attempt.report()


@dataclass(slots=True)
class _Attempt:
    job: Job
    kit: Kit
    ledger: PhaseLedger = field(init=False)
    secrets: JobSecrets = field(init=False)
    began: float = field(init=False)
    facts: dict[str, str] = field(default_factory=dict)
    passage: Passage | None = None
    login: Login | None = None
    candidate: Candidate | None = None
    permit: Permit | None = None
    root: RootAnswer | None = None
    reread: Reread = Reread.NOT_DONE
    authenticated: bool = False
    end: End = None
    over: bool = False

    def __post_init__(self) -> None:
        kit = self.kit
        self.secrets = JobSecrets(self.job, kit.sources, kit.desk, kit.wall)
        self.began = kit.wall()
        self.ledger = PhaseLedger(self.kit.monotonic)
        self.ledger.enter(Phase.LEASE)

    # -- the story -----------------------------------------------------------------------------------------------------

    def refusal(self) -> Failure | None:
        if refusal := self.kit.policy.refusal(self.job):
            return Failure(Phase.LEASE, named("REFUSED_BY_POLICY"), refusal)
        return None if self._candidates else Failure(Phase.LEASE, named("NO_RECORD"))

    async def turn(self) -> End:
        """The wait for a vault that limits its rate: for nobody's answer, and so none of the deadline's time."""
        self.ledger.enter(Phase.VAULT)
        return await self.secrets.turn(choosable(self._candidates))

    async def story(self) -> End:
        candidates = self._candidates
        self.ledger.enter(Phase.VAULT)
        settled = await self.secrets.settle(choosable(candidates))
        if isinstance(settled, Later):
            return settled
        if self.job.vault_only:
            return await self._view(choosable(candidates)[0], settled)

        sock = await self._reach(candidates[0])
        if isinstance(sock, Failure | Later):
            return sock
        async with self.kit.logins[self.job.technology](sock, self.job, self.ledger) as login:
            self.login = login
            self.ended(await self._converse(login, candidates, settled))
            self.ledger.enter(Phase.LOGOFF)
        return self.end

    async def _view(self, candidate: Candidate, settled: Settled) -> End:
        """The vault's part alone: read and forgotten. No permit is asked for, since nothing is submitted."""
        self.candidate, handle = candidate, settled[candidate.secret]
        credential = handle if isinstance(handle, Failure) else await self.secrets.fetch(candidate, handle)
        if not isinstance(credential, Credential):
            return credential
        credential.forget()
        return None

    async def _reach(self, candidate: Candidate) -> socket | Failure | Later:
        """A connection with the target: our own, or one that its record's jump host makes."""
        if candidate.jump is None:
            address, allow = self.job.target.address, self.kit.policy.allows_address
            return await self.kit.dial(address, candidate.port, self.ledger, allow=allow, facts=self.facts)
        self.ledger.enter(Phase.JUMP)
        if self.kit.jumps is None:
            return Failure(Phase.JUMP, named("INTERNAL"), "this appliance keeps no sessions with jump hosts")
        views = self.secrets.views
        passage = await self.kit.jumps.through(self.job, candidate, candidate.jump, self.ledger, self.facts, views)
        if isinstance(passage, Passage):
            self.passage = passage
            return passage.sock
        if isinstance(passage, Failure) and passage.phase is Phase.VAULT:
            return self.secrets.later(passage, candidate.jump.secret) or passage
        return passage

    async def _converse(self, login: Login, candidates: list[Candidate], settled: Settled) -> End:
        negotiated = await self._negotiate(login)
        if isinstance(negotiated, Failure):
            return negotiated
        self.facts.update(negotiated.facts)

        self.candidate = candidate = choose(candidates, negotiated)
        if candidate is None:
            return Failure(Phase.NEGOTIATE, named("NO_RECORD"), f"no record serves domain {negotiated.domain}")
        answers = Answers(candidate, self.secrets, settled, self.ledger, self.facts, negotiated.asked)
        unknown = answers.unsettled()
        if unknown is not None:
            return unknown

        unfit = await login.prepare(candidate)
        if unfit is not None:
            return unfit

        self.ledger.enter(Phase.PERMIT)
        self.permit = Permit(self.job, candidate, self.kit.desk, self.kit.wall)
        refused = await self.permit.ask()
        if refused is not None:
            return refused

        try:
            credential = await answers.fetch()
            if not isinstance(credential, Credential):
                return credential
            self.ledger.enter(Phase.AUTH)
            verdict = await login.authenticate(candidate, credential, answers.following)
            if isinstance(verdict, Failure):
                return answers.later or await self._refused(verdict, answers)
            self.facts.update(verdict.facts)
            self.authenticated = True
            with off_the_clock():  # the target has answered: how long its pacer and the store take is not its time
                await self.return_permit()
            if candidate.root is not None and answers.credential is not None:
                self.root = RootAnswer(candidate, self.secrets, settled, self.ledger, answers)
            if self.root is None or not self.root.own:
                answers.forget()
            return await self._look(login, self.root)
        finally:
            answers.forget()  # whatever ends this: the verdict, the deadline, an abort

    async def _look(self, login: Login, root: RootAnswer | None) -> Failure | None:
        """What rights the login has; with root's own password, where the record names one and the target asks."""
        self.ledger.enter(Phase.PRIVILEGE)
        try:
            rights = await login.privileges(root)
        finally:
            if root is not None:
                root.forget()
        if isinstance(rights, Failure):
            self.ended(rights)
            if root is not None and login.elevation is Elevation.REFUSED:
                await root.second_look()
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

    async def _refused(self, failure: Failure, answers: Answers) -> Failure:
        """A refused login: look at the secret once more, since it may have been rotated under us."""
        self.ended(failure)
        if self.submitted and self._reason(failure).lockout is Lockout.YES:
            self.ledger.enter(Phase.VAULT)
            self.reread = Reread.FAILED
            self.reread, facts = await answers.second_look()
            self.facts.update(facts)
        return failure

    @property
    def _candidates(self) -> list[Candidate]:
        return [c for c in self.job.candidates if c.record not in self.job.tried]

    # -- the end -------------------------------------------------------------------------------------------------------

    @property
    def submitted(self) -> bool:
        return self.login is not None and self.login.submitted

    def ended(self, end: End) -> None:
        if isinstance(end, Failure) and self.passage is not None:
            end = self.passage.judge(end, self._reason(end).code)
        self.end, self.over = end, True

    def out_of_time(self) -> Failure:
        if self.kit.cut.struck:
            return Failure(self.ledger.current, DEADLINE, "cut off: the run's window is over", {CUT: "yes"})
        lag = self.kit.lag(self.job.deadline)
        facts = {"loop_lag_ms": f"{lag * 1000:.0f}"} if lag > self.job.deadline / 4 else {}
        return Failure(self.ledger.current, DEADLINE, facts=facts)

    async def return_permits(self) -> None:
        if self.root is not None and self.login is not None:
            await self.root.give_back(self.login.elevation)
        await self.return_permit()

    async def return_permit(self) -> None:
        if self.permit is None:
            return
        if self.authenticated or (self.login is not None and self.login.proven):
            verdict = Verdict(Phase.AUTH, OK, submitted=True, facts=self.facts)
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
            put_off["paced"] = end.paced
            return Deferred(**ids, **put_off, secret=end.secret, attempt=job.attempt, views=tuple(self.secrets.views))
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
            views=tuple(self.secrets.views),
            started_at=self.began,
            phases=self.ledger.finish(),
        )

    def _reason(self, failure: Failure) -> Reason:
        return classify(
            self.job.technology,
            Evidence(phase=failure.phase, signal=failure.signal, facts=failure.facts, submitted=self.submitted),
        )
