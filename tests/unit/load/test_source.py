"""Arrivals as the dispatcher sees them."""

from __future__ import annotations

from collections import Counter
from itertools import count

import pytest

from appliance.contract import Candidate
from orchestrator.attempts import Planned
from orchestrator.dispatch import Dispatcher, Pace
from orchestrator.load.source import CURSOR, Arrivals, arrival_of_job, job_of_arrival
from orchestrator.stops import Stop
from orchestrator.zones import DEFAULT_ZONE
from tests.unit.load.arrivals import BEGAN, a_plan, some_arrivals

PACE = Pace(3.0, 5.0, retries=0)


def dispatcher(arrivals: Arrivals) -> Dispatcher:
    leases = count()
    return Dispatcher(arrivals, PACE, {}, lambda: f"lease {next(leases)}", lambda _: 2, arrivals.due)


def taken(out: Dispatcher, at: float, *, capacity: int = 100) -> list[int]:
    def no_stop(_: Candidate) -> Stop | None:
        return None

    batch = out.step(capacity={DEFAULT_ZONE: capacity}, now=BEGAN + at, broken=lambda _: False, stop_on=no_stop)
    return [arrival_of_job(attempt.planned.job) for attempt in batch.attempts]


def test_targets_come_in_the_plans_order_and_again_from_the_first() -> None:
    arrivals = some_arrivals(hosts=3)
    units = [arrivals.at(CURSOR, n) for n in range(9)]
    addresses = [unit.target.address for unit in units]
    assert addresses[:3] == [unit.target.address for unit in a_plan(3).plan.walk()]
    assert addresses == addresses[:3] * 3
    assert [unit.job for unit in units] == [job_of_arrival(n) for n in range(9)]
    assert all(
        isinstance(unit, Planned) and unit.candidates[0].secret.key == f"unix-{unit.target.address}" for unit in units
    )


def test_they_are_taken_in_order_alone() -> None:
    arrivals = some_arrivals()
    arrivals.at(CURSOR, 0)
    with pytest.raises(LookupError, match="arrival 2 was asked for, and 1 is next"):
        arrivals.at(CURSOR, 2)


def test_the_dispatcher_takes_what_is_due_and_no_more() -> None:
    out = dispatcher(some_arrivals(10.0))
    assert taken(out, -0.1) == []
    assert out.next_due() == BEGAN
    assert taken(out, 0.0) == [0]
    assert taken(out, 0.35) == [1, 2, 3]
    assert taken(out, 0.35) == []
    assert out.next_due() == pytest.approx(BEGAN + 0.4)
    assert not out.finished


def test_before_the_start_nothing_is_due() -> None:
    arrivals = some_arrivals()
    arrivals.began = float("inf")
    out = dispatcher(arrivals)
    assert taken(out, 1e9) == []
    assert arrivals.waiting(BEGAN + 1e9) == 0


def test_what_finds_no_room_waits_and_nobody_is_woken_for_it() -> None:
    arrivals = some_arrivals(10.0)
    out = dispatcher(arrivals)
    assert taken(out, 1.0, capacity=1) == [0, 1, 2, 3]
    assert arrivals.waiting(BEGAN + 1.0) == 7
    assert taken(out, 2.0, capacity=1) == []
    assert out.next_due() is None, "an end makes room, and wakes whoever dispatches"
    out.close(job_of_arrival(1))
    assert taken(out, 2.0, capacity=1) == [4]


def test_it_is_finished_when_the_last_arrival_has_ended() -> None:
    out = dispatcher(some_arrivals(10.0, 1.0))
    jobs = taken(out, 1.0)
    assert Counter(jobs) == Counter(range(10))
    assert not out.finished
    for job in jobs:
        out.close(job_of_arrival(job))
    assert out.finished
