"""The command that a run which has not ended is left with: one that does what is said of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.assembly import Prepared, Selection, prepare
from orchestrator.campaign import parse_campaign
from orchestrator.cli.errors import BadInput
from orchestrator.cli.running import check_windows, how_it_goes_on, say_how_it_goes_on
from orchestrator.cli.starting import _more_to_come
from orchestrator.run_state import Hold, RunState, Standing
from orchestrator.store.records import RunRecord
from tests.unit.orchestrator.test_campaign import ARTICLE

GONE = '\n[[windows]]\nstart = 2020-01-31T22:00:00\nend = 2020-02-01T06:00:00\ntime_zone = "UTC"\n'
COMES = '\n[[windows]]\nstart = "22:00"\nend = "21:59"\ntime_zone = "UTC"\n'


@pytest.mark.parametrize(
    ("hold", "windows", "said"),
    [
        (Hold.HAND, "", "`keymuster resume r1` goes on with it"),
        (Hold.INTERRUPT, "", "`keymuster run --resume r1` goes on with it"),
        (Hold.INTERRUPT, GONE, "`keymuster run --resume r1` goes on with it"),
        (Hold.WINDOW, GONE + COMES, "`keymuster run --resume r1` goes on with it"),
        (Hold.WINDOW, GONE, "`keymuster cancel r1` ends it"),
    ],
)
def test_how_it_goes_on(hold: Hold, windows: str, said: str) -> None:
    made = prepare(parse_campaign(ARTICLE + windows, "c.toml"), Selection(), run="r1", seed=1, now=0.0)
    assert isinstance(made, Prepared)
    held = Standing(RunState.PAUSED, hold, "", "", 1.0)
    assert how_it_goes_on(replace(made.record, state=held.state, held=held.data())) == said


def test_no_run_is_begun_whose_windows_are_over() -> None:
    over, to_come = (parse_campaign(ARTICLE + windows, "c.toml") for windows in (GONE, GONE + COMES))
    check_windows(to_come)
    with pytest.raises(BadInput, match="a run would stay paused: name one to come, or leave them out"):
        check_windows(over)
    with pytest.raises(BadInput, match="they are those of run r0; run the campaign's file again, with a window"):
        check_windows(over, "r0")


def test_another_releases_run_is_left_with_the_usual_command() -> None:
    made = prepare(parse_campaign(ARTICLE + GONE, "c.toml"), Selection(), run="r1", seed=1, now=0.0)
    assert isinstance(made, Prepared)
    held = Standing(RunState.PAUSED, Hold.WINDOW, "", "", 1.0)
    strange = replace(made.record, state=held.state, held=held.data(), snapshot={"schema": 99})
    assert how_it_goes_on(strange) == "`keymuster run --resume r1` goes on with it"


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
