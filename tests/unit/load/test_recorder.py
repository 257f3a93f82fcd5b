"""What becomes of arrivals, counted: the rules L1 to L4."""

from __future__ import annotations

import pytest

from appliance.contract import NO_DESCRIPTOR, Phase
from orchestrator.load.bottleneck import OWN_LIMIT
from orchestrator.load.recorder import INTERVALS, UNFINISHED, Recorder
from tests.unit.load.arrivals import BEGAN, DEADLINE, RUN, ended, never_sent, row, sent, some_arrivals


def recorder(per_second: float = 10.0, duration: float = 3.0) -> Recorder:
    return Recorder(some_arrivals(per_second, duration), DEADLINE)


def near(ms: float) -> object:
    return pytest.approx(ms, rel=2e-3)


async def test_latency_counts_from_when_it_was_due() -> None:
    book = recorder()
    await book.dispatched(RUN, [sent(5, 0.9)], {})
    assert await book.settle([ended(5, begun=1.0, spent=0.2, heard=1.3)]) == [True]
    assert book.total.percentiles().p50 == near(800)  # due at 0.5
    assert (book.ended, book.succeeded) == (1, 1)


async def test_the_stages_add_up_to_the_latency() -> None:
    book = recorder()
    await book.dispatched(RUN, [sent(5, 0.9)], {})
    await book.settle([ended(5, begun=1.0, spent=0.2, heard=1.3)])
    spent = {name: latency.percentiles().p50 for name, latency in book.stages.items()}
    assert spent == {"wait": near(400), "bus": near(100), "auth": near(200), "report": near(100)}
    assert sum(spent.values()) == near(800)


async def test_what_was_put_off_shows_as_such() -> None:
    book = recorder()
    await book.dispatched(RUN, [sent(0, 0.1)], {})
    put_off = ended(0, begun=0.2, reason="VAULT_RATE_LIMITED", final=False, phase=Phase.DISPATCH, text="slow down")
    assert await book.settle([put_off]) == [True]
    assert (book.ended, dict(book.put_off)) == (0, {"VAULT_RATE_LIMITED": 1})
    await book.dispatched(RUN, [sent(0, 1.6, attempt=2)], {})
    await book.settle([ended(0, begun=1.7, attempt=2)])
    assert book.stages["wait"].percentiles().p50 == near(100)
    assert book.stages["deferred"].percentiles().p50 == near(1500)
    assert dict(book.words) == {"VAULT_RATE_LIMITED": 1, "PASSED": 1}
    assert book.first_words["VAULT_RATE_LIMITED"] == "slow down"
    assert book.intervals[0].served == 0, "it was begun too late"


@pytest.mark.parametrize(
    ("begun", "spent", "reason", "served"),
    [
        (1.0, 0.1, "PASSED", 1),
        (1.01, 0.1, "PASSED", 0),  # not on time
        (0.1, DEADLINE + 1.0, "PASSED", 1),
        (0.1, DEADLINE + 1.1, "PASSED", 0),  # not within its deadline
        (0.1, 0.1, "PORT_CLOSED", 1),  # it would end so at any rate
        (0.1, 0.1, "BAD_CREDENTIALS", 1),
        (0.1, 0.1, "SSH_THROTTLED", 0),
        (0.1, 0.1, "VAULT_RATE_LIMITED", 0),
        (0.1, 0.1, "SKIPPED_BREAKER", 0),
    ],
)
async def test_who_has_been_served(begun: float, spent: float, reason: str, served: int) -> None:
    book = recorder()
    await book.dispatched(RUN, [sent(0, 0.0)], {})
    await book.settle([ended(0, begun=begun, spent=spent, reason=reason)])
    assert book.intervals[0].served == served
    assert dict(book.reasons) == ({} if reason == "PASSED" else {reason: 1})


async def test_arrivals_are_due_in_one_interval_and_end_in_another() -> None:
    book = recorder(10.0, 3.0)
    assert [interval.due for interval in book.intervals] == [10, 10, 10]
    await book.dispatched(RUN, [sent(9, 0.9), sent(10, 1.0)], {})
    await book.settle([ended(9, begun=0.95, heard=1.2), ended(10, begun=1.0, heard=1.3, reason="PORT_CLOSED")])
    assert [(i.served, i.ended, i.succeeded) for i in book.intervals] == [(1, 0, 0), (1, 2, 1), (0, 0, 0)]
    (newest,) = [interval for interval in book.recent(BEGAN + 2.1) if interval.ended]
    assert (newest.p50, newest.p99) == (near(300), near(300))


