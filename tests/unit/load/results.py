"""A load test that is over: of arrivals that fared well, of some that did not, and of a hostile peer's words."""

from __future__ import annotations

from dataclasses import replace
from itertools import count

from appliance.contract import Phase
from orchestrator.load.bottleneck import Sample
from orchestrator.load.driving import LoadTest, load_test
from orchestrator.load.rate import Rate, Schedule
from orchestrator.load.result import LoadResult, result_of
from orchestrator.load.source import CURSOR
from tests.unit.load.arrivals import BEGAN, RUN, a_plan, ended, sent


def a_test(rate: Rate | None = None, duration: float = 4.0) -> LoadTest:
    leases = count()
    schedule = Schedule(rate or Rate(10.0, 10.0), duration)
    test = load_test(a_plan(), schedule, lambda: f"lease {next(leases)}", vault_only=False)
    test.arrivals.began, test.over_at = BEGAN, BEGAN + duration
    return test


async def driven(text: str = "", *, stopped_after: float = 0.0) -> LoadResult:
    """40 arrivals: every tenth is refused, every tenth put off first, the last one never ends."""
    test = a_test()
    for n in range(39):
        test.arrivals.at(CURSOR, n)
        at = test.schedule.due(n)
        if stopped_after and at >= stopped_after:
            break
        await test.recorder.dispatched(RUN, [sent(n, at)], {})
        attempt = 1
        if n % 10 == 5:
            late = ended(n, begun=at, reason="VAULT_RATE_LIMITED", final=False, phase=Phase.DISPATCH, text=text)
            await test.recorder.settle([late])
            await test.recorder.dispatched(RUN, [sent(n, at + 0.5, attempt=2)], {})
            attempt, at = 2, at + 0.5
        reason = "BAD_CREDENTIALS" if n % 10 == 0 else "PASSED"
        await test.recorder.settle([ended(n, begun=at, reason=reason, attempt=attempt, text=text)])
    cpu = {"scan": 0.5, "orchestrator": 0.25, "estate": 0.5}
    for second in range(1, 5):
        test.samples.append(Sample(float(second), 3, 100, 0, cpu=cpu, busiest_scan=0.25, machine=0.5))
    if stopped_after:
        test.over_at = BEGAN + stopped_after
    why = "it was interrupted" if stopped_after else ""
    ended_at = test.over_at + 1.0
    result = result_of(test, campaign=f"campaign{text}", targets=3, cores=2, ended_at=ended_at, stopped=why)
    return replace(result, campaign=f"campaign{text}")
