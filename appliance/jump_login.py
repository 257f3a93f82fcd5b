"""One login at a jump host: permit, vault, one answer; and what its failures mean for the targets behind it.

What goes wrong at the jump host, or on the way to it, is no word on the target: it has reasons of its own (JUMP_*), and
the jump host's own reason stands beside them, as the fact `jump_reason` and in the text. What is the vault's or ours is
the same for both, and stays so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

import anyio

from appliance.classify import classify
from appliance.contract import (
    DEADLINE,
    OK,
    Candidate,
    Evidence,
    Failure,
    Job,
    Jump,
    Part,
    Phase,
    Reread,
    Selection,
    Target,
    Technology,
    View,
    named,
    peer_text,
)
from appliance.login import Gate
from appliance.permit import DEFER_S, Later, Permit, PermitDesk, Verdict
from appliance.phases import PhaseLedger
from appliance.reading import read_secret, second_look
from appliance.reasons import REASONS, Lockout, Status
from appliance.vault import CredentialSource, SecretHandle
from appliance.vault.breaker import AWAY
from appliance.vault.credential import Credential
from appliance.vault.turns import PACED

REFUSED_S = 10.0
AWAY_S = 3.0

_AWAY = frozenset(
    (
        "DNS_FAILED",
        "DNS_NO_ANSWER",
        "HOST_UNREACHABLE",
        "PORT_CLOSED",
        "PORT_FILTERED",
        "TCP_TIMEOUT",
        "CONNECTION_RESET",
        "BANNER_TIMEOUT",
        "KEX_TIMEOUT",
        "SSH_THROTTLED",
        "SSH_PENALTY",
    )
)
_SSH = frozenset(("NOT_SSH", "SSH_PROTOCOL", "KEX_NO_MATCH"))
_HOST_KEY = frozenset(("HOST_KEY_UNKNOWN", "HOST_KEY_CHANGED", "HOST_KEY_REVOKED"))
Refusal = Failure | Later


@dataclass(frozen=True, slots=True)
class Attempt:
    """The scan that makes a session."""

    job: Job
    candidate: Candidate
    """The jump host's login, in the form of a record's."""
    jump: Jump
    part: str
    facts: dict[str, str]
    views: list[View]


class Tools(Protocol):
    """What a login needs of its process."""

    @property
    def sources(self) -> Mapping[str, CredentialSource]: ...

    @property
    def desk(self) -> PermitDesk: ...

    @property
    def handshakes(self) -> anyio.CapacityLimiter: ...

    @property
    def wall(self) -> Callable[[], float]: ...


@dataclass(slots=True)
class Login:
    """The story of one login at a jump host."""

    tools: Tools
    attempt: Attempt
    job: Job
    gate: Gate
    ledger: PhaseLedger
    handle: SecretHandle

    async def story(self) -> Refusal | None:
        """None: the session stands."""
        strange = await self._negotiate()
        if strange is not None:
            return strange
        candidate, kit = self.attempt.candidate, self.tools
        self.ledger.enter(Phase.PERMIT)
        permit = Permit(self.job, candidate, kit.desk, kit.wall, self.attempt.part)
        verdict = Verdict(Phase.AUTH, DEADLINE, submitted=False)
        try:
            refused = await permit.ask()
            if refused is not None:
                return refused
            self.ledger.enter(Phase.VAULT)
            credential = await self._read(anew=self.job.rotated)
            if isinstance(credential, Failure):
                verdict = Verdict(credential.phase, credential.signal, submitted=False)
                return credential
            self.ledger.enter(Phase.AUTH)
            try:
                answer = await self.gate.authenticate(candidate, credential)
                if not isinstance(answer, Failure):
                    verdict = Verdict(Phase.AUTH, OK, submitted=True, facts=answer.facts)
                    return None
                verdict = Verdict(answer.phase, answer.signal, self.gate.submitted)
                reread = await self._second_look(answer, credential)
            finally:
                credential.forget()
            verdict = Verdict(answer.phase, answer.signal, self.gate.submitted, reread)
            if reread is Reread.CHANGED:
                return Later("ROTATED_MID_SCAN", kit.wall() + DEFER_S, answer.text)
            return answer
        finally:
            if verdict.signal == DEADLINE:  # cancelled: what was sent counts
                verdict = Verdict(Phase.AUTH, DEADLINE, self.gate.submitted)
            await permit.give_back(verdict)

    async def _negotiate(self) -> Failure | None:
        self.ledger.enter(Phase.NEGOTIATE)
        strange = await self.gate.greet()
        if strange is not None:
            return strange
        self.ledger.enter(Phase.LEASE)
        async with self.tools.handshakes:
            self.ledger.enter(Phase.NEGOTIATE)
            negotiated = await self.gate.negotiate()
        if isinstance(negotiated, Failure):
            return negotiated
        self.attempt.facts.update({f"jump_{key}": value for key, value in negotiated.facts.items()})
        return None

    async def _read(self, *, anew: bool) -> Credential | Failure:
        secret, views = self.attempt.jump.secret, self.attempt.views
        source, candidate, desk = self.tools.sources[secret.vault], self.attempt.candidate, self.tools.desk
        return await read_secret(
            self.job, candidate, self.handle, source, desk, views=views, anew=anew, label=secret.label
        )

    async def _second_look(self, refused: Failure, tried: Credential) -> Reread:
        """As at a target: the secret may have been rotated under us."""
        code = _reason(refused, submitted=self.gate.submitted)
        if not self.gate.submitted or REASONS[code].lockout is not Lockout.YES:
            return Reread.NOT_DONE
        found, _ = await second_look(partial(self._read, anew=True), tried, self.tools.wall)
        return found


def blamed(attempt: Attempt, refusal: Refusal, *, submitted: bool) -> Refusal:
    """The jump host's failure as the scan's own (J5)."""
    place = f"jump host {attempt.jump.place}"
    if isinstance(refusal, Later):
        return replace(refusal, text=f"{place}: {refusal.text}")
    facts, own = refusal.facts, _reason(refusal, submitted=submitted)
    attempt.facts.update({f"jump_{k}": v for k, v in facts.items() if k != "cause"})
    attempt.facts["jump_phase"] = refusal.phase.value
    code = _as_jump(own)
    text = peer_text(f"{place}: {own} in phase {refusal.phase}: {refusal.text}")
    kept = {key: value for key, value in facts.items() if key in ("cause", AWAY, PACED)}
    phase = Phase.VAULT if _of_vault(code) else Phase.JUMP
    return Failure(phase, named(code), text, {**kept, "jump_reason": own})


def as_candidate(record: str, jump: Jump) -> Candidate:
    return Candidate(
        record=record,
        user=jump.user,
        account=jump.account,
        secret=jump.secret,
        selection=Selection.IP,
        port=jump.port,
        private_key=jump.private_key,
        host_keys=jump.host_keys,
        crypto=jump.crypto,
    )


def as_job(attempt: Attempt) -> Job:
    """The attempt, as if the jump host were its target."""
    job, record = attempt.job, attempt.candidate.record
    changes = {
        "candidates": (attempt.candidate,),
        "tried": (),
        "target": Target(address=attempt.jump.address),
        "known_host_keys": job.known_jump_keys,
        "host_authorities": job.jump_authorities,
        "revoked_host_keys": job.revoked_jump_keys,
        "terms": tuple(
            t.model_copy(update={"part": Part.LOGIN}) for t in job.terms if t.part is Part.JUMP and t.record == record
        ),
    }
    return job.model_copy(update=changes)


def _reason(failure: Failure, *, submitted: bool) -> str:
    seen = Evidence(phase=failure.phase, signal=failure.signal, facts=failure.facts, submitted=submitted)
    return classify(Technology.UNIX, seen).code


def _as_jump(own: str) -> str:
    """What a jump host's own reason means for a target behind it (J5). What is the vault's or ours stays so."""
    for codes, code in ((_AWAY, "JUMP_UNREACHABLE"), (_SSH, "JUMP_SSH"), (_HOST_KEY, "JUMP_HOST_KEY")):
        if own in codes:
            return code
    if own == "SKIPPED_BREAKER":
        return "JUMP_SKIPPED"
    return "JUMP_REFUSED" if REASONS[own].status is Status.FAILED and not _of_vault(own) else own


def _of_vault(code: str) -> bool:
    return code.startswith(("VAULT_", "SECRET_"))


def for_others(failure: Failure) -> tuple[Failure, float]:
    """What the scans after it end with, and for how long (J3)."""
    code = failure.signal.name
    if code == "JUMP_REFUSED":
        facts = {**failure.facts, "cause": failure.facts["jump_reason"]}
        return Failure(Phase.JUMP, named("JUMP_SKIPPED"), failure.text, facts), REFUSED_S
    return failure, REFUSED_S if code in ("JUMP_SKIPPED", "STOPPED") else AWAY_S