async def test_what_ends_after_the_last_arrival_was_due_has_intervals_too() -> None:
    book = recorder(10.0, 1.0)
    await book.dispatched(RUN, [sent(0, 0.0)], {})
    await book.settle([ended(0, begun=0.5, heard=3.5)])
    assert [(i.begins, i.ended) for i in book.tail] == [(1.0, 0), (2.0, 0), (3.0, 1)]


async def test_long_tests_have_longer_intervals() -> None:
    book = recorder(1.0, 3600.0)
    assert (len(book.intervals), book.width) == (INTERVALS, 12.0)
    assert sum(interval.due for interval in book.intervals) == 3600


async def test_a_report_that_comes_twice_counts_once() -> None:
    book = recorder()
    await book.dispatched(RUN, [sent(0, 0.0), sent(0, 0.0)], {})
    put_off = ended(0, begun=0.1, reason="VAULT_TIMEOUT", final=False)
    assert await book.settle([put_off, put_off]) == [True, False]
    await book.dispatched(RUN, [sent(0, 1.0, attempt=2)], {})
    final = ended(0, begun=1.1, attempt=2)
    assert await book.settle([final, final]) == [True, False]
    assert (book.ended, book.total.count) == (1, 1)


async def test_what_is_never_sent_has_its_reason() -> None:
    book = recorder()
    await book.dispatched(RUN, [(row(1), None)], {})
    left_out = [never_sent(1, 0.6, text="stopped by root"), never_sent(2, 0.2)]
    assert await book.dispatched(RUN, [], {}, left_out) == [True, True]
    assert dict(book.reasons) == {"STOPPED": 2}
    assert book.total.percentiles().longest == near(500)
    assert book.first_words["STOPPED"] == "stopped by root"


async def test_what_has_not_ended_counts_with_its_age() -> None:
    book = recorder(10.0, 1.0)
    for number in range(3):  # the third waits for others of its account, the rest of ten was never taken
        book.arrivals.at("", number)
    await book.dispatched(RUN, [sent(0, 0.0), sent(1, 0.1), (row(2), None)], {})
    await book.settle([ended(0, begun=0.0)])
    assert book.close(BEGAN + 10.0, 1.0) == 9
    assert (book.ended, book.reasons[UNFINISHED]) == (10, 9)
    assert book.total.percentiles().longest == near(9900)
    assert book.total.percentiles().p50 > 9000


async def test_our_own_limit_on_requests_to_a_vault_is_the_vaults() -> None:
    book = recorder()
    await book.dispatched(RUN, [sent(n, 0.1) for n in range(3)], {})
    for number, (final, phase) in enumerate([(False, Phase.DISPATCH), (True, Phase.VAULT), (True, Phase.AUTH)]):
        await book.settle([ended(number, begun=0.2, reason="OWN_OVERLOAD", final=final, phase=phase)])
    assert dict(book.words) == {OWN_LIMIT: 2, "OWN_OVERLOAD": 1}


async def test_want_of_descriptors_is_not() -> None:
    book = recorder()
    await book.dispatched(RUN, [sent(n, 0.1) for n in range(2)], {})
    text = f"{NO_DESCRIPTOR} for a connection to the vault"
    for number, (final, phase) in enumerate([(False, Phase.DISPATCH), (True, Phase.VAULT)]):
        await book.settle([ended(number, begun=0.2, reason="OWN_OVERLOAD", final=final, phase=phase, text=text)])
    assert dict(book.words) == {"OWN_OVERLOAD": 2}


async def test_the_first_tenth_is_held_against_the_others() -> None:
    book = recorder(10.0, 2.0)
    for number in range(4):
        await book.dispatched(RUN, [sent(number, number / 10)], {})
        await book.settle([ended(number, begun=number / 10, spent=0.1 * (1 + number))])
    assert (book.early.count, book.late.count) == (2, 2)
    assert book.early.by_stage()["auth"] == pytest.approx(0.15)
    assert book.late.by_stage()["auth"] == pytest.approx(0.35)
