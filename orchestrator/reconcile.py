"""Which attempts the bus has lost. Pure: a snapshot of the bus and the open attempts in, lost attempts out.

The rules, stated here and nowhere else. An attempt is lost when no message of it can still be on its way:

 L1 unplaced    The server never confirmed it, and it is not on the stream now that CONFIRM_S have passed.
 L2 wiped       It was placed in another epoch of the stream: the store under the bus is new.
 L3 ended       The stream has ended everything up to its sequence number, or has nothing of the run left to give or to
                wait for (it took the attempt for a duplicate of one that it had dropped), and yet no report of it came.

L2 and L3 wait until an appliance that may be working on it must have ended: its deadline and GRACE_S. No attempt is
lost while reports still wait to be read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from appliance.bus import Placed, RunView

CONFIRM_S = 20.0
GRACE_S = 5.0


@dataclass(frozen=True, slots=True)
class Suspect:
    """An open attempt, as the reconciler sees it."""

    job: str
    attempt: int
    dispatched_at: float
    placed: Placed | None


@dataclass(frozen=True, slots=True)
class Lost:
    job: str
    attempt: int
    why: str


def reconcile(
    attempts: Iterable[Suspect], view: RunView, noticed: Mapping[tuple[str, int], float], *, deadline: float, now: float
) -> tuple[tuple[Lost, ...], dict[tuple[str, int], float]]:
    """The attempts that are lost, and since when each suspicion stands (to be handed in again next time)."""
    if view.reports_waiting:
        return (), dict(noticed)
    lost: list[Lost] = []
    since: dict[tuple[str, int], float] = {}
    for suspect in attempts:
        why = _suspicion(suspect, view, now)
        if not why:
            continue
        key = (suspect.job, suspect.attempt)
        first = noticed.get(key, now)
        if now - first >= deadline + GRACE_S:
            lost.append(Lost(suspect.job, suspect.attempt, why))
        else:
            since[key] = first
    return tuple(lost), since


def _suspicion(suspect: Suspect, view: RunView, now: float) -> str:
    quiet = view.waiting == 0 and view.leased == 0
    if suspect.placed is None:  # L1
        return "the bus never confirmed the job" if quiet and now - suspect.dispatched_at >= CONFIRM_S else ""
    if suspect.placed.epoch != view.epoch:  # L2
        return "the bus lost its store"
    if suspect.placed.seq <= view.ack_floor:  # L3
        return "the bus ended the job without a report"
    if suspect.placed.seq > view.last_seq:  # L2: an epoch that looks alike but ends earlier
        return "the bus lost the job"
    return "the bus has nothing left of the job" if quiet else ""  # L3
