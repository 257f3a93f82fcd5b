"""The command that a run which has not ended is left with: one that does what is said of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.assembly import Prepared, Selection, prepare
from orchestrator.campaign import parse_campaign
from orchestrator.cli.running import how_it_goes_on
from orchestrator.run_state import Hold, RunState, Standing
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


def test_another_releases_run_is_left_with_the_usual_command() -> None:
    made = prepare(parse_campaign(ARTICLE + GONE, "c.toml"), Selection(), run="r1", seed=1, now=0.0)
    assert isinstance(made, Prepared)
    held = Standing(RunState.PAUSED, Hold.WINDOW, "", "", 1.0)
    strange = replace(made.record, state=held.state, held=held.data(), snapshot={"schema": 99})
    assert how_it_goes_on(strange) == "`keymuster run --resume r1` goes on with it"
