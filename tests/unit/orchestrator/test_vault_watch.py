"""Who waits for a vault that is away, and who looks: the rules at the head of `vault_watch`."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.vault_watch import FIRST_REST, LONGEST_ASKED, LONGEST_REST, Away, VaultWatch

PATIENCE = 120.0
ONE = ("A",)


def away(*jobs: str, since: float = 0.0) -> VaultWatch[str]:
    watch: VaultWatch[str] = VaultWatch(PATIENCE)
    watch.away("A", now=since, until=since + FIRST_REST)
    for job in jobs:
        watch.park("A", job)
    return watch


def test_only_those_wait_whom_no_other_vault_can_serve() -> None:
    watch = away()
    assert watch.parked_by(ONE, 1.0) == "A"
    assert watch.parked_by(("A", "B"), 1.0) is None
    assert watch.parked_by(("B",), 1.0) is None
    assert watch.parked_by((), 1.0) is None


def test_one_at_a_time_goes_out_to_look_and_ever_more_rarely() -> None:
    watch, now, went = away(*map(str, range(9))), 0.0, list[tuple[float, str]]()
    while now < PATIENCE - 1:
        went += [(now, job) for job in watch.released(now)]
        due = watch.next_due()
        now = PATIENCE if due is None else due
    assert [job for _, job in went] == list(map(str, range(len(went))))
    gaps = [after - before for (before, _), (after, _) in pairwise(went)]
    assert gaps == [2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    assert went[0][0] == FIRST_REST
    assert max(gaps) == LONGEST_REST


def test_an_attempt_that_was_sent_since_lets_all_go_on() -> None:
    watch = away("1", "2", since=10.0)
    assert watch.back("A", dispatched_at=9.0) == (), "it may have had its credential before"
    assert watch.those_away() == (Away("A", 10.0, 2),)
    assert watch.back("A", dispatched_at=12.0) == ("1", "2")
    assert watch.those_away() == ()
    assert watch.parked_by(ONE, 13.0) is None


def test_with_the_patience_all_go_out_and_nobody_waits_any_more() -> None:
    watch = away("1", "2", since=10.0)
    assert watch.gives_up_at(ONE) == 10.0 + PATIENCE
    assert watch.gives_up_at(("A", "B")) is None
    assert watch.next_due() == 10.0 + FIRST_REST
    assert watch.released(10.0 + PATIENCE) == ["1", "2"]
    assert watch.parked_by(ONE, 10.0 + PATIENCE) is None
    assert watch.gives_up_at(ONE) == 10.0 + PATIENCE, "what is sent now has no time left"
    assert (watch.parked, watch.next_due()) == (0, None)


def test_a_vault_may_ask_for_a_longer_rest_up_to_a_bound() -> None:
    watch: VaultWatch[str] = VaultWatch(1e6)
    watch.away("A", now=0.0, until=60.0)
    watch.park("A", "1")
    assert watch.released(59.0) == []
    watch.away("A", now=59.0, until=1e9)
    assert watch.next_due() == 59.0 + LONGEST_ASKED


def test_who_needs_two_vaults_that_are_away_waits_for_the_later_one() -> None:
    watch = away()
    watch.away("B", now=5.0, until=7.0)
    assert watch.parked_by(("A", "B"), 6.0) == "B"
    assert watch.gives_up_at(("A", "B")) == 5.0 + PATIENCE


@given(st.lists(st.tuples(st.sampled_from(("away", "back", "park", "step")), st.floats(0, 50)), max_size=60))
def test_nobody_is_lost_and_nobody_goes_twice(steps: list[tuple[str, float]]) -> None:
    watch: VaultWatch[str] = VaultWatch(PATIENCE)
    now, parked, gone = 0.0, list[str](), list[str]()
    for number, (what, later) in enumerate(steps):
        now += later
        match what:
            case "away":
                watch.away("A", now=now, until=now + later)
            case "back":
                gone += watch.back("A", now)
            case "park" if watch.parked_by(ONE, now):
                watch.park("A", str(number))
                parked.append(str(number))
            case _:
                gone += watch.released(now)
        assert len(parked) == len(gone) + watch.parked
    gone += watch.released(now + PATIENCE)
    assert sorted(gone) == sorted(parked)
