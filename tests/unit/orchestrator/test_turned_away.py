"""A host that turns us away is asked again with back-off, by attempts of their own, and ends as no failed login."""

from __future__ import annotations

from dataclasses import replace

import pytest

from appliance.contract import Evidence, Outcome, Phase, Target, Technology, named
from appliance.reasons import Status
from orchestrator.attempts import OpenAttempt, Planned
from orchestrator.collect import Again, Decision, Final, decide
from orchestrator.dispatch import Pace

PLANNED = Planned("job", Technology.UNIX, Target(address="10.0.0.1"), ())


def turned_away(attempt: OpenAttempt, pace: Pace, now: float, reason: str = "SSH_PENALTY") -> Decision:
    evidence = Evidence(phase=Phase.NEGOTIATE, signal=named(reason), text="Not allowed at this time")
    ids = {"run": "r", "job": "job", "attempt": attempt.attempt, "lease": attempt.lease, "appliance": "a"}
    return decide(Outcome(**ids, evidence=evidence), attempt, pace, now=now)


def dispatched(decision: Decision) -> OpenAttempt:
    assert isinstance(decision, Again)
    r = decision.repeat
    return OpenAttempt(
        r.planned,
        r.attempt,
        f"lease {r.attempt}",
        r.not_before,
        0.0,
        retries=r.retries,
        turned_away=r.turned_away,
        turned_away_since=r.turned_away_since,
    )


@pytest.mark.parametrize("reason", ["SSH_PENALTY", "SSH_THROTTLED"])
@pytest.mark.parametrize("retries", [0, 1])
def test_back_off_doubles_until_patience_ends(reason: str, retries: int) -> None:
    pace = Pace(30.0, 0.0, retries=retries, throttle_patience=200.0)
    attempt = OpenAttempt(PLANNED, 1, "lease", 0.0, 0.0)
    waits, now = [], 1000.0
    while isinstance(decision := turned_away(attempt, pace, now, reason), Again):
        waits.append(decision.repeat.not_before - now)
        assert decision.repeat.retries == 0, "it is no retry"
        attempt, now = dispatched(decision), decision.repeat.not_before
    assert waits == [5, 10, 20, 40, 60, 60]
    assert isinstance(decision, Final)
    assert (decision.reason.code, decision.reason.status) == (reason, Status.NOT_ATTEMPTED)


def test_without_patience_the_first_one_decides() -> None:
    attempt = OpenAttempt(PLANNED, 1, "lease", 0.0, 0.0)
    assert isinstance(turned_away(attempt, Pace(30.0, 0.0, throttle_patience=0.0), 5.0), Final)


def test_a_host_that_lets_us_in_between_is_met_with_patience_anew() -> None:
    pace = Pace(30.0, 0.0, throttle_patience=100.0)
    attempt = dispatched(turned_away(OpenAttempt(PLANNED, 1, "lease", 0.0, 0.0), pace, 0.0))
    evidence = Evidence(phase=Phase.NEGOTIATE, signal=named("CONNECTION_RESET"))
    ids = {"run": "r", "job": "job", "attempt": attempt.attempt, "lease": attempt.lease, "appliance": "a"}
    again = decide(Outcome(**ids, evidence=evidence), attempt, pace, now=90.0)
    assert isinstance(again, Again)
    assert (again.repeat.turned_away, again.repeat.retries) == (0, 1)
    assert isinstance(turned_away(replace(dispatched(again), attempt=9), pace, 91.0), Again)
