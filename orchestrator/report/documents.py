"""Plain data for machines: what JSON and NDJSON say of a run, a target and the sums, under one schema version."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from appliance.reasons import Status
from orchestrator.campaign_fields import DEFAULT_PRIORITY
from orchestrator.run_state import Standing
from orchestrator.store.records import RunRecord

if TYPE_CHECKING:  # a list of runs needs none of what a report is made of
    from orchestrator.capacity.comparison import Comparison
    from orchestrator.report.accounts import Accounts
    from orchestrator.report.rows import ReportRow
    from orchestrator.report.summary import Summary

SCHEMA_VERSION = 1
"""Rises when a field goes or changes its meaning; a new field does not raise it."""

Document = dict[str, Any]


def run_document(run: RunRecord) -> Document:
    return {
        "id": run.id,
        "campaign": run.campaign,
        "state": run.state.value,
        "held": _held(run.standing),
        "priority": _priority(run),
        "parent": run.parent,
        "seed": run.seed,
        "created_at": instant(run.created_at),
        "finished_at": instant(run.finished_at) if run.finished_at is not None else None,
    }


def _priority(run: RunRecord) -> int:
    """Its own, or its campaign's; a run of before there were any has the usual one."""
    if run.priority is not None:
        return run.priority
    campaign = run.snapshot.get("campaign", {})
    return int(campaign.get("priority", DEFAULT_PRIORITY))


def _held(standing: Standing) -> Document | None:
    """What holds a run, or has ended it before its end."""
    if standing.data() is None:
        return None
    hold = standing.hold.value if standing.hold is not None else None
    return {"hold": hold, "by": standing.by or None, "why": standing.why or None, "since": instant(standing.since)}


def target_document(row: ReportRow) -> Document:
    evidence = row.evidence
    return {
        "target": row.host,
        "ip": row.ip or None,
        "dns": row.dns or None,
        "netbios": row.netbios or None,
        "technology": row.technology.value,
        "port": row.port or None,
        "status": row.status.value,
        "reason": row.reason.code,
        "blocked_by": row.blocked_by or None,
        "owner": row.reason.owner.value,
        "phase": evidence.phase.value,
        "findings": [
            {"qid": q.number, "title": q.title, "kind": q.kind, "severity": q.severity, "certainty": q.certainty}
            for q in row.findings
        ],
        "result": row.result.text(),
        "record": row.record or None,
        "user": row.user or None,
        "vault": row.vault or None,
        "secret": row.secret or None,
        "appliance": row.appliance or None,
        "zone": row.zone or None,
        "attempts": row.attempts,
        "earlier_attempts": [
            {"attempt": past.attempt, "reason": past.reason, "record": past.record or None, "submitted": past.submitted}
            for past in row.earlier
        ],
        "started_at": instant(evidence.started_at) if evidence.started_at else None,
        "finished_at": instant(row.finished_at),
        "duration_ms": round(evidence.total_ms, 3),
        "evidence": evidence.model_dump(mode="json", exclude={"started_at"}),
    }


def summary_document(summary: Summary) -> Document:
    totals = summary.totals
    return {
        "totals": {
            "planned": totals.planned,
            "passed": totals.of(Status.PASSED),
            "passed_limited": totals.of(Status.PASSED_LIMITED),
            "failed": totals.of(Status.FAILED),
            "not_attempted": totals.of(Status.NOT_ATTEMPTED),
            "open": totals.open,
            "complaint": summary.complaint or None,
        },
        "reasons": [
            {
                "technology": line.technology.value,
                "status": line.reason.status.value,
                "reason": line.reason.code,
                "targets": line.number,
            }
            for line in summary.lines
        ],
        "causes": [
            {
                "reason": cause.reason.code,
                "owner": cause.reason.owner.value,
                "shared": cause.factor.value or None,
                "value": cause.value or None,
                "targets": cause.targets,
                "skipped": cause.skipped,
                "advice": cause.reason.advice,
            }
            for cause in summary.causes
        ],
        "gates": [{"gate": gate.text, "actual": gate.actual, "ok": gate.ok} for gate in summary.gates],
        "warnings": list(summary.warnings),
        "prediction": _comparison_document(summary.comparison),
        "logons": _logons_document(summary.accounts),
    }


def _logons_document(accounts: Accounts) -> Document:
    both = (accounts.directories, accounts.hosts)
    return {
        "accounts": sum(one.accounts for one in both),
        "granted": sum(one.granted for one in both),
        "succeeded": sum(one.succeeded for one in both),
        "failed": sum(one.failed for one in both),
        "listed": [
            {
                "account": line.account,
                "shared": line.shared,
                "granted": line.granted,
                "succeeded": line.succeeded,
                "failed": line.failed,
                "failure_budget": line.budget.failures if line.budget else None,
                "failure_window_s": line.budget.window_s if line.budget else None,
            }
            for line in accounts.lines
        ],
    }


def _comparison_document(comparison: Comparison | None) -> Document | None:
    if comparison is None:
        return None
    told, rows = comparison.foreseen, tuple(comparison.rows())
    return {
        "predicted": {name: round(predicted, 3) for name, predicted, _ in rows},
        "actual": {name: round(actual, 3) for name, _, actual in rows},
        "failed_logons_at_most": told.failed_at_most,
        "bound_by": told.bound_by,
        "measured_in": list(told.runs),
    }


def instant(seconds: float) -> str:
    """Unix seconds as ISO 8601 in UTC, to the millisecond."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def dumps(document: Any, indent: int | None = None) -> str:
    """JSON in ASCII, so that no terminal obeys what a peer has said; DEL is the one control that `json` lets pass."""
    return json.dumps(document, ensure_ascii=True, allow_nan=False, indent=indent).replace("\x7f", "\\u007f")
