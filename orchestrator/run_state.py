"""The states of a run, and which order is allowed in which of them. Pure: time and who gave an order are arguments.

    queued -> running -> finished
    running -> pausing -> paused -> resuming -> running
    any that has not ended -> cancelling -> cancelled
    queued, running, resuming -> error -> resuming

The rules, stated here and nowhere else:

 S1 hold       A run that is paused, or about to be, says what holds it: somebody's word (`hand`), the command that ran
               it was told to end (`interrupt`), the service that ran it was (`restart`), its window (`window`), or no
               appliance was alive (`alone`).
 S2 by hand    What was paused by hand stays paused: `resume` alone lifts it, and no other hold takes its place.
 S3 going on   Every other hold ends by itself (a window that opens) or with `run --resume`; by `resume` too.
 S4 mind       A run that is still pausing may be told to resume: it goes on when what is in flight has ended.
 S5 cancelling Is for good; nothing but its own end follows.
 S6 nobody     A run whose process has died is what its state says of a run that nobody drives (`left_alone`): paused,
               with the hold it was about to have, or as interrupted; cancelling is to be ended by whoever comes next.
 S7 failing    A process that fails while it pauses or cancels leaves what it was told to do, not an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any


class RunState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    PAUSING = "pausing"
    PAUSED = "paused"
    RESUMING = "resuming"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"
    FINISHED = "finished"
    ERROR = "error"

    @property
    def over(self) -> bool:
        """Nothing more will come of the run."""
        return self in (RunState.CANCELLED, RunState.FINISHED)

    @property
    def under_way(self) -> bool:
        """Something of it may be in flight."""
        return self in (RunState.RUNNING, RunState.PAUSING, RunState.RESUMING, RunState.CANCELLING)


class Hold(StrEnum):
    """What keeps a paused run from going on."""

    HAND = "hand"
    INTERRUPT = "interrupt"
    RESTART = "restart"
    WINDOW = "window"
    ALONE = "alone"


class Act(StrEnum):
    """What may happen to a run."""

    BEGIN = "begin"
    """Its first attempts may go out."""
    PAUSE = "pause"
    DRAINED = "drained"
    """Nothing of it is in flight any more."""
    RESUME = "resume"
    """Somebody says so."""
    GO_ON = "go on"
    """Whatever held it is over; it lifts no hold by hand."""
    CANCEL = "cancel"
    CANCELLED = "cancelled"
    """Every target has its outcome."""
    FINISH = "finish"
    FAIL = "fail"


_Q, _R, _PG, _P = RunState.QUEUED, RunState.RUNNING, RunState.PAUSING, RunState.PAUSED
_RG, _CG, _C, _F, _E = (
    RunState.RESUMING,
    RunState.CANCELLING,
    RunState.CANCELLED,
    RunState.FINISHED,
    RunState.ERROR,
)
_NEXT: Mapping[Act, Mapping[RunState, RunState]] = {
    Act.BEGIN: {_Q: _R, _RG: _R},
    Act.PAUSE: {_Q: _P, _R: _PG, _RG: _PG, _PG: _PG, _P: _P},
    Act.DRAINED: {_PG: _P},
    Act.RESUME: {_P: _RG, _PG: _RG, _E: _RG, _RG: _RG, _Q: _Q},
    Act.GO_ON: {_P: _RG, _E: _RG, _RG: _RG, _Q: _Q},
    Act.CANCEL: {_Q: _CG, _R: _CG, _PG: _CG, _P: _CG, _RG: _CG, _E: _CG, _CG: _CG},
    Act.CANCELLED: {_CG: _C},
    Act.FINISH: {_R: _F, _PG: _F, _RG: _F},
    Act.FAIL: {_Q: _E, _R: _E, _RG: _E, _PG: _P, _CG: _CG, _P: _P, _E: _E},
}


@dataclass(frozen=True, slots=True)
class Standing:
    """A run's state, and who or what has brought it there."""

    state: RunState
    hold: Hold | None = None
    by: str = ""
    """Who gave the order, where somebody did."""
    why: str = ""
    since: float = 0.0
    """Unix seconds; of a hold or a cancellation."""

    @property
    def is_open(self) -> bool:
        """Somebody or something means to go on with it. A run that was interrupted, and that nobody goes on with, is
        not: it keeps no schedule waiting, and may be old enough to go.
        """
        if self.state is RunState.PAUSED:
            return self.hold in (Hold.HAND, Hold.WINDOW, Hold.RESTART)
        return self.state is RunState.QUEUED or self.state.under_way

    def data(self) -> dict[str, Any] | None:
        """Plain data of all but the state; None where there is nothing to say."""
        if self.hold is None and not self.since:
            return None
        hold = self.hold.value if self.hold is not None else None
        return {"hold": hold, "by": self.by, "why": self.why, "since": self.since}

    @classmethod
    def of(cls, state: RunState, data: Mapping[str, Any] | None) -> Standing:
        if data is None:
            return cls(state)
        hold = Hold(data["hold"]) if data["hold"] is not None else None
        return cls(state, hold, data["by"], data["why"], data["since"])

    @property
    def text(self) -> str:
        """For a human: what keeps it, since when, by whom, and why."""
        if self.hold is None and self.state not in (RunState.CANCELLING, RunState.CANCELLED):
            return self.state.value
        at = datetime.fromtimestamp(self.since, UTC)
        who = f" by {self.by}" if self.by else ""
        why = f": {self.why}" if self.why else ""
        how = f" ({_HOLDS[self.hold]})" if self.hold is not None else ""
        return f"{self.state}{how}{who} since {at:%Y-%m-%dT%H:%M:%SZ}{why}"


