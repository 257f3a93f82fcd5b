"""One line of a report: an outcome, with what the reason table and the catalogue of findings say about it."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address

from appliance.contract import OUT_OF_SYNC, Evidence, Reread, Signal, SignalKind, Technology
from appliance.reasons import REASONS, Lockout, Owner, Qid, Reason, Status, qids
from orchestrator.report.result import Result
from orchestrator.store.records import OutcomeRow, PastAttempt


@dataclass(frozen=True, slots=True)
class ReportRow:
    """Texts are as they were found: a writer escapes them for its format. Times are Unix seconds."""

    run: str
    job: str
    host: str
    """The target as it was given: an address, or a name."""
    ip: str
    """Of a target that was given by name, the address that was dialled, and counts; empty where none was."""
    dns: str
    netbios: str
    os: str
    technology: Technology
    port: int
    status: Status
    reason: Reason
    blocked_by: str
    """Of a skipped target: the reason code that opened the account's breaker."""
    findings: tuple[Qid, ...]
    result: Result
    record: str
    user: str
    account: str
    vault: str
    secret: str
    appliance: str
    zone: str
    attempts: int
    evidence: Evidence
    finished_at: float
    earlier: tuple[PastAttempt, ...]
    """The attempts before the one that decided."""


def account_name(account: str) -> str:
    """`user@NAME` or `user@ADDRESS`, for people, of `user@dir:NAME` or `user@host:ADDRESS`."""
    return account.replace("@dir:", "@").replace("@host:", "@")


def report_row(outcome: OutcomeRow) -> ReportRow:
    target, evidence = outcome.target, outcome.evidence
    reason = _reason(outcome)
    literal = _is_literal(target.address)
    blocked_by = evidence.facts.get("cause", "") if reason.code == "SKIPPED_BREAKER" else ""
    return ReportRow(
        run=outcome.run,
        job=outcome.job,
        host=target.address,
        ip=target.address if literal else evidence.facts.get("address", ""),
        dns=target.fqdn or target.host if literal else target.address,
        netbios=evidence.facts.get("netbios_host", ""),
        os=evidence.facts.get("os", ""),
        technology=outcome.technology,
        port=outcome.port,
        status=outcome.status,
        reason=reason,
        blocked_by=blocked_by,
        findings=qids(reason, outcome.technology),
        result=Result(
            login=outcome.user,
            vault_title=outcome.vault,
            vault_type=outcome.vault_type,
            secret_name=outcome.secret,
            stage=evidence.phase.value,
            cause=f"{reason.code}: {reason.meaning}" + (f" Opened by {blocked_by}." if blocked_by else ""),
            evidence=_words(evidence),
            advice=reason.advice,
            proven=_proven(outcome.status, evidence),
        ),
        record=outcome.record,
        user=outcome.user,
        account=outcome.account,
        vault=outcome.vault,
        secret=outcome.secret,
        appliance=outcome.appliance,
        zone=outcome.zone,
        attempts=outcome.attempts,
        evidence=evidence,
        finished_at=outcome.finished_at,
        earlier=outcome.earlier,
    )


def _reason(outcome: OutcomeRow) -> Reason:
    """The table's row; what was stored has the last word on the status, so that totals and rows agree."""
    known = REASONS.get(outcome.reason)
    if known is not None and known.status is outcome.status:
        return known
    return Reason(
        outcome.reason,
        outcome.status,
        Owner.US,
        "This release's table has no such reason, or another status for it.",
        "Report the run with the release that made it.",
        Lockout.NO,
    )


def _words(evidence: Evidence) -> str:
    """The peer's own words, the raw signal where it adds to the reason, what the vault knows of a secret, and what NTLM
    was used instead of.
    """
    said = " ".join(filter(None, (evidence.text, _signal(evidence.signal))))
    instead = evidence.facts.get("kerberos", "")
    scheme = f"NTLMv2 in place of Kerberos ({instead})" if instead else ""
    return "; ".join(filter(None, (said, _vault_says(evidence), scheme)))


def _proven(status: Status, evidence: Evidence) -> tuple[tuple[str, str], ...]:
    """How a login was let in: what Qualys has in its table of authentication methods (QID 38307)."""
    facts = evidence.facts
    if status not in (Status.PASSED, Status.PASSED_LIMITED) or "auth_method" not in facts:
        return ()
    told = {
        "Authentication Scheme": facts["auth_method"],
        "Using sudo": "Yes" if facts.get("sudo") else "No",
        "Host name": facts.get("hostname", ""),
        "Operating system": facts.get("os", ""),
        "Kernel": facts.get("kernel", ""),
        "User ID": facts.get("uid", ""),
        "Groups": facts.get("groups", ""),
        "sudo rules": facts.get("sudo_rules", ""),
    }
    return tuple((label, value) for label, value in told.items() if value)


_LOOKS = {Reread.UNCHANGED: "still the same in the vault", Reread.CHANGED: "changed in the vault meanwhile"}


def _vault_says(evidence: Evidence) -> str:
    """After a second look at the secret: is it still in the vault, since when, and right as far as the vault knows?"""
    looked = _LOOKS.get(evidence.reread)
    if looked is None:
        return ""
    changed, heartbeat, at = map(evidence.facts.get, ("secret_changed", "heartbeat", "heartbeat_at"))
    parts = [looked]
    if changed:
        parts.append(f"last changed {changed}")
    if heartbeat:
        parts.append(f"heartbeat {heartbeat}" + (f" {at}" if at else ""))
    elif out_of_sync := evidence.facts.get(OUT_OF_SYNC):
        parts.append(out_of_sync)
    return ", ".join(parts)


def _signal(signal: Signal) -> str:
    match signal.kind:
        case SignalKind.OK | SignalKind.NAMED:
            return ""
        case SignalKind.DEADLINE:
            return "[deadline expired]"
        case SignalKind.KERBEROS:
            return f"[Kerberos {signal.name}]"
        case _:
            return f"[{signal.name}]"


def _is_literal(address: str) -> bool:
    try:
        ip_address(address)
    except ValueError:
        return False
    return True
