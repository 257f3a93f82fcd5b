"""The report as CSV, for spreadsheets: the columns of the field's authentication report first, then ours.

The order of columns is stable: a new one is added at the end. Cells cannot become formulas (`escape.csv_cell`). `IP`,
`DNS`, `Status`, `Cause`... are the field's own names; `Duration` is in seconds; times are ISO 8601 in UTC.
`Warnings` is of the row's vault, `Zone` is where the attempt that decided was sent. All of them: docs/reports.md.
"""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator

from appliance.contract import Technology
from orchestrator.exposure import exposures_of
from orchestrator.report.documents import instant
from orchestrator.report.escape import csv_cell
from orchestrator.report.rows import ReportRow
from orchestrator.report.summary import ReportRows
from orchestrator.store.records import RunRecord

HEADER = (
    "IP",
    "DNS",
    "NetBIOS",
    "OS",
    "Host Technology",
    "Instance",
    "Status",
    "Cause",
    "QID",
    "Reason",
    "Phase",
    "Record",
    "Vault",
    "Secret Name",
    "User",
    "Appliance",
    "Attempts",
    "Duration",
    "First Seen",
    "Last Seen",
    "Campaign",
    "Owner",
    "Advice",
    "Warnings",
    "Zone",
)

_TECHNOLOGY = {Technology.WINDOWS: "Windows", Technology.UNIX: "Unix"}


async def csv_report(run: RunRecord, rows: ReportRows) -> AsyncIterator[str]:
    """One line at a time, the header first."""
    yield _line(HEADER)
    warnings = exposures_of(run.snapshot)
    async for row in rows:
        yield _line((*_cells(run, row), warnings.get(row.vault, ""), row.zone))


def _cells(run: RunRecord, row: ReportRow) -> tuple[str, ...]:
    evidence = row.evidence
    cause = row.reason.meaning + (f" Opened by {row.blocked_by}." if row.blocked_by else "")
    return (
        row.ip,
        row.dns,
        row.netbios,
        row.os,
        _TECHNOLOGY[row.technology],
        f"port {row.port}" if row.port else "",
        row.status.value,
        f"{cause} {row.result.evidence}".strip(),
        " ".join(str(q.number) for q in row.findings),
        row.reason.code,
        evidence.phase.value,
        row.record,
        row.vault,
        row.secret,
        row.user,
        row.appliance,
        str(row.attempts),
        f"{evidence.total_ms / 1000:.3f}",
        instant(evidence.started_at) if evidence.started_at else "",
        instant(row.finished_at),
        run.campaign,
        row.reason.owner.value,
        row.result.advice,
    )


def _line(cells: tuple[str, ...]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer).writerow([csv_cell(cell) for cell in cells])
    return buffer.getvalue()
