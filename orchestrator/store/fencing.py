"""Which report counts: pure, and the only place where it is decided.

F1  A report is heard once, by the attempt it names, with that attempt's lease: it ends the attempt. Any other (a
    repeat, another lease, an attempt nobody dispatched) changes nothing.
F2  A heard report decides what becomes of the job only when its attempt is the newest and the job has no outcome.
    An older attempt's evidence is kept, and no more.
F3  The first outcome of a job stays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from orchestrator.store.records import Settled

JobKey = tuple[str, str]
"""(run, job)"""


class Verdict(Enum):
    IGNORED = auto()
    KEPT = auto()
    """Ends its attempt, decides nothing (F2)."""
    DECIDES = auto()


@dataclass(frozen=True, slots=True)
class JobState:
    """A job before the reports."""

    open: Mapping[int, str]
    """Open attempts: number -> lease."""
    newest: int
    finished: bool


def judge(reports: Sequence[Settled], jobs: Mapping[JobKey, JobState]) -> list[Verdict]:
    """A verdict for each report, as if they came one after the other."""
    ended: set[tuple[JobKey, int]] = set()
    finished = {key for key, job in jobs.items() if job.finished}
    verdicts = []
    for report in reports:
        key = (report.run, report.job)
        job = jobs.get(key)
        mine = (key, report.attempt)
        if job is None or mine in ended or job.open.get(report.attempt) != report.lease:
            verdicts.append(Verdict.IGNORED)
            continue
        ended.add(mine)
        if key in finished or report.attempt != job.newest:
            verdicts.append(Verdict.KEPT)
            continue
        if report.final:
            finished.add(key)
        verdicts.append(Verdict.DECIDES)
    return verdicts
