"""What a report means for its job. Pure: one decision per report, no I/O.

The rules, stated here and nowhere else:

 C1 fencing     A report counts only for the job's open attempt and with that attempt's lease token; any other is stale.
 C2 rotation    A login refused while its secret changed in the vault gets one attempt with the new secret.
 C3 retry       A transient reason gets `pace.retries` more attempts, if nothing that counts towards lock-out was sent.
 C4 fallback    Where a service-selected Windows record was refused, a local record of the target gets one attempt.
 C5 deferral    An attempt that ended before anything was sent is dispatched again; that is no retry. One that was put
                off for an approval spends nothing of the patience with its vault: whoever asks for it has a limit. Nor
                does one whose turn did not come at a vault that limits its rate: it answers others, and they end. One
                whose deadline struck while it queued for its permit was put off too: others had their turn meanwhile.
 C6 final       Everything else is the job's outcome.
 C7 vaults      A deferral may name a vault as away, or as one that has no room for more; an attempt that came to its
                target shows that its vault is there.
 C8 turned away A host that turned us away before the login (sshd's MaxStartups and PerSourcePenalties) is asked again
                after a while that doubles, for as long as `pace.throttle_patience` allows. That is no retry: nothing
                was tried.
 C9 cut off     An attempt that was cut off at the end of its run's window has not failed: its target's turn comes in
                the next one. What it had submitted counts in the ledger of permits, as ever.
 C10 recall     An attempt that was taken back from the queue of a zone without appliances, given to none, goes out
                again, to where its targets go now. That is no retry.
"""

from __future__ import annotations

from dataclasses import dataclass

from appliance.classify import classify
from appliance.contract import CUT, DEADLINE, Deferred, Evidence, Outcome, Phase, Report, Selection, named
from appliance.reasons import REASONS, Owner, Reason, Status, counts_towards_lockout
from orchestrator.attempts import OpenAttempt, Repeat, deferred, repeat_of, turned_away
from orchestrator.crowd import LONG_S, PUT_OFF
from orchestrator.dispatch import Dispatcher, Pace

RETRY_AFTER_S = 3.0
PERMIT_WAIT = "PERMIT_WAIT"
TURNED_AWAY = frozenset({"SSH_THROTTLED", "SSH_PENALTY"})
FIRST_BACK_OFF_S, LONGEST_BACK_OFF_S = 5.0, 60.0
"""sshd's shortest penalty is 15 s, and over on the third attempt; a crowd at its door may be gone sooner."""


@dataclass(frozen=True, slots=True)
class Stale:
    """Not this job's open attempt, or not its lease."""


@dataclass(frozen=True, slots=True)
class Again:
    """The attempt ended; the job goes on with another one."""

    reason: Reason
    evidence: Evidence
    repeat: Repeat
    away: str = ""
    """A vault that is away."""
    full: str = ""
    """A vault that limits its rate, and that has more attempts waiting than it can have."""


@dataclass(frozen=True, slots=True)
class Final:
    """The attempt's end is the job's outcome."""

    reason: Reason
    evidence: Evidence


Decision = Stale | Again | Final


def decide(report: Report, attempt: OpenAttempt | None, pace: Pace, *, now: float) -> Decision:
    """What to do about a report."""
    if attempt is None or attempt.attempt != report.attempt or attempt.lease != report.lease:  # C1
        return Stale()
    if isinstance(report, Deferred):
        return _deferral(report, attempt, now)
    return _outcome(report, attempt, pace, now)


def lost(attempt: OpenAttempt, pace: Pace, *, now: float, text: str) -> Decision:
    """What to do about an attempt whose appliance, or whose message, is gone."""
    return _judge(Evidence(phase=Phase.LEASE, signal=named("APPLIANCE_LOST"), text=text), attempt, pace, now)


def recalled(attempt: OpenAttempt, *, now: float, text: str) -> Again:  # C10
    """What becomes of an attempt that was taken back before any appliance had been given it."""
    evidence = Evidence(phase=Phase.DISPATCH, signal=named("APPLIANCE_LOST"), text=text)
    return Again(REASONS["APPLIANCE_LOST"], evidence, deferred(attempt, not_before=now, for_vault=False, now=now))


def _deferral(report: Deferred, attempt: OpenAttempt, now: float) -> Decision:
    evidence = Evidence(phase=Phase.DISPATCH, signal=named(report.reason), text=report.text, views=report.views)
    reason = REASONS.get(report.reason, REASONS["INTERNAL"])
    for_vault = reason.owner is Owner.VAULT and report.secret is None and not report.paced
    not_before, secret = report.not_before, report.secret
    repeat = deferred(attempt, not_before=not_before, for_vault=for_vault, now=now, waits_for=secret)
    if report.paced:
        return Again(reason, evidence, repeat, full=report.vault)  # C5
    return Again(reason, evidence, repeat, report.vault)  # C5


