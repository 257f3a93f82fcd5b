"""The story of one job: settle, dial, negotiate, choose, permit, fetch, authenticate, privilege, log off, evidence.

Each step ends in what the next one needs, or in a `Failure` or a `Later` that ends the story. One absolute deadline
stands around all of it. What was known when the deadline struck is kept: a refused password stays refused though the
second look at the vault took too long, and an accepted one stays accepted though `sudo` hung.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from socket import socket
from typing import Protocol, TypeVar

import anyio

from appliance.bus import BusUnavailable
from appliance.classify import classify
from appliance.contract import (
    DEADLINE,
    OK,
    Candidate,
    CheckOutRequest,
    CredentialRef,
    Deferred,
    Evidence,
    Failure,
    Job,
    Outcome,
    Phase,
    Report,
    Reread,
    Selection,
    Technology,
    View,
    named,
)
from appliance.elevation import RootAnswer
from appliance.login import Elevation, Login, LoginFactory, Negotiated
from appliance.permit import DEFER_S, SESSION_WAIT_S, Later, Permit, PermitDesk, Verdict
from appliance.phases import PhaseLedger
from appliance.policy import Policy
from appliance.reasons import Lockout, Reason
from appliance.vault import CredentialSource, SecretHandle
from appliance.vault.breaker import seconds_away
from appliance.vault.credential import Credential

T = TypeVar("T")

SECOND_LOOK_S = 0.5
JUST_CHANGED_S = 60.0
"""Beside the time that a change takes, it allows for the difference between the vault's clock and ours."""

End = Failure | Later | None
"""How a story ends; None is success."""
Settled = Mapping[CredentialRef, SecretHandle | Failure]
"""The secret's handle, or why there is none (reported only if the target ever asks for it)."""


class Dial(Protocol):
    async def __call__(
        self, address: str, port: int, ledger: PhaseLedger, /, *, allow: Callable[[str], bool]
    ) -> socket | Failure: ...


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


