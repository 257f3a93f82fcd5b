"""What is said of a run that has not ended, by the command that would go on with it."""

from __future__ import annotations

import pytest

from orchestrator.cli.running import say_how_it_goes_on
from orchestrator.cli.starting import _more_to_come
from orchestrator.run_state import Hold, RunState, Standing
from orchestrator.store.records import RunRecord


def run(state: RunState, hold: Hold | None = None) -> RunRecord:
    return RunRecord("r1", "c", 1.0, state, 1, {}, held=Standing(state, hold, since=1.0).data() if hold else None)


RESUME, GO_ON = "`keymuster resume r1` goes on with it", "`keymuster run --resume r1` goes on with it"


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (run(RunState.FINISHED), ""),
        (run(RunState.CANCELLED), ""),
        (run(RunState.PAUSED, Hold.HAND), f"; it has not ended: {RESUME}"),
        (run(RunState.PAUSED, Hold.INTERRUPT), f"; it has not ended: {GO_ON}"),
        (run(RunState.ERROR), f"; it has not ended: {GO_ON}"),
        (run(RunState.RUNNING), "; it has not ended: running"),
        (run(RunState.CANCELLING), "; it has not ended: cancelling since 1970-01-01T00:00:00Z"),
    ],
)
def test_why_a_run_has_no_such_target_yet(record: RunRecord, said: str) -> None:
    assert _more_to_come(record) == said


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (run(RunState.PAUSED, Hold.HAND), f"{RESUME}\n"),
        (run(RunState.PAUSED, Hold.ALONE), f"{GO_ON}\n"),
        (run(RunState.FINISHED), ""),
    ],
)
def test_how_a_run_goes_on_that_was_left(record: RunRecord, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    say_how_it_goes_on(record)
    assert capsys.readouterr() == ("", said)
