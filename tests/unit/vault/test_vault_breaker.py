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


def doubted(jitter: float = 1.0) -> Breaker:
    breaker = Breaker(lambda: jitter)
    for _ in range(OPEN_AFTER):
        breaker.failed(ILL)
    return breaker


def found_ill(breaker: Breaker, now: float) -> None:
    assert breaker.admit(now) == Probe()
    assert breaker.probed(now, ILL) is not None


def opened(jitter: float = 1.0) -> Breaker:
    breaker = doubted(jitter)
    found_ill(breaker, 0.0)
    return breaker


def refused(breaker: Breaker, now: float) -> Failure:
    verdict = breaker.admit(now)
    assert isinstance(verdict, Failure), verdict
    return verdict


def test_failures_in_a_row_and_a_probe_that_confirms_them_open_it() -> None:
    breaker = Breaker(lambda: 1.0)
    for _ in range(OPEN_AFTER):
        assert breaker.admit(0.0) is None
        breaker.failed(ILL)
    found_ill(breaker, 0.0)
    told = refused(breaker, 0.0)
    assert (reason_of(told), told.text) == ("VAULT_ERROR", ILL.text)
    assert seconds_away(told) == FIRST_PAUSE


def test_secrets_that_fail_one_after_the_other_keep_nobody_from_a_vault_that_is_well() -> None:
    breaker = Breaker(lambda: 1.0)
    for _ in range(20):
        for _ in range(OPEN_AFTER):
            breaker.failed(ILL)
        assert breaker.admit(0.0) == Probe()
        assert breaker.admit(0.0) is None, "the others go on while one looks"
        assert breaker.probed(0.0, None) is None
        assert breaker.is_clear(0.0)


def test_a_sign_of_life_ends_the_doubt() -> None:
    breaker = doubted()
    assert not breaker.is_clear(0.0)
    breaker.alive()
    assert breaker.is_clear(0.0)
    assert breaker.admit(0.0) is None


def test_a_sign_of_life_ends_the_row() -> None:
    breaker = Breaker(lambda: 1.0)
    for _ in range(10 * OPEN_AFTER):
        for _ in range(OPEN_AFTER - 1):
            breaker.failed(ILL)
        breaker.alive()
        assert breaker.is_clear(0.0)


def test_one_probes_and_the_others_wait() -> None:
    breaker = opened()
    assert breaker.admit(FIRST_PAUSE) == Probe()
    refused(breaker, FIRST_PAUSE)
    assert breaker.probed(FIRST_PAUSE, None) is None
    assert breaker.admit(FIRST_PAUSE) is None


def test_a_probe_that_is_given_up_leaves_the_turn() -> None:
    for breaker, now in ((opened(), FIRST_PAUSE), (doubted(), 0.0)):
        assert breaker.admit(now) == Probe()
        breaker.probe_given_up()
        assert breaker.admit(now) == Probe()


@pytest.mark.parametrize("jitter", [0.8, 1.0, 1.2])
def test_pauses_double_up_to_the_longest(jitter: float) -> None:
    breaker, now, pauses = opened(jitter), 0.0, list[float]()
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
        breaker.failed(ILL)
    found_ill(breaker, 10.0)
    assert seconds_away(refused(breaker, 10.0)) == 2 * FIRST_PAUSE
    assert breaker.admit(20.0) == Probe()
    breaker.probed(20.0, None)
    breaker.alive()
    for _ in range(OPEN_AFTER):
        breaker.failed(ILL)
    found_ill(breaker, 20.0)
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
            breaker.failed(ILL)
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
