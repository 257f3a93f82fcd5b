"""MaxStartups and PerSourcePenalties by OpenSSH's own arithmetic."""

from __future__ import annotations

import pytest

from targets.sshd_policy import MaxStartups, Offence, Penalties


@pytest.mark.parametrize(("there", "chance"), [(0, 0), (9, 0), (10, 30), (55, 65), (99, 99), (100, 100), (500, 100)])
def test_max_startups_drops_more_the_more_there_are(there: int, chance: int) -> None:
    """sshd_config(5): "10:30:60" begins with 30 % at 10, and refuses all at 60."""
    policy = MaxStartups.of("10:30:100")
    dropped = sum(policy.drops(there, draw / 100) for draw in range(100))
    assert dropped == chance


def test_one_number_is_a_hard_limit() -> None:
    policy = MaxStartups.of("4")
    assert [policy.drops(there, 0.999) for there in (3, 4, 5)] == [False, True, True]


@pytest.mark.parametrize("text", ["", "10:30", "a", "0", "10:0:20", "10:101:20", "10:30:9", "-1:2:3"])
def test_what_is_no_max_startups(text: str) -> None:
    with pytest.raises(ValueError, match="max_startups"):
        MaxStartups.of(text)


def test_penalties_add_up_and_are_enforced_beyond_the_minimum_until_they_have_run_out() -> None:
    penalties = Penalties()
    for n in range(3):
        penalties.punish("127.0.0.1", Offence.AUTH_FAILED, 100.0)
        assert not penalties.refuses("127.0.0.1", 100.0), f"{5 * (n + 1)} s are not more than 15"
    penalties.punish("127.0.0.1", Offence.AUTH_FAILED, 100.0)
    assert penalties.refuses("127.0.0.1", 100.0)
    assert penalties.refuses("127.0.0.1", 119.9), "once enforced, to the end"
    assert not penalties.refuses("127.0.0.1", 120.1)
    assert not penalties.refuses("127.0.0.2", 100.0), "of that source alone"


def test_what_has_run_out_is_forgotten_and_the_maximum_holds() -> None:
    penalties = Penalties()
    for now in (0.0, 5.5, 11.0, 16.5):
        penalties.punish("a", Offence.AUTH_FAILED, now)
        assert not penalties.refuses("a", now)
    for _ in range(1000):
        penalties.punish("a", Offence.GRACE_EXCEEDED, 20.0)
    assert penalties.refuses("a", 20.0 + 600)
    assert not penalties.refuses("a", 20.1 + 600)


def test_probes_without_a_login_count_too() -> None:
    penalties = Penalties()
    for _ in range(16):
        assert not penalties.refuses("a", 0.0)
        penalties.punish("a", Offence.NO_AUTH, 0.0)
    assert penalties.refuses("a", 0.0)


def test_of_too_many_sources_the_first_to_run_out_is_forgiven() -> None:
    penalties = Penalties(sources_max=2)
    for n, source in enumerate("abc"):
        for _ in range(4):
            penalties.punish(source, Offence.AUTH_FAILED, n / 10)
    assert [penalties.refuses(source, 1.0) for source in "abc"] == [True, True, False], "c had least to go"
    for _ in range(4):
        penalties.punish("c", Offence.AUTH_FAILED, 100.0)
    assert [penalties.refuses(source, 100.0) for source in "abc"] == [False, False, True]
