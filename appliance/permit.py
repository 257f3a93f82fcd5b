"""An attempt's permit: asked for after negotiation, before the vault is read; returned when the verdict is known.

No pacer, no password. A permit that cannot be returned counts as a failed logon when it expires; that is the safe side.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import anyio

from appliance.access import AccessAnswer, AccessRequest
from appliance.bus import NoPacer
from appliance.contract import (
    Candidate,
    CredentialRef,
    Failure,
    Job,
    PermitAnswer,
    PermitRelease,
    PermitRequest,
    PermitVerdict,
    Phase,
    Reread,
    Signal,
    named,
)
from appliance.logs import get_logger

SESSION_WAIT_S = 5.0
"""How long a target's open session is kept waiting for the pacer; the vault gets as long again."""
ANSWER_WAIT_S = SESSION_WAIT_S + 2.0
"""The pacer holds a request for SESSION_WAIT_S at most; what takes longer is a pacer that is not there."""
DEFER_S = 2.0
GRACE_S = 10.0
"""Beyond the attempt's deadline, the time a verdict may take to reach the pacer; and that for which an answer and a
second look may wait for a vault that limits its rate, which does not count.
"""
READ_S = 5.0
"""For which each further answer may wait so."""
RELEASE_WAIT_S = 5.0

log = get_logger()


class PermitDesk(Protocol):
    """The part of the bus that a scan speaks to: may a password be submitted, and is a secret the run's to view?"""

    async def permit(self, request: PermitRequest, wait: float) -> PermitAnswer: ...

    async def release(self, release: PermitRelease) -> None: ...

    async def access(self, request: AccessRequest, wait: float) -> AccessAnswer: ...


@dataclass(frozen=True, slots=True)
class Later:
    """The story ends before anything was submitted, and is to be told again from the start."""

    reason: str
    not_before: float
    text: str = ""
    vault: str = ""
    """The vault that is away, if that is the reason."""
    secret: CredentialRef | None = None
    """The secret whose approval is waited for, if that is the reason."""
    paced: bool = False
    """Its turn did not come at a vault that limits its rate, if that is the reason."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of the password."""

    phase: Phase
    signal: Signal
    submitted: bool
    reread: Reread = Reread.NOT_DONE
    whole: bool = True
    """False: a failure counts as one logon, whatever the permit was asked for."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """Of who was let in."""


class Permit:
    """One attempt's permit for one candidate's account."""

    def __init__(
        self,
        job: Job,
        candidate: Candidate,
        desk: PermitDesk,
        wall: Callable[[], float],
        part: str = "",
        logons: int = 1,
    ) -> None:
        """`part`: which login of the attempt, where it has several. `logons`: as so many a failure counts."""
        self._job = job
        self._part = part
        self._logons = logons
        self._candidate = candidate
        self._desk = desk
        self._wall = wall
        self._holder = secrets.token_hex(8)
        self._open = False

    async def ask(self) -> Failure | Later | None:
        """None: the password may be submitted now. A skip has the fact `cause`; an admin's stop is its own reason."""
        job = self._job
        request = PermitRequest(
            run=job.run,
            job=job.job,
            attempt=job.attempt,
            lease=job.lease,
            holder=self._holder,
            account=self._candidate.account,
            record=self._candidate.record,
            part=self._part,
            valid_for=job.deadline + GRACE_S + READ_S * len(self._candidate.fallbacks),
            logons=self._logons,
        )
        self._open = True  # the pacer may hold a permit for us even if its answer never arrives
        try:
            answer = await self._desk.permit(request, wait=ANSWER_WAIT_S)
        except NoPacer as error:
            return Later("NO_PACER", self._wall() + DEFER_S, str(error))
        if answer.verdict is PermitVerdict.GRANTED:
            return None
        self._open = False
        match answer.verdict:
            case PermitVerdict.SKIP:
                reason = answer.cause if answer.cause == "STOPPED" else "SKIPPED_BREAKER"
                return Failure(Phase.PERMIT, named(reason), answer.text, {"cause": answer.cause})
            case PermitVerdict.DUPLICATE:
                return Failure(Phase.PERMIT, named("APPLIANCE_LOST"), answer.text)
            case _:
                return Later("PERMIT_WAIT", min(answer.until, self._wall() + DEFER_S), answer.text)

    async def give_back(self, verdict: Verdict) -> None:
        """Tell the pacer; once, also while being cancelled (shielded and bounded)."""
        if not self._open:
            return
        self._open = False
        job = self._job
        release = PermitRelease(
            run=job.run,
            job=job.job,
            attempt=job.attempt,
            lease=job.lease,
            holder=self._holder,
            part=self._part,
            technology=job.technology,
            account=self._candidate.account,
            phase=verdict.phase,
            signal=verdict.signal,
            submitted=verdict.submitted,
            logons=self._logons if verdict.whole else 1,
            reread=verdict.reread,
            facts={"auth_method": method} if (method := verdict.facts.get("auth_method")) is not None else {},
        )
        with anyio.move_on_after(RELEASE_WAIT_S, shield=True):
            try:
                await self._desk.release(release)
            except NoPacer:
                log.info("permit not returned yet: no pacer answers", job=job.job, attempt=job.attempt)
