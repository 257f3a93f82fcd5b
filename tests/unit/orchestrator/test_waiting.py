from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from appliance.contract import Account
from orchestrator.waiting import Place, Waiting

PLACES: list[Place] = [
    (None, "", "V", "z"),
    (Account(authority="dir:a", user="u"), "", "V", "z"),
    (Account(authority="dir:b", user="u"), "10.0.0.0/24", "", "z"),
    (None, "", "V", "y"),
]


@given(st.lists(st.sampled_from(PLACES), max_size=30), st.dictionaries(st.sampled_from(PLACES), st.integers(0, 5)))
def test_who_fits_goes_in_order_and_the_others_stay_in_theirs(places: list[Place], room: dict[Place, int]) -> None:
    """As if each of them were asked, one after the other."""
    waiting, left = Waiting[int](), dict(room)
    for job, place in enumerate(places):
        waiting.put(place, job)
    taken = []
    for place, job in waiting.take(lambda place: left.get(place, 0) > 0):
        left[place] -= 1
        taken.append(job)
    expected, left = [], dict(room)
    for job, place in enumerate(places):
        if left.get(place, 0) > 0:
            left[place] -= 1
            expected.append(job)
    assert taken == expected
    assert len(waiting) == len(places) - len(taken)
    assert [job for _, job in waiting.take(lambda _: True)] == [j for j in range(len(places)) if j not in expected]
    assert len(waiting) == 0


def test_what_is_put_first_goes_first_in_its_order() -> None:
    waiting = Waiting[int]()
    waiting.put(PLACES[0], 3)
    waiting.put_first([(PLACES[1], 1), (PLACES[0], 2)])
    assert [job for _, job in waiting.take(lambda _: True)] == [1, 2, 3]


def test_whoever_wants_no_more_leaves_the_rest() -> None:
    waiting = Waiting[int]()
    for job in range(5):
        waiting.put(PLACES[job % 2], job)
    for place, job in waiting.take(lambda _: True):
        if job == 2:
            waiting.put_first([(place, job)])
            break
    assert [job for _, job in waiting.take(lambda _: True)] == [2, 3, 4]
