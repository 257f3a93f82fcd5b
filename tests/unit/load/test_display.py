"""What is shown while a load test goes on."""

from __future__ import annotations

import io
from contextlib import redirect_stderr

from orchestrator.cli.load_display import LoadDisplay, lines
from tests.unit.load.arrivals import BEGAN, RUN, ended, sent
from tests.unit.load.results import a_test


async def test_rates_and_percentiles_of_the_last_seconds() -> None:
    test = a_test()
    for n in range(20):
        test.arrivals.at("", n)
        at = n / 10
        await test.recorder.dispatched(RUN, [sent(n, at)], {})
        reason = "PORT_CLOSED" if n % 10 == 0 else "PASSED"
        await test.recorder.settle([ended(n, begun=at, spent=0.05, reason=reason)])
    shown = lines(test, BEGAN + 2.05)
    assert shown == (
        "10/s offered · 10/s ended · 1.0/s errors · 0 out · 1 waiting",
        "latency p50 50 ms · p95 50 ms · p99 50 ms",
        "errors so far: 2 PORT_CLOSED",
    )


def test_before_anything_has_ended_there_are_no_percentiles() -> None:
    assert lines(a_test(), BEGAN + 0.5) == ("10/s offered · 0/s ended · 0.0/s errors · 0 out · 6 waiting",)


def test_after_the_last_arrival_nothing_is_offered() -> None:
    assert lines(a_test(), BEGAN + 5.0)[0].startswith("0/s offered")


def test_without_a_terminal_only_notes_are_written() -> None:
    err = io.StringIO()
    with redirect_stderr(err), LoadDisplay(a_test(), enabled=True) as display:
        display.note("load test load-1")
        display.show(BEGAN + 1.0)
    assert err.getvalue() == "load test load-1\n"