_HOLDS = {
    Hold.HAND: "by hand",
    Hold.INTERRUPT: "interrupted",
    Hold.RESTART: "until its service is there again",
    Hold.WINDOW: "outside its window",
    Hold.ALONE: "no appliance alive",
}


@dataclass(frozen=True, slots=True)
class NotAllowed:
    """The order is none for the state that the run is in; the text says what to do instead."""

    text: str


def step(
    run: str, now: Standing, act: Act, *, at: float, hold: Hold = Hold.HAND, by: str = "", why: str = ""
) -> Standing | NotAllowed:
    """What becomes of a run by an order; `hold` goes with a pause alone."""
    following = _NEXT[act].get(now.state)
    if following is None:
        return NotAllowed(_refusal(run, now, act))
    if act is Act.GO_ON and now.hold is Hold.HAND:  # S2
        return NotAllowed(
            f"run {run} is {now.text}; it stays so until `keymuster resume {run}`, whatever else is begun"
        )
    if act is Act.PAUSE:
        if now.hold in (Hold.HAND, hold):  # S2; and a second word of the same kind changes nothing
            return replace(now, state=following)
        return Standing(following, hold, by, why, at)
    if act is Act.CANCEL:
        return now if now.state is _CG else Standing(following, None, by, why, at)
    if following in (_P, _PG, _CG, _C):
        return replace(now, state=following)
    return Standing(following)


def left_alone(now: Standing, at: float) -> Standing:
    """What a run is that nobody drives, by the state that its last process has left (S6)."""
    match now.state:
        case RunState.PAUSING:
            return replace(now, state=RunState.PAUSED)
        case RunState.RUNNING | RunState.RESUMING:
            return Standing(RunState.PAUSED, Hold.INTERRUPT, why="its process has ended", since=at)
        case _:
            return now


def _refusal(run: str, now: Standing, act: Act) -> str:
    match now.state, act:
        case (RunState.FINISHED, _):
            return f"run {run} has finished; `keymuster rerun {run} --failed` tries its failures again"
        case (RunState.CANCELLED, _):
            return f"run {run} was cancelled; `keymuster rerun {run} --unreached` tries what it has not attempted"
        case (RunState.CANCELLING, _):
            return f"run {run} is being cancelled, and that is for good; `keymuster cancel {run}` sees it to its end"
        case (RunState.RUNNING, Act.RESUME | Act.GO_ON):
            return f"run {run} is under way"
        case (RunState.PAUSING, Act.GO_ON):
            return f"run {run} is pausing; `keymuster resume {run}` makes it go on"
        case (RunState.ERROR, Act.PAUSE):
            return f"run {run} has ended with an error, and nothing of it is under way; resume or cancel it"
        case _:
            return f"run {run} is {now.state}: it cannot {act} now"
