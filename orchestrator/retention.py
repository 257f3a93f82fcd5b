"""Which runs may go: pure, and the only place where it is decided.

R1  A run that is to go on stays: queued, under way, paused by hand, by its window or with its service. One that was
    interrupted, and that nobody has gone on with for so long, has ended.
R2  A run that has something of a vault's (a check-out, an access request) stays until that is given back.
R3  The latest runs of each campaign stay, as many as are to be kept: `plan` reckons with what they took.
R4  Else it goes when it ended longer ago than it is to be kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from orchestrator.store.records import RunRecord


@dataclass(frozen=True, slots=True)
class Old:
    """A run that is old enough to go."""

    run: RunRecord
    ended_at: float
    stays: str
    """Why it stays all the same; empty for one that goes."""
    loses: str
    """What cannot be done any more once it is gone."""


def old_runs(
    runs: Sequence[RunRecord], *, before: float, keep: int, has_secrets: Collection[str], searched: Collection[str]
) -> list[Old]:
    """Those that ended before, oldest first. `has_secrets`: runs of R2; `searched`: those that `verify-clean` has
    searched for.
    """
    kept, seen = set[str](), Counter[str]()
    for run in sorted(runs, key=lambda r: (-r.created_at, r.id)):
        seen[run.campaign] += 1
        if seen[run.campaign] <= keep:
            kept.add(run.id)
    children = {run.parent: run.id for run in runs if run.parent}
    found = []
    for run in sorted(runs, key=lambda r: (r.created_at, r.id)):
        ended = run.finished_at if run.finished_at is not None else run.created_at
        if ended >= before:
            continue
        stays = ""
        if run.standing.is_open:
            stays = f"it is {run.state.value}: resume it, or cancel it"
        elif run.id in has_secrets:
            stays = "it has a check-out or an access request in a vault: the next run gives it back"
        elif run.id in kept:
            stays = f"--keep {keep}: it is one of the latest of its campaign"
        found.append(Old(run, ended, stays, _loses(run, children.get(run.id), searched)))
    return found


def _loses(run: RunRecord, child: str | None, searched: Collection[str]) -> str:
    lost = []
    if not run.state.over:
        lost.append("resume")
    lost.append("rerun")
    if run.id not in searched:
        lost.append("verify-clean (never done)")
    lost.append("audit")
    return ", ".join(lost) + (f"; run {child} is its rerun" if child else "")
