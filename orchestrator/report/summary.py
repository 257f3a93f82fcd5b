"""A run in numbers: outcomes by technology, status and reason, and the causes behind them. Pure over rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from dataclasses import dataclass

from appliance.contract import Technology
from appliance.reasons import REASONS, Reason, Status, counts_towards_lockout
from orchestrator.capacity.comparison import Comparison, compared
from orchestrator.exposure import exposures_of
from orchestrator.gates import GateResult
from orchestrator.report.accounts import NO_ACCOUNTS, Accounts
from orchestrator.report.causes import Cause, Causes
from orchestrator.report.rows import ReportRow
from orchestrator.run_state import RunState
from orchestrator.store.records import Count, Remainder, RunRecord, Totals

ReportRows = AsyncIterable[ReportRow]


@dataclass(frozen=True, slots=True)
class Line:
    """How many targets of a technology ended for a reason."""

    technology: Technology
    reason: Reason
    number: int


@dataclass(frozen=True, slots=True)
class Summary:
    run: RunRecord
    lines: tuple[Line, ...]
    """By technology, then by status in the order of `Status`, the commonest reason first."""
    causes: tuple[Cause, ...]
    gates: tuple[GateResult, ...] = ()
    comparison: Comparison | None = None
    """With what was predicted; None for a run that was stopped or resumed."""
    accounts: Accounts = NO_ACCOUNTS

    @property
    def totals(self) -> Totals:
        counts = (Count(line.technology, line.reason.status, line.reason.code, line.number) for line in self.lines)
        return Totals(self.run.planned, tuple(counts))

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the campaign has given leave to, and a reader may not want."""
        return tuple(exposures_of(self.run.snapshot).values())

    @property
    def complaint(self) -> str:
        """What is wrong with the totals, if anything is: planned = passed + passed* + failed + not attempted + open,
        and nothing is open in a finished run.
        """
        totals = self.totals
        if totals.open == 0 or (totals.open > 0 and self.run.state is not RunState.FINISHED):
            return ""
        return (
            f"the totals do not add up: {totals.finished} outcomes for {totals.planned} planned targets; "
            "please report this, with the run's store"
        )


class Summariser:
    """Counts rows on their way into a writer."""

    def __init__(self, run: RunRecord, gates: Sequence[GateResult] = (), accounts: Accounts = NO_ACCOUNTS) -> None:
        self._run = run
        self._accounts = accounts
        self._gates = tuple(gates)
        self._numbers: Counter[tuple[Technology, Reason]] = Counter()
        self._causes = Causes()
        self._logins = self._views = self._failed = 0

    async def counted(self, rows: ReportRows) -> AsyncIterator[ReportRow]:
        """The rows, each one counted."""
        async for row in rows:
            self.add(row)
            yield row

    def add(self, row: ReportRow) -> None:
        self._numbers[row.technology, row.reason] += 1
        self._causes.add(row)
        evidence = row.evidence
        self._logins += evidence.submitted + sum(past.submitted for past in row.earlier)
        self._views += len(evidence.views) + sum(past.views for past in row.earlier)
        ends = [(row.reason.code, evidence.submitted), *((past.reason, past.submitted) for past in row.earlier)]
        self._failed += sum(counts_towards_lockout(REASONS[code], submitted=s) for code, s in ends if code in REASONS)

    def add_together(self, technology: Technology, code: str, number: int) -> None:
        """Targets that were ended as a whole (`store.remainders`), without their rows."""
        reason = REASONS[code]
        self._numbers[technology, reason] += number
        self._causes.add_together(reason, number)

    def summary(self) -> Summary:
        order = list(Status)
        lines = [Line(technology, reason, number) for (technology, reason), number in self._numbers.items()]
        lines.sort(key=lambda e: (e.technology, order.index(e.reason.status), -e.number, e.reason.code))
        run = self._run
        beside = compared(run.snapshot, run.spent, logins=self._logins, views=self._views, failed=self._failed)
        return Summary(run, tuple(lines), self._causes.found(), self._gates, beside, self._accounts)


async def summarise(
    run: RunRecord,
    rows: ReportRows,
    gates: Sequence[GateResult] = (),
    together: Sequence[Remainder] = (),
    accounts: Accounts = NO_ACCOUNTS,
) -> Summary:
    """`together`: what the rows leave out."""
    summariser = Summariser(run, gates, accounts)
    async for _ in summariser.counted(rows):
        pass
    for part in together:
        summariser.add_together(part.technology, part.reason, part.behind - part.first)
    return summariser.summary()
