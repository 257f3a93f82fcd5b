"""When a vault is left alone: the rules at the head of `breaker`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.contract import Failure
from appliance.vault.breaker import (
    AWAY,
    FIRST_PAUSE,
    LONGEST_PAUSE,
    LONGEST_REST,
    LONGEST_WAIT,
    OPEN_AFTER,
    Breaker,
    Probe,
    seconds_away,
)
from appliance.vault.failures import fail, reason_of

ILL = fail("VAULT_ERROR", "An error has occurred.")


def opened(at: float = 0.0) -> Breaker:
    breaker = Breaker(lambda: 1.0)
    for _ in range(OPEN_AFTER):
        breaker.failed(at, ILL)
    return breaker


def refused(breaker: Breaker, now: float) -> Failure:
    verdict = breaker.admit(now)
    assert isinstance(verdict, Failure), verdict
    return verdict


def test_failures_in_a_row_open_it() -> None:
    breaker = Breaker(lambda: 1.0)
    for _ in range(OPEN_AFTER - 1):
        breaker.failed(0.0, ILL)
        assert breaker.admit(0.0) is None
    breaker.failed(0.0, ILL)
    told = refused(breaker, 0.0)
    assert (reason_of(told), told.text) == ("VAULT_ERROR", ILL.text)
    assert seconds_away(told) == FIRST_PAUSE


def test_a_sign_of_life_ends_the_row() -> None:
    breaker = Breaker(lambda: 1.0)
    for _ in range(10 * OPEN_AFTER):
        for _ in range(OPEN_AFTER - 1):
            breaker.failed(0.0, ILL)
        breaker.alive()
    assert not breaker.is_open


def test_one_probes_and_the_others_wait() -> None:
    breaker = opened()
    assert breaker.admit(FIRST_PAUSE) == Probe()
    refused(breaker, FIRST_PAUSE)
    assert breaker.probed(FIRST_PAUSE, None) is None
    assert breaker.admit(FIRST_PAUSE) is None


def test_a_probe_that_is_given_up_leaves_the_turn() -> None:
    breaker = opened()
    assert breaker.admit(FIRST_PAUSE) == Probe()
    breaker.probe_given_up()
    assert breaker.admit(FIRST_PAUSE) == Probe()


@pytest.mark.parametrize("jitter", [0.8, 1.0, 1.2])
def test_pauses_double_up_to_the_longest(jitter: float) -> None:
    breaker, now, pauses = Breaker(lambda: jitter), 0.0, list[float]()
    for _ in range(OPEN_AFTER):
        breaker.failed(now, ILL)
    for _ in range(8):
        pauses.append(float(refused(breaker, now).facts[AWAY]))
        now += 2 * LONGEST_PAUSE
        assert breaker.admit(now) == Probe()
        breaker.probed(now, ILL)
    assert pauses[1:] == pytest.approx([min(2.0 * 2**n, LONGEST_PAUSE) * jitter for n in range(7)], abs=0.1)


def test_only_a_request_proper_makes_the_pause_short_again() -> None:
    breaker = opened()
    assert breaker.admit(10.0) == Probe()
    breaker.probed(10.0, None)
    for _ in range(OPEN_AFTER):
        breaker.failed(10.0, ILL)
    assert seconds_away(refused(breaker, 10.0)) == 2 * FIRST_PAUSE
    assert breaker.admit(20.0) == Probe()
    breaker.probed(20.0, None)
    breaker.alive()
    for _ in range(OPEN_AFTER):
        breaker.failed(20.0, ILL)
    assert seconds_away(refused(breaker, 20.0)) == FIRST_PAUSE


def test_a_pause_that_the_vault_asks_for_is_kept_without_a_probe() -> None:
    breaker, busy = Breaker(lambda: 1.0), fail("VAULT_RATE_LIMITED")
    breaker.asked_to_wait(0.0, LONGEST_WAIT, busy)
    assert breaker.admit(0.0) is None, "short ones are waited for in place"
    breaker.asked_to_wait(0.0, 60.0, busy)
    assert seconds_away(refused(breaker, 0.0)) == 60.0
    assert reason_of(refused(breaker, 59.0)) == "VAULT_RATE_LIMITED"
    assert breaker.admit(60.0) is None
    breaker.asked_to_wait(100.0, 1e9, busy)
    assert breaker.admit(100.0 + LONGEST_REST) is None


@given(st.lists(st.tuples(st.sampled_from(("ask", "fail", "live", "well", "ill", "leave")), st.floats(0, 40))))
def test_whatever_happens_one_probes_and_it_is_never_stuck(steps: list[tuple[str, float]]) -> None:
    breaker, now, probing = Breaker(lambda: 1.0), 0.0, False
    for what, later in steps:
        now += later
        if what == "fail":
            breaker.failed(now, ILL)
        elif what == "live":
            breaker.alive()
        elif what == "ask":
            verdict = breaker.admit(now)
            assert not (probing and verdict is not None and isinstance(verdict, Probe))
            probing = probing or isinstance(verdict, Probe)
        elif probing:
            probing = False
            if what == "leave":
                breaker.probe_given_up()
            else:
                breaker.probed(now, None if what == "well" else ILL)
    if probing:
        breaker.probe_given_up()
    assert not isinstance(breaker.admit(now + LONGEST_PAUSE * 1.01), Failure)
