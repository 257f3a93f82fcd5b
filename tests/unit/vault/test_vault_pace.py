"""The rate that a vault gives, found by asking it: against a bucket of tokens, under a clock of its own."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.vault.pace import CALM, FORGET, KEEP, LEAST, Pace
from tests.unit.vault.limited import Bucket, Client, clients, run


def refused(crowd: list[Client]) -> float:
    return sum(len(one.refused) for one in crowd) / sum(len(one.sent) for one in crowd)


def limited(pace: Pace, now: float = 0.0, pause: float = 0.0) -> None:
    pace.turned_away(pace.sent(now), now, pause)


def test_nobody_waits_where_nobody_was_turned_away() -> None:
    pace = Pace(lambda: 0.5)
    for n in range(1000):
        turn = pace.sent(0.0)
        assert (pace.rate, pace.due(0.0)) == (None, 0.0)
        pace.answered(turn, n / 1000)


@pytest.mark.parametrize("names_pause", [True, False])
@pytest.mark.parametrize("number", [1, 2, 4, 8])
def test_a_limit_is_used_up_and_seldom_exceeded(number: int, names_pause: bool) -> None:
    crowd = clients(number)
    run(Bucket(50, 10, names_pause), crowd, 90.0)
    assert sum(one.share(20.0, 90.0) for one in crowd) >= 0.85 * 50
    assert refused(crowd) < 0.1


@settings(max_examples=100, deadline=None)
@given(
    share=st.floats(2.0, 100.0),
    burst=st.integers(5, 100),
    number=st.integers(1, 4),
    seed=st.integers(0, 1000),
    latency=st.floats(0.001, 0.1),
    names_pause=st.booleans(),
)
def test_whatever_the_limit_it_is_found(
    share: float, burst: int, number: int, seed: int, latency: float, names_pause: bool
) -> None:
    per_second, crowd = share * number, clients(number, seed)
    run(Bucket(per_second, burst, names_pause), crowd, 90.0, latency=latency, seed=seed)
    possible = min(per_second, number * 8 / (1.5 * latency))
    assert sum(one.share(30.0, 90.0) for one in crowd) >= 0.7 * possible
    assert refused(crowd) < 0.2


def test_the_limit_is_found_within_seconds() -> None:
    crowd = clients(2)
    run(Bucket(50, 10), crowd, 12.0)
    assert sum(one.share(6.0, 12.0) for one in crowd) >= 0.7 * 50


def test_two_who_share_a_vault_come_to_have_equal_shares() -> None:
    first, late = crowd = [*clients(1, seed=3), *clients(1, seed=4, begins=20.0)]
    run(Bucket(50, 10), crowd, 180.0)
    assert first.share(10.0, 20.0) >= 0.7 * 50
    assert late.share(120.0, 180.0) >= 0.6 * first.share(120.0, 180.0)


def test_a_limit_that_falls_is_followed() -> None:
    vault, crowd = Bucket(200, 10), clients(2)
    run(vault, crowd, 60.0, events={30.0: lambda _: setattr(vault, "per_second", 20.0)})
    assert sum(one.share(40.0, 60.0) for one in crowd) >= 0.7 * 20
    assert sum(30.0 <= at < 60.0 for one in crowd for at in one.refused) < 60


def test_a_limit_that_rises_is_found_in_a_minute() -> None:
    vault, crowd = Bucket(20, 10), clients(2)
    run(vault, crowd, 60.0 + CALM + 20.0, events={60.0: lambda _: setattr(vault, "per_second", 200.0)})
    assert sum(one.share(65.0 + CALM, 80.0 + CALM) for one in crowd) >= 0.7 * 200


def test_a_limit_that_is_lifted_is_forgotten() -> None:
    vault, [client] = Bucket(20, 10), clients(1)
    run(vault, [client], 30.0 + CALM + 20.0, events={30.0: lambda _: setattr(vault, "per_second", 0.0)})
    assert client.pace.rate is None
    assert client.share(45.0 + CALM, 50.0 + CALM) >= 400  # 8 at once, 10 ms each, by a pace of none


def test_a_limit_that_nobody_needs_is_forgotten() -> None:
    pace = Pace(lambda: 0.0)
    limited(pace)
    pace.answered(pace.sent(1.0), FORGET - 1.0)
    assert pace.rate is not None
    pace.answered(pace.sent(1.0), FORGET)
    assert pace.rate is None


@given(st.floats(0.5, 300.0), st.floats(0.0, 1.0))
def test_nothing_is_sent_before_the_vault_says(pause: float, jitter: float) -> None:
    pace = Pace(lambda: jitter)
    limited(pace, 10.0, pause)
    assert pace.due(10.0) >= 10.0 + pause
    stale = pace.sent(10.0)
    limited(pace, 10.1, 0.0)
    pace.turned_away(stale, 10.2, 400.0)  # of the round before: its pause counts all the same
    assert pace.due(10.0) >= 410.2


def test_what_was_under_way_together_lowers_the_rate_once() -> None:
    pace = Pace(lambda: 0.0)
    turns = [pace.sent(0.0) for _ in range(8)]
    for turn in turns[:7]:
        pace.turned_away(turn, 0.1, 0.0)
    rate = pace.rate
    pace.turned_away(turns[7], 0.1, 0.0)
    assert pace.rate == rate
    assert [pace.holds(turn) for turn in turns] == [False] * 8


def test_a_rate_that_is_not_used_proves_nothing() -> None:
    pace = Pace(lambda: 0.0)
    limited(pace)
    rate = pace.rate
    for n in range(100):
        pace.answered(pace.sent(1.0 + n), 1.1 + n * 0.1)
    assert pace.rate == rate


def test_a_vault_that_answers_nobody_is_asked_ever_less_and_found_again() -> None:
    pace, now = Pace(lambda: 0.5), 0.0
    for _ in range(12):
        now = pace.due(now)
        pace.turned_away(pace.sent(now, waited=True), now, 0.0)
    assert pace.rate == LEAST
    assert not pace.serves(now, 15.0)
    asked = now
    while pace.rate < 20.0:
        now = pace.due(now)
        pace.answered(pace.sent(now, waited=True), now)
    assert now - asked <= 60.0
    assert pace.serves(now, 15.0)


def test_a_vault_that_nobody_asks_is_not_away() -> None:
    pace = Pace(lambda: 0.0)
    limited(pace)
    pace.answered(pace.sent(2.0, waited=True), 2.1)
    assert pace.serves(100.0, 15.0)
    pace.sent(100.0, waited=True)
    assert pace.serves(114.0, 15.0)
    assert not pace.serves(116.0, 15.0)


def test_one_who_gives_up_takes_no_turn() -> None:
    pace = Pace(lambda: 0.0)
    limited(pace)
    before = pace.due(1.0)
    pace.unsent(pace.sent(1.0))
    assert pace.due(1.0) == pytest.approx(before)


def test_turned_away_at_a_steady_rate_keeps_most_of_it() -> None:
    pace, now = Pace(lambda: 0.0), 0.0
    limited(pace)
    while now < 5.0:
        now = pace.due(now)
        pace.answered(pace.sent(now, waited=True), now)
    rate = pace.rate
    assert rate is not None
    limited(pace, now)
    assert pace.rate is not None
    assert KEEP * 0.3 * rate <= pace.rate <= KEEP * rate