async def scan(job: Job, kit: Kit) -> Report:
    """Run one attempt to its end. Expected failures are evidence; only bugs and cancellation raise."""
    attempt = _Attempt(job, kit)
    with anyio.move_on_after(job.deadline):
        try:
            attempt.ended(await attempt.story())
        finally:
            await attempt.return_permits()
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
    login: Login | None = None
    candidate: Candidate | None = None
    permit: Permit | None = None
    root: RootAnswer | None = None
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

        allow = self.kit.policy.allows_address
        sock = await self.kit.dial(self.job.target.address, candidates[0].port, self.ledger, allow=allow)
        if isinstance(sock, Failure):
            return sock
        async with self.kit.logins[self.job.technology](sock, self.job, self.ledger) as login:
            self.login = login
            self.ended(await self._converse(login, candidates, settled))
            self.ledger.enter(Phase.LOGOFF)
        return self.end

    async def _converse(self, login: Login, candidates: list[Candidate], settled: Settled) -> End:
        negotiated = await self._negotiate(login)
        if isinstance(negotiated, Failure):
            return negotiated
        self.facts.update(negotiated.facts)

        self.candidate = candidate = choose(candidates, negotiated)
        if candidate is None:
            return Failure(Phase.NEGOTIATE, named("NO_RECORD"), f"no record serves domain {negotiated.domain}")
        handle = settled[candidate.secret]
        if isinstance(handle, Failure):
            return self._later(handle, candidate.secret) or handle

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
            self.root = self._root_answer(candidate, settled, credential)
            verdict = await login.authenticate(candidate, credential)
            if isinstance(verdict, Failure):
                return await self._refused(verdict, candidate, handle, credential)
            self.facts.update(verdict.facts)
            self.authenticated = True
            await self.return_permit()
            if self.root is None or not self.root.own:
                credential.forget()
            return await self._look(login, self.root)
        finally:
            credential.forget()  # whatever ends this: the verdict, the deadline, an abort

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
                await root.second_look(SECOND_LOOK_S)
            return rights
        self.facts.update(rights.facts)
        return None

    def _root_answer(self, candidate: Candidate, settled: Settled, login: Credential) -> RootAnswer | None:
        root = candidate.root
        if root is None:
            return None
        handle = settled[root.secret]
        own = login if root.secret == candidate.secret and not candidate.private_key else None

        async def fetch(anew: bool) -> Credential | Failure:
            if isinstance(handle, Failure):
                return handle
            views: list[View] = []
            try:
                return await _in_session(self._fetched(root.secret, handle, views, private_key=False, anew=anew))
            finally:
                label = root.secret.label if root.secret != candidate.secret else ""
                self.views += [view.model_copy(update={"secret": label}) for view in views]

        permit = Permit(self.job, candidate, self.kit.desk, self.kit.wall, root=True)
        return RootAnswer(root, permit, fetch, self.ledger, own)

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
        settled: dict[CredentialRef, SecretHandle | Failure] = {}
        waits: list[Later] = []
        self.ledger.enter(Phase.VAULT)
        for candidate in candidates:
            for ref in candidate.secrets:
                if ref not in settled:
                    settled[ref] = await _in_session(self.kit.sources[ref.vault].settle(ref))
            failures = [(ref, found) for ref in candidate.secrets if isinstance(found := settled[ref], Failure)]
            later = next((later for ref, found in failures if (later := self._later(found, ref))), None)
            if later is not None:
                waits.append(later)
        if len(waits) == len(candidates):
            return min(waits, key=lambda later: later.not_before)
        return settled

    async def _fetch(self, candidate: Candidate, handle: SecretHandle) -> Credential | Failure | Later:
        """The secret, read only now that the target has asked for it."""
        credential = await self._read(candidate, handle, anew=self.job.rotated)
        if isinstance(credential, Failure):
            return self._later(credential, candidate.secret) or credential
        if credential.user and credential.user.lower() != candidate.user.lower():
            self.facts["warning"] = "the secret names another user than the record"
        return credential

    async def _read(self, candidate: Candidate, handle: SecretHandle, *, anew: bool) -> Credential | Failure:
        key = candidate.private_key
        return await _in_session(self._fetched(candidate.secret, handle, self.views, private_key=key, anew=anew))

    async def _fetched(
        self, ref: CredentialRef, handle: SecretHandle, views: list[View], *, private_key: bool, anew: bool
    ) -> Credential | Failure:
        """A secret that wants to be checked out first is, for the whole run, by whom the run belongs to."""
        source, purpose, key = self.kit.sources[ref.vault], self.job.purpose, private_key
        credential = await source.fetch(handle, private_key=key, purpose=purpose, views=views, anew=anew)
        if isinstance(credential, Credential) or credential.signal != named("SECRET_NEEDS_CHECKOUT"):
            return credential
        job = self.job
        request = CheckOutRequest(
            run=job.run,
            job=job.job,
            attempt=job.attempt,
            lease=job.lease,
            secret=ref,
            secret_id=handle.secret_id,
        )
        try:
            answer = await self.kit.desk.check_out(request, wait=SESSION_WAIT_S)
        except BusUnavailable as error:
            return Failure(Phase.VAULT, named("NO_PACER"), str(error))
        if not answer.ok:
            return Failure(Phase.VAULT, named(answer.reason), answer.text)
        return await source.fetch(handle, private_key=key, purpose=purpose, views=views, checked_out=True, anew=anew)

    def _later(self, failure: Failure, ref: CredentialRef) -> Later | None:
        """A deferral, where waiting may help and there is still time to wait."""
        reason, now = self._reason(failure), self.kit.wall()
        if not reason.transient or now >= self.job.give_up_at:
            return None
        away = seconds_away(failure)
        vault = "" if away is None else ref.vault
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
                same = again.same_secret_as(tried) and not self._just_changed(again)
                self.reread = Reread.UNCHANGED if same else Reread.CHANGED
                self.facts.update(again.standing.facts())
                again.forget()
        return failure

    def _just_changed(self, credential: Credential) -> bool:
        changed_at = credential.standing.changed_at
        return changed_at is not None and abs(self.kit.wall() - changed_at) <= JUST_CHANGED_S

    # -- the end -------------------------------------------------------------------------------------------------------

    @property
    def submitted(self) -> bool:
        return self.login is not None and self.login.submitted

    def ended(self, end: End) -> None:
        self.end, self.over = end, True

    def out_of_time(self) -> Failure:
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
        if self.authenticated:
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
            return Deferred(**ids, **put_off, attempt=job.attempt, views=tuple(self.views))
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


async def _in_session(question: Awaitable[T | Failure]) -> T | Failure:
    """A vault's answer within the time that a target's session may be kept waiting."""
    with anyio.move_on_after(SESSION_WAIT_S):
        return await question
    return Failure(Phase.VAULT, named("VAULT_TIMEOUT"), f"no answer within {SESSION_WAIT_S:g} s")


def choosable(candidates: list[Candidate]) -> list[Candidate]:
    """Those that `choose` can come to: none after the first that applies whatever the target says."""
    chosen = [c.selection is not Selection.SERVICE_SELECTED for c in candidates]
    return candidates[: chosen.index(True) + 1] if any(chosen) else candidates


def choose(candidates: list[Candidate], negotiated: Negotiated) -> Candidate | None:
    """The first record that applies: a service-selected one only where the target's domain is its own."""
    for candidate in candidates:
        if candidate.selection is not Selection.SERVICE_SELECTED:
            return candidate
        if negotiated.domain and candidate.domain.split(".")[0].lower() == negotiated.domain.lower():
            return candidate
    return None
