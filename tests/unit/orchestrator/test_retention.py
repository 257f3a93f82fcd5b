"""Which old runs go, which stay, and why."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.retention import old_runs
from orchestrator.run_state import Hold, Standing
from orchestrator.store import RunRecord, RunState


def run(name: str, at: float, state: RunState = RunState.FINISHED, campaign: str = "c", **more: object) -> RunRecord:
    record = RunRecord(name, campaign, at, state, 1, {}, finished_at=at + 1 if state is not RunState.QUEUED else None)
    return replace(record, **more)  # type: ignore[arg-type]


RUNS = [run("r1", 1.0), run("r2", 2.0), run("r3", 3.0), run("other", 2.5, campaign="d")]


def fates(*runs: RunRecord, before: float = 10.0, keep: int = 0, held: set[str] = frozenset()) -> dict[str, str]:  # type: ignore[assignment]
    return {old.run.id: old.stays for old in old_runs(runs, before=before, keep=keep, has_secrets=held, searched=())}


def test_runs_that_ended_before_go_oldest_first() -> None:
    assert list(fates(*reversed(RUNS), before=3.6)) == ["r1", "r2", "other"]
    assert set(fates(*RUNS).values()) == {""}


def test_the_latest_of_each_campaign_stay() -> None:
    found = fates(*RUNS, keep=1)
    assert {name for name, stays in found.items() if stays} == {"r3", "other"}
    assert found["r3"] == "--keep 1: it is one of the latest of its campaign"
    assert {name for name, stays in fates(*RUNS, keep=2).items() if not stays} == {"r1"}


@pytest.mark.parametrize("state", [RunState.QUEUED, RunState.RUNNING, RunState.PAUSING, RunState.CANCELLING])
def test_an_open_run_stays_whatever_its_age(state: RunState) -> None:
    assert fates(run("r0", 0.0, state))["r0"].startswith(f"it is {state.value}")


@pytest.mark.parametrize(
    ("hold", "stays"), [(Hold.HAND, True), (Hold.WINDOW, True), (Hold.INTERRUPT, False), (Hold.ALONE, False)]
)
def test_a_paused_run_stays_where_somebody_means_to_go_on(hold: Hold, stays: bool) -> None:
    paused = run("r0", 0.0, RunState.PAUSED, held=Standing(RunState.PAUSED, hold, since=1.0).data())
    assert fates(paused)["r0"].startswith("it is paused") == stays


def test_a_run_that_has_something_of_a_vaults_stays() -> None:
    assert "check-out or an access request" in fates(*RUNS, held={"r1"})["r1"]


def test_what_is_lost_is_said() -> None:
    again = run("r4", 4.0, RunState.PAUSED, parent="r1")
    told = {o.run.id: o.loses for o in old_runs([*RUNS, again], before=9, keep=0, has_secrets=(), searched={"r2"})}
    assert told["r1"] == "rerun, verify-clean (never done), audit; run r4 is its rerun"
    assert told["r2"] == "rerun, audit"
    assert told["r4"] == "resume, rerun, verify-clean (never done), audit"
