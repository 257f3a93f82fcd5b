"""The states of a run: each order in each state, what holds a paused run, and what a crash leaves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.run_state import Act, Hold, NotAllowed, RunState, Standing, left_alone, step

ALLOWED = {
    (RunState.QUEUED, Act.BEGIN): RunState.RUNNING,
    (RunState.QUEUED, Act.PAUSE): RunState.PAUSED,
    (RunState.QUEUED, Act.RESUME): RunState.QUEUED,
    (RunState.QUEUED, Act.GO_ON): RunState.QUEUED,
    (RunState.QUEUED, Act.CANCEL): RunState.CANCELLING,
    (RunState.QUEUED, Act.FAIL): RunState.ERROR,
    (RunState.RUNNING, Act.PAUSE): RunState.PAUSING,
    (RunState.RUNNING, Act.CANCEL): RunState.CANCELLING,
    (RunState.RUNNING, Act.FINISH): RunState.FINISHED,
    (RunState.RUNNING, Act.FAIL): RunState.ERROR,
    (RunState.PAUSING, Act.PAUSE): RunState.PAUSING,
    (RunState.PAUSING, Act.DRAINED): RunState.PAUSED,
    (RunState.PAUSING, Act.RESUME): RunState.RESUMING,
    (RunState.PAUSING, Act.CANCEL): RunState.CANCELLING,
    (RunState.PAUSING, Act.FINISH): RunState.FINISHED,
    (RunState.PAUSING, Act.FAIL): RunState.PAUSED,
    (RunState.PAUSED, Act.PAUSE): RunState.PAUSED,
    (RunState.PAUSED, Act.RESUME): RunState.RESUMING,
    (RunState.PAUSED, Act.GO_ON): RunState.RESUMING,
    (RunState.PAUSED, Act.CANCEL): RunState.CANCELLING,
    (RunState.PAUSED, Act.FAIL): RunState.PAUSED,
    (RunState.RESUMING, Act.BEGIN): RunState.RUNNING,
    (RunState.RESUMING, Act.PAUSE): RunState.PAUSING,
    (RunState.RESUMING, Act.RESUME): RunState.RESUMING,
    (RunState.RESUMING, Act.GO_ON): RunState.RESUMING,
    (RunState.RESUMING, Act.CANCEL): RunState.CANCELLING,
    (RunState.RESUMING, Act.FINISH): RunState.FINISHED,
    (RunState.RESUMING, Act.FAIL): RunState.ERROR,
    (RunState.CANCELLING, Act.CANCEL): RunState.CANCELLING,
    (RunState.CANCELLING, Act.CANCELLED): RunState.CANCELLED,
    (RunState.CANCELLING, Act.FAIL): RunState.CANCELLING,
    (RunState.ERROR, Act.RESUME): RunState.RESUMING,
    (RunState.ERROR, Act.GO_ON): RunState.RESUMING,
    (RunState.ERROR, Act.CANCEL): RunState.CANCELLING,
    (RunState.ERROR, Act.FAIL): RunState.ERROR,
}
BY_HAND = Standing(RunState.PAUSED, Hold.HAND, "alice", "maintenance", 5.0)


@pytest.mark.parametrize("act", list(Act))
@pytest.mark.parametrize("state", list(RunState))
def test_what_is_allowed_and_what_is_not(state: RunState, act: Act) -> None:
    new = step("r1", Standing(state), act, at=1.0)
    if (state, act) in ALLOWED:
        assert isinstance(new, Standing)
        assert new.state is ALLOWED[state, act]
    else:
        assert isinstance(new, NotAllowed)
        assert "run r1 " in new.text


@pytest.mark.parametrize(
    ("state", "act", "text"),
    [
        (RunState.FINISHED, Act.PAUSE, "run r1 has finished; `keymuster rerun r1 --failed`"),
        (RunState.CANCELLED, Act.RESUME, "run r1 was cancelled; `keymuster rerun r1 --unreached`"),
        (RunState.CANCELLING, Act.RESUME, "that is for good; `keymuster cancel r1` sees it to its end"),
        (RunState.RUNNING, Act.RESUME, "run r1 is under way"),
        (RunState.PAUSING, Act.GO_ON, "`keymuster resume r1` makes it go on"),
        (RunState.ERROR, Act.PAUSE, "resume or cancel it"),
    ],
)
def test_what_a_refusal_says(state: RunState, act: Act, text: str) -> None:
    refused = step("r1", Standing(state), act, at=1.0)
    assert isinstance(refused, NotAllowed)
    assert text in refused.text


def test_by_hand_only_resume_lifts_it() -> None:
    assert step("r", BY_HAND, Act.PAUSE, at=9.0, hold=Hold.INTERRUPT) == BY_HAND
    assert step("r", BY_HAND, Act.PAUSE, at=9.0, hold=Hold.WINDOW) == BY_HAND
    assert step("r", BY_HAND, Act.PAUSE, at=9.0, hold=Hold.HAND, by="bob") == BY_HAND
    refused = step("r", BY_HAND, Act.GO_ON, at=9.0)
    assert isinstance(refused, NotAllowed)
    assert "paused (by hand) by alice since 1970-01-01T00:00:05Z: maintenance" in refused.text
    assert "`keymuster resume r`" in refused.text
    assert step("r", BY_HAND, Act.RESUME, at=9.0) == Standing(RunState.RESUMING)


def test_a_pause_is_by_hand_unless_it_says_otherwise() -> None:
    assert step("r", Standing(RunState.RUNNING), Act.PAUSE, at=9.0, by="alice") == Standing(
        RunState.PAUSING, Hold.HAND, "alice", "", 9.0
    )


def test_a_hand_takes_the_place_of_another_hold() -> None:
    window = Standing(RunState.PAUSED, Hold.WINDOW, "", "opens at ten", 5.0)
    held = step("r", window, Act.PAUSE, at=9.0, hold=Hold.HAND, by="alice")
    assert held == Standing(RunState.PAUSED, Hold.HAND, "alice", "", 9.0)


def test_whoever_cancels_twice_is_told_who_was_first() -> None:
    first = step("r", Standing(RunState.RUNNING), Act.CANCEL, at=1.0, by="alice", why="wrong list")
    assert isinstance(first, Standing)
    assert step("r", first, Act.CANCEL, at=2.0, by="bob") == first
    done = step("r", first, Act.CANCELLED, at=3.0)
    assert isinstance(done, Standing)
    assert done.text == "cancelled by alice since 1970-01-01T00:00:01Z: wrong list"


def test_what_a_crash_leaves() -> None:
    pausing = Standing(RunState.PAUSING, Hold.HAND, "alice", "", 5.0)
    assert left_alone(pausing, 9.0) == Standing(RunState.PAUSED, Hold.HAND, "alice", "", 5.0)
    for state in (RunState.RUNNING, RunState.RESUMING):
        left = left_alone(Standing(state), 9.0)
        assert (left.state, left.hold) == (RunState.PAUSED, Hold.INTERRUPT)
    for state in (RunState.QUEUED, RunState.CANCELLING, RunState.CANCELLED, RunState.FINISHED, RunState.ERROR):
        assert left_alone(Standing(state), 9.0) == Standing(state)
    assert left_alone(BY_HAND, 9.0) == BY_HAND


@given(st.lists(st.tuples(st.sampled_from(Act), st.sampled_from(Hold), st.booleans()), max_size=40))
def test_whatever_happens_by_hand_stays_and_the_end_is_the_end(story: list[tuple[Act, Hold, bool]]) -> None:
    now, by_hand = Standing(RunState.QUEUED), False
    for n, (act, hold, crash) in enumerate(story):
        if crash:
            now = left_alone(Standing.of(now.state, now.data()), float(n))
        new = step("r", now, act, at=float(n + 1), hold=hold, by="x")
        if now.state.over:
            assert isinstance(new, NotAllowed)
        if isinstance(new, NotAllowed):
            continue
        if act is Act.PAUSE and hold is Hold.HAND:
            by_hand = True
        if act in (Act.RESUME, Act.CANCEL):
            by_hand = False
        now = new
        if by_hand and not now.state.over:
            assert now.state in (RunState.PAUSING, RunState.PAUSED)
            assert now.hold is Hold.HAND
        assert Standing.of(now.state, now.data()) == now
        assert (now.hold is not None) == (now.state in (RunState.PAUSING, RunState.PAUSED))
