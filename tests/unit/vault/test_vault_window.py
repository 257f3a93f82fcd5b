"""How many requests a vault gets at once: the rules at the head of `window`, for any sequence of answers."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.vault.window import FIRST_WINDOW, LATE_SLACK, MEMORY, Sent, Window

KIND = "GET /api/v1/secrets/"
TOOK = 0.02


def round_trip(window: Window, now: float, took: float = TOOK) -> None:
    """As many requests as the window lets out, all answered at once."""
    sent = [window.sent(now, n + 1) for n in range(window.size)]
    for one in sent:
        window.answered(one, now + took, KIND)


def throttled(window: Window, now: float = 0.0) -> None:
    for one in [window.sent(now, n + 1) for n in range(window.size)]:
        window.refused(one)


@given(
    st.integers(1, 256),
    st.lists(
        st.tuples(st.sampled_from(("send", "answer", "refuse")), st.floats(0, 20), st.integers(0, 300)), max_size=200
    ),
)
def test_it_stays_between_one_and_the_ceiling(ceiling: int, steps: list[tuple[str, float, int]]) -> None:
    window = Window(ceiling)
    now, out = 0.0, list[Sent]()
    for what, later, which in steps:
        now += later
        if what == "send":
            out.append(window.sent(now, len(out) + 1))
        elif out:
            one = out.pop(which % len(out))
            window.refused(one) if what == "refuse" else window.answered(one, now, KIND)
        assert 1 <= window.size <= ceiling


@given(st.integers(1, 256), st.integers(1, 10))
def test_throttling_halves_it_once_per_round_trip(ceiling: int, rounds: int) -> None:
    window = Window(ceiling)
    expected = float(window.size)
    for turn in range(rounds):
        throttled(window, float(turn))
        expected = max(expected / 2, 1.0)
        assert window.size == int(expected)


def test_what_was_sent_before_a_narrowing_neither_narrows_nor_widens() -> None:
    window = Window(8)
    old = [window.sent(0.0, n + 1) for n in range(8)]
    window.refused(old[0])
    for one in old[1:4]:
        window.refused(one)
    for one in old[4:]:
        window.answered(one, 1.0, KIND)
    assert window.size == 4


@settings(deadline=None)
@given(st.integers(1, 64))
def test_it_recovers_by_one_a_round_trip(ceiling: int) -> None:
    window = Window(ceiling)
    for turn in range(12):
        throttled(window, float(turn))
    assert window.size == 1
    before = window.size
    for turn in range(3 * ceiling):
        round_trip(window, 100.0 + turn)
        assert window.size - before <= 1
        before = window.size
    assert window.size == ceiling
    assert not window.narrowed


def test_before_the_first_complaint_it_widens_with_every_answer() -> None:
    window = Window(100)
    round_trip(window, 0.0)
    assert window.size > FIRST_WINDOW + 1
    for turn in range(8):
        round_trip(window, 1.0 + turn)
    assert window.size == 100


def test_requests_that_do_not_use_it_do_not_widen_it() -> None:
    window = Window(100)
    for turn in range(50):
        window.answered(window.sent(float(turn), 1), turn + TOOK, KIND)
    assert window.size == FIRST_WINDOW


def test_a_late_answer_narrows_it_by_a_tenth() -> None:
    window = Window(8)
    round_trip(window, 0.0)
    late = window.sent(1.0, 1)
    window.answered(late, 1.0 + 3 * TOOK + LATE_SLACK + 0.01, KIND)
    assert window.size == 7
    assert window.narrowed


def test_each_kind_has_its_own_least_time() -> None:
    window = Window(8)
    round_trip(window, 0.0)
    window.answered(window.sent(1.0, 1), 9.0, "a search, which takes long")
    assert window.size == 8


def test_a_vault_that_is_slower_for_good_is_late_no_more() -> None:
    window = Window(8)
    round_trip(window, 0.0)
    for turn in range(40):
        round_trip(window, 10.0 + turn * MEMORY / 4, took=2.0)
    assert window.size == 8


def test_one_that_is_not_answered_while_others_are_tells_nothing_of_the_vault() -> None:
    window = Window(8)
    stuck = window.sent(0.0, 1)
    window.answered(window.sent(1.0, 2), 1.0 + TOOK, KIND)
    assert (window.unanswered(stuck), window.size, window.narrowed) == (False, 8, False)
    stuck = window.sent(2.0, 1)
    assert (window.unanswered(stuck), window.size, window.narrowed) == (True, 4, True)
