"""Runs of one holder share the appliances, subnets and vaults by priority, and none of them starves."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from orchestrator.fair_shares import Party, fair_shares
from orchestrator.shared_room import Neighbourhood, RoomOf

PARTIES = st.lists(st.tuples(st.integers(1, 1000), st.integers(0, 3000)), min_size=1, max_size=12).map(
    lambda pairs: [Party(f"r{n}", priority, demand) for n, (priority, demand) in enumerate(pairs)]
)
ALOT = 10_000
TIED = [Party(f"r{n}", *one) for n, one in enumerate([(1, 2), (9, 4), (1, 2), (1, 2), (9, 4)])]
"""Of whom not all can have what they want, when everybody has had one place."""


@pytest.mark.parametrize(
    ("capacity", "parties", "shares"),
    [
        (256, [("a", 10, ALOT)], [256]),
        (256, [("a", 10, ALOT), ("b", 10, ALOT)], [128, 128]),
        (256, [("a", 30, ALOT), ("b", 10, ALOT)], [192, 64]),
        (256, [("a", 10, 6), ("b", 10, ALOT)], [6, 250]),
        (100, [("a", 10, 6), ("b", 30, ALOT), ("c", 10, ALOT)], [6, 70, 24]),
        (100, [("a", 10, 1), ("b", 10, 1)], [50, 50]),
        (2, [("a", 1000, ALOT), ("b", 1, ALOT), ("c", 1, ALOT)], [1, 1, 1]),
        (0, [("a", 10, ALOT), ("b", 10, ALOT)], [0, 0]),
        (100, [("a", 1000, ALOT), ("b", 1, ALOT)], [99, 1]),
    ],
)
def test_shares(capacity: int, parties: list[tuple[str, int, int]], shares: list[int]) -> None:
    assert list(fair_shares(capacity, [Party(*one) for one in parties]).values()) == shares


@given(st.integers(1, 2000), PARTIES)
def test_all_is_dealt_out_and_nobody_starves(capacity: int, parties: list[Party]) -> None:
    shares = fair_shares(capacity, parties)
    assert sum(shares.values()) == max(capacity, len(parties))
    assert min(shares.values()) >= 1


@given(st.integers(1, 2000), PARTIES)
def test_who_has_less_than_it_wants_has_its_part(capacity: int, parties: list[Party]) -> None:
    """Weighted max-min fairness, up to rounding: nobody who wants more has less for its weight than somebody who has
    more than it wants, or than somebody who wants as much.
    """
    shares = fair_shares(capacity, parties)
    for poor in parties:
        if shares[poor.run] >= poor.demand:
            continue
        for other in parties:
            if shares[other.run] > 1:
                allowed = (shares[poor.run] + 1) * other.priority / poor.priority + len(parties)
                assert shares[other.run] <= allowed, (poor, other, shares)


@example(7, TIED, Random(0))  # noqa: S311 - an order
@given(st.integers(1, 2000), PARTIES, st.randoms(use_true_random=False))
def test_the_order_of_runs_does_not_matter(capacity: int, parties: list[Party], rng: Random) -> None:
    shuffled = list(parties)
    rng.shuffle(shuffled)
    assert fair_shares(capacity, parties) == fair_shares(capacity, shuffled)


# -- subnets and vaults ------------------------------------------------------------------------------------------------


class Crowd:
    """Runs that would begin in one subnet whenever they may, and whose attempts end one after the other."""

    def __init__(self, caps: dict[str, int], priorities: dict[str, int]) -> None:
        self.all = Neighbourhood()
        self.all.priorities.update(priorities)
        self.rooms = {run: RoomOf(run, self.all, cap) for run, cap in caps.items()}
        self.begun = dict.fromkeys(caps, 0)
        self.open: list[str] = []

    def round(self, now: float, *, wanting: list[str] | None = None) -> None:
        for run in wanting if wanting is not None else self.rooms:
            self.rooms[run].at(now)
            while self.rooms[run].subnet_has_room("s"):
                self.rooms[run].count_subnet("s", 1)
                self.open.append(run)
                self.begun[run] += 1

    def end(self) -> None:
        if self.open:
            self.rooms[(run := self.open.pop(0))].count_subnet("s", -1)
            assert run


@given(
    st.lists(st.tuples(st.integers(1, 12), st.integers(1, 100)), min_size=1, max_size=5),
    st.integers(0, 10),
)
def test_a_subnet_keeps_its_smallest_cap_and_everybody_has_a_turn(runs: list[tuple[int, int]], seed: int) -> None:
    names = [f"r{n}" for n in range(len(runs))]
    crowd = Crowd(
        {name: cap for name, (cap, _) in zip(names, runs, strict=True)},
        {name: priority for name, (_, priority) in zip(names, runs, strict=True)},
    )
    rng, least = Random(seed), min(cap for cap, _ in runs)  # noqa: S311 - a schedule
    for turn in range(600):
        order = rng.sample(names, len(names))
        crowd.round(turn * 0.1, wanting=order)
        if turn > 60:  # whoever came first may have begun more before others asked
            assert len(crowd.open) <= least
        crowd.end()
    assert min(crowd.begun.values()) > 0


def test_a_subnet_is_shared_by_priority_and_left_to_who_wants_it() -> None:
    crowd = Crowd({"a": 8, "b": 8}, {"a": 30, "b": 10})
    for turn in range(400):
        crowd.round(turn * 0.1)
        crowd.end()
    assert crowd.begun["a"] / crowd.begun["b"] == pytest.approx(3.0, rel=0.2)
    for turn in range(400, 500):
        crowd.round(turn * 0.1, wanting=["b"])
        crowd.end()
    assert crowd.open == ["b"] * 7


def test_a_vault_that_limits_its_rate_is_shared_too() -> None:
    everybody = Neighbourhood()
    everybody.priorities |= {"a": 10, "b": 10}
    a, b = RoomOf("a", everybody), RoomOf("b", everybody)
    for room in (a, b):
        room.at(0.0)
    for _ in range(100):
        assert a.vault_has_room("https://v")
        a.count_vault("https://v", 1)
    a.vault_full("https://v", 0.0)
    assert not a.vault_has_room("https://v")
    assert not b.vault_has_room("https://v"), "99 are open of 99"
    assert b.vault_has_room("https://another")
    for _ in range(40):
        a.count_vault("https://v", -1)
    begun = 0
    while b.vault_has_room("https://v"):
        b.count_vault("https://v", 1)
        begun += 1
    assert begun == 39
    assert not a.vault_has_room("https://v"), "it has more than its half"
    a.leave()
    assert b.vault_has_room("https://v")


def test_a_run_that_leaves_holds_no_place() -> None:
    everybody = Neighbourhood()
    a, b = RoomOf("a", everybody, 2), RoomOf("b", everybody, 2)
    for _ in range(2):
        assert a.subnet_has_room("s")
        a.count_subnet("s", 1)
    assert not b.subnet_has_room("s")
    a.leave()
    assert b.subnet_has_room("s")
