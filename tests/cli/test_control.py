"""`pause`, `resume`, `cancel` and `priority` without a run that could be told so: each kind of bad input."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from orchestrator.run_state import Act, RunState, Standing
from orchestrator.store import RunRecord, open_store
from tests.acceptance.product import Ended
from tests.cli.refusals import here, refused
from tests.schemas import conforms

RUN = "20270101-000000-abcd"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    (tmp_path / "state").mkdir(mode=0o700)
    return tmp_path / "state"


def say(state: Path, *arguments: str) -> Ended:
    return here(*arguments, "--state", state)


def stored(state: Path, standing: Standing) -> None:
    async def add() -> None:
        store = await open_store(state / "keymuster.db")
        await store.runs.add(RunRecord(RUN, "c", 1.0, standing.state, 1, {"campaign": {}}, held=standing.data()))
        await store.close()

    asyncio.run(add())


@pytest.mark.parametrize("order", [Act.PAUSE, Act.RESUME, Act.CANCEL])
def test_a_run_that_is_not_there(state: Path, order: Act) -> None:
    refused(say(state, order, RUN), "there is no run in")
    stored(state, Standing(RunState.FINISHED))
    refused(say(state, order, "other"), "there is no run other; `keymuster runs` lists them")


@pytest.mark.parametrize("order", [Act.PAUSE, Act.RESUME, Act.CANCEL])
def test_a_run_that_has_finished(state: Path, order: Act) -> None:
    stored(state, Standing(RunState.FINISHED))
    refused(say(state, order, RUN), f"run {RUN} has finished; `keymuster rerun {RUN} --failed`")


def test_a_reason_of_two_lines(state: Path) -> None:
    stored(state, Standing(RunState.RUNNING))
    refused(say(state, "pause", RUN, "--why", "two\nlines"), "--why: the reason must be one line")


def test_a_run_of_nobody_is_paused_and_shown_so(state: Path) -> None:
    stored(state, Standing(RunState.RUNNING))
    paused = say(state, "pause", RUN, "--why", "maintenance")
    assert paused.code == 0, paused.stderr
    assert paused.stdout.startswith(f"run {RUN}: paused (by hand) by ")
    assert paused.stdout.endswith(": maintenance\n")
    shown = say(state, "runs", "--json")
    conforms(shown.document, "runs")
    (run,) = shown.document["runs"]
    assert (run["state"], run["held"]["hold"], run["held"]["why"], run["priority"]) == (
        "paused", "hand", "maintenance", 10
    )  # fmt: skip
    assert "by hand" in say(state, "runs").stdout
    refused(say(state, "run", "--resume", RUN), "it stays so until `keymuster resume")


def test_priority(state: Path) -> None:
    stored(state, Standing(RunState.PAUSED))
    assert say(state, "priority", RUN, "40").stdout == f"run {RUN}: priority 40\n"
    conforms(again := say(state, "priority", RUN, "50", "--json").document, "runs")
    assert again["runs"][0]["priority"] == 50
    assert say(state, "priority", RUN, "0").code == 2


def test_nobody_prefers_a_run_that_is_over(state: Path) -> None:
    stored(state, Standing(RunState.FINISHED))
    refused(say(state, "priority", RUN, "40"), "is finished: nothing of it is left")