def _outcome(report: Outcome, attempt: OpenAttempt, pace: Pace, now: float) -> Decision:
    return _judge(report.evidence, attempt, pace, now)


def _judge(evidence: Evidence, attempt: OpenAttempt, pace: Pace, now: float) -> Decision:
    reason = classify(attempt.planned.technology, evidence)
    if evidence.signal == DEADLINE and CUT in evidence.facts:  # C9
        return Again(reason, evidence, deferred(attempt, not_before=now, for_vault=False, now=now))
    if reason.code == PERMIT_WAIT and not evidence.submitted and _waited(evidence) >= LONG_S:  # C5
        return Again(reason, evidence, deferred(attempt, not_before=now, for_vault=False, now=now))
    if reason.code == "ROTATED_MID_SCAN" and not attempt.rotations:  # C2
        return Again(reason, evidence, repeat_of(attempt, not_before=now, rotation=True))
    if reason.code in TURNED_AWAY and (later := _asked_again(attempt, pace, now)) is not None:  # C8
        return Again(reason, evidence, turned_away(attempt, not_before=later, now=now))
    counted = counts_towards_lockout(reason, submitted=evidence.submitted)
    may_retry = reason.transient and reason.code not in TURNED_AWAY and not counted
    if may_retry and attempt.retries < pace.retries:  # C3
        return Again(reason, evidence, repeat_of(attempt, not_before=now + RETRY_AFTER_S, retry=True))
    if _may_fall_back(reason, evidence, attempt):  # C4
        return Again(reason, evidence, repeat_of(attempt, not_before=now, tried=evidence.record))
    return Final(reason, evidence)  # C6


def _asked_again(attempt: OpenAttempt, pace: Pace, now: float) -> float | None:
    """When a host that turned us away is asked next; None where patience with it is over by then."""
    since = now if attempt.turned_away_since is None else attempt.turned_away_since
    later = now + min(FIRST_BACK_OFF_S * 2**attempt.turned_away, LONGEST_BACK_OFF_S)
    return later if later <= since + pace.throttle_patience else None


def note_vault(dispatcher: Dispatcher, attempt: OpenAttempt, decision: Again | Final, *, now: float) -> None:  # C7
    """Tell the dispatcher what an attempt shows of its vault; before its job is dispatched again."""
    if isinstance(decision, Again) and decision.full:
        dispatcher.vault_full(decision.full, now=now)
        return
    dispatcher.vault_has_room(attempt, now=now)
    if isinstance(decision, Again) and decision.away:
        dispatcher.vault_away(decision.away, now=now, until=decision.repeat.not_before)
    elif shown := _vault_shown(decision.evidence, attempt):
        dispatcher.vault_back(shown, attempt)


def permit_wait(decision: Decision) -> float | None:
    """How long the attempt had to wait for its permit, in seconds: PUT_OFF where that took too long, 0 where the
    deadline cut it off before it asked; None where it tells nothing of that.
    """
    if isinstance(decision, Stale):
        return None
    evidence = decision.evidence
    if decision.reason.code == PERMIT_WAIT and not evidence.submitted:
        return PUT_OFF
    if evidence.phase is Phase.PERMIT:
        return None  # refused: that says nothing of permits that lie idle
    if any(time.phase is Phase.PERMIT for time in evidence.phases):
        return _waited(evidence)
    return 0.0 if evidence.signal == DEADLINE else None


def _waited(evidence: Evidence) -> float:
    return sum(time.ms for time in evidence.phases if time.phase is Phase.PERMIT) / 1000


def _vault_shown(evidence: Evidence, attempt: OpenAttempt) -> str:
    """The title of the vault that was there for this attempt; empty where it tells nothing of a vault."""
    if evidence.phase in (Phase.PLAN, Phase.DISPATCH, Phase.LEASE, Phase.JUMP, Phase.VAULT):
        return ""
    vaults = dict.fromkeys(
        c.secret.vault for c in attempt.planned.candidates if c.record == evidence.record or not evidence.record
    )
    return next(iter(vaults)) if len(vaults) == 1 else ""


def _may_fall_back(reason: Reason, evidence: Evidence, attempt: OpenAttempt) -> bool:
    if reason.status is not Status.FAILED or not evidence.submitted:
        return False
    selection = {c.record: c.selection for c in attempt.planned.candidates}
    if selection.get(evidence.record) is not Selection.SERVICE_SELECTED:
        return False
    gone = {evidence.record, *attempt.tried}
    return any(s is Selection.LOCAL and record not in gone for record, s in selection.items())
