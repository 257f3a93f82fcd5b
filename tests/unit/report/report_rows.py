"""Outcomes for the tests of reports."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import replace

from appliance.contract import Evidence, Phase, PhaseTime, Reread, Signal, Target, Technology, named
from appliance.reasons import REASONS
from orchestrator.capacity.comparison import Foreseen
from orchestrator.capacity.spent import Spent
from orchestrator.report.rows import ReportRow, report_row
from orchestrator.store import OutcomeRow, RunRecord, RunState
from orchestrator.store.records import LogonCount, LogonSums, RunLogons

HOSTILE = "\x1b[31m[bold]red[/bold]\r\n=cmd|'/c calc'!A1\t\u202egpj.exe\x7f\ud800<b>"
"""What a peer might say: terminal codes, markup, line ends, a formula, a direction mark, DEL, half a surrogate pair."""

RUN = RunRecord("r1", "quarterly", 1_700_000_000.0, RunState.FINISHED, 7, {}, planned=1)


def outcome(
    reason: str = "PASSED",
    address: str = "10.0.0.1",
    *,
    technology: Technology = Technology.UNIX,
    phase: Phase = Phase.LOGOFF,
    signal: Signal | None = None,
    text: str = "",
    facts: dict[str, str] | None = None,
    reread: Reread = Reread.NOT_DONE,
    **changes: object,
) -> OutcomeRow:
    evidence = Evidence(
        phase=phase,
        signal=signal or named(reason),
        text=text,
        facts=facts or {},
        reread=reread,
        record="unix",
        started_at=1_700_000_000.25,
        phases=(PhaseTime(phase=Phase.TCP, ms=1.5), PhaseTime(phase=phase, ms=20.0)),
    )
    row = OutcomeRow(
        run="r1",
        job=f"job-{address}",
        technology=technology,
        target=Target(address=address),
        status=REASONS[reason].status,
        reason=reason,
        record="unix",
        user="scan",
        vault="Vault",
        vault_type="Thycotic Secret Server",
        secret="root",
        port=22,
        account="scan@dir:corp",
        evidence=evidence,
        attempts=1,
        appliance="a1",
        finished_at=1_700_000_001.0,
    )
    return replace(row, **changes)  # type: ignore[arg-type]  # the names and types are OutcomeRow's own


async def rows(*outcomes: OutcomeRow) -> AsyncIterator[ReportRow]:
    for one in outcomes:
        yield report_row(one)


def finished(outcomes: Iterable[OutcomeRow]) -> RunRecord:
    """The run that has these outcomes, and no more."""
    return replace(RUN, planned=len(list(outcomes)))


FORESEEN = Foreseen(
    duration_s=10.0, logins=40, views=50, failed=1, failed_at_most=9, bound_by=f"vault {HOSTILE!r}", runs=("r0",)
)


def foreseen_run(outcomes: Iterable[OutcomeRow]) -> RunRecord:
    """The same, with a prediction, and over in one piece after 20 s."""
    spent = Spent(RUN.created_at, RUN.created_at + 20).data()
    return replace(finished(outcomes), snapshot={"prediction": FORESEEN.data()}, spent=spent)


async def joined(pieces: AsyncIterator[str]) -> str:
    return "".join([piece async for piece in pieces])


def run_logons(*counts: LogonCount) -> RunLogons:
    """As the store adds them up and lists them."""
    of_kind = [[one for one in counts if ("@dir:" in one.account) == shared] for shared in (True, False)]
    ordered = (sorted(some, key=lambda one: (-one.failed, -one.granted, one.account)) for some in of_kind)
    directories, hosts = map(_sums, of_kind)
    return RunLogons(directories, hosts, tuple(one for some in ordered for one in some))


def _sums(counts: list[LogonCount]) -> LogonSums:
    granted, succeeded = sum(one.granted for one in counts), sum(one.succeeded for one in counts)
    failed = [one.failed for one in counts]
    return LogonSums(len(counts), granted, succeeded, sum(failed), max(failed, default=0))
