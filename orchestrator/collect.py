"""What a report means for its job. Pure: one decision per report, no I/O.

The rules, stated here and nowhere else:

 C1 fencing     A report counts only for the job's open attempt and with that attempt's lease token; any other is stale.
 C2 rotation    A login refused while its secret changed in the vault gets one attempt with the new secret.
 C3 retry       A transient reason gets `pace.retries` more attempts, if nothing that counts towards lock-out was sent.
 C4 fallback    Where a service-selected Windows record was refused, a local record of the target gets one attempt.
 C5 deferral    An attempt that ended before anything was sent is dispatched again; that is no retry.
 C6 final       Everything else is the job's outcome.
"""

from __future__ import annotations

from dataclasses import dataclass

from appliance.classify import classify
from appliance.contract import Deferred, Evidence, Outcome, Phase, Report, Selection, named
from appliance.reasons import REASONS, Owner, Reason, Status, counts_towards_lockout
from orchestrator.dispatch import OpenAttempt, Pace, Repeat, deferred, repeat_of

RETRY_AFTER_S = 3.0


@dataclass(frozen=True, slots=True)
class Stale:
    """Not this job's open attempt, or not its lease."""


@dataclass(frozen=True, slots=True)
class Again:
    """The attempt ended; the job goes on with another one."""

    reason: Reason
    evidence: Evidence
    repeat: Repeat


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


def _deferral(report: Deferred, attempt: OpenAttempt, now: float) -> Decision:
    evidence = Evidence(phase=Phase.DISPATCH, signal=named(report.reason), text=report.text, views=report.views)
    reason = REASONS.get(report.reason, REASONS["INTERNAL"])
    for_vault = reason.owner is Owner.VAULT
    return Again(reason, evidence, deferred(attempt, not_before=report.not_before, for_vault=for_vault, now=now))  # C5


def _outcome(report: Outcome, attempt: OpenAttempt, pace: Pace, now: float) -> Decision:
    return _judge(report.evidence, attempt, pace, now)


def _judge(evidence: Evidence, attempt: OpenAttempt, pace: Pace, now: float) -> Decision:
    reason = classify(attempt.planned.technology, evidence)
    if reason.code == "ROTATED_MID_SCAN" and not attempt.rotations:  # C2
        return Again(reason, evidence, repeat_of(attempt, not_before=now, rotation=True))
    counted = counts_towards_lockout(reason, submitted=evidence.submitted)
    if reason.transient and not counted and attempt.retries < pace.retries:  # C3
        return Again(reason, evidence, repeat_of(attempt, not_before=now + RETRY_AFTER_S, retry=True))
    if _may_fall_back(reason, evidence, attempt):  # C4
        return Again(reason, evidence, repeat_of(attempt, not_before=now, tried=evidence.record))
    return Final(reason, evidence)  # C6


def _may_fall_back(reason: Reason, evidence: Evidence, attempt: OpenAttempt) -> bool:
    if reason.status is not Status.FAILED or not evidence.submitted:
        return False
    selection = {c.record: c.selection for c in attempt.planned.candidates}
    if selection.get(evidence.record) is not Selection.SERVICE_SELECTED:
        return False
    gone = {evidence.record, *attempt.tried}
    return any(s is Selection.LOCAL and record not in gone for record, s in selection.items())
