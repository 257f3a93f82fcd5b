"""What attempts tell of their waits for a permit, and what becomes of it (collect's C5, the dispatcher's D3)."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from appliance.contract import (
    DEADLINE,
    OK,
    Account,
    Candidate,
    CredentialRef,
    Deferred,
    Evidence,
    Outcome,
    Phase,
    PhaseTime,
    SecretLookup,
    Selection,
    Signal,
    Target,
    Technology,
    named,
)
from orchestrator.attempts import OpenAttempt, Planned
from orchestrator.collect import Again, Decision, Stale, decide, lost, permit_wait
from orchestrator.crowd import FIRST, LONG_S, PUT_OFF
from orchestrator.dispatch import Batch, Dispatcher, Pace
from orchestrator.zones import DEFAULT_ZONE

PACE = Pace(deadline=30.0, vault_patience=60.0, retries=1)
BUDGET = 2
CORP, OTHER = Account(authority="dir:corp", user="scan"), Account(authority="dir:other", user="scan")


def planned(number: int, account: Account = CORP) -> Planned:
    secret = CredentialRef(vault="Vault", by=SecretLookup.NAME, key="s")
    candidate = Candidate(record="r", user="scan", account=account, secret=secret, selection=Selection.IP, port=22)
    return Planned(f"{account.authority} {number}", Technology.UNIX, Target(address=f"10.0.0.{number}"), (candidate,))


ATTEMPT = OpenAttempt(planned(1), 1, "lease", 0.0, 60.0)
IDS = {"run": "r", "job": ATTEMPT.planned.job, "attempt": 1, "lease": "lease", "appliance": "a"}


def told(phase: Phase, signal: Signal, *, submitted: bool = False, **spent: float) -> Decision:
    """What is decided of an outcome; `spent`: seconds by phase."""
    phases = tuple(PhaseTime(phase=Phase(name), ms=1000 * seconds) for name, seconds in spent.items())
    evidence = Evidence(phase=phase, signal=signal, submitted=submitted, phases=phases)
    return decide(Outcome(**IDS, evidence=evidence), ATTEMPT, PACE, now=100.0)


def put_off(reason: str) -> Decision:
    return decide(Deferred(**IDS, reason=reason, not_before=102.0), ATTEMPT, PACE, now=100.0)


@pytest.mark.parametrize(
    ("decision", "waited"),
    [
        pytest.param(told(Phase.LOGOFF, OK, submitted=True, tcp=0.1, permit=0.25, auth=1.0), 0.25, id="logged in"),
        pytest.param(told(Phase.PERMIT, named("SKIPPED_BREAKER"), permit=0.01), None, id="skipped"),
        pytest.param(told(Phase.AUTH, DEADLINE, submitted=True, permit=0.5, auth=29.0), 0.5, id="cut off later"),
        pytest.param(told(Phase.NEGOTIATE, DEADLINE, tcp=0.1, negotiate=29.9), 0.0, id="cut off before it asked"),
        pytest.param(told(Phase.PERMIT, DEADLINE, tcp=28.0, permit=2.0), PUT_OFF, id="cut off in the queue"),
        pytest.param(put_off("PERMIT_WAIT"), PUT_OFF, id="put off for it"),
        pytest.param(put_off("VAULT_UNREACHABLE"), None, id="put off for the vault"),
        pytest.param(put_off("NO_PACER"), None, id="nobody there to ask"),
        pytest.param(told(Phase.TCP, named("PORT_CLOSED"), tcp=0.001), None, id="never got there"),
        pytest.param(lost(ATTEMPT, PACE, now=100.0, text="gone"), None, id="lost"),
        pytest.param(Stale(), None, id="stale"),
    ],
)
def test_how_long_an_attempt_waited(decision: Decision, waited: float | None) -> None:
    assert permit_wait(decision) == waited


def test_a_deadline_in_the_queue_costs_no_retry() -> None:
    decision = told(Phase.PERMIT, DEADLINE, tcp=28.0, permit=LONG_S)
    assert isinstance(decision, Again)
    assert decision.reason.code == "PERMIT_WAIT"
    assert (decision.repeat.attempt, decision.repeat.retries, decision.repeat.waiting_since) == (2, 0, None)


def test_a_host_that_leaves_no_time_to_wait_is_retried_as_often_as_others() -> None:
    """Else it would be asked for ever."""
    decision = told(Phase.PERMIT, DEADLINE, tcp=29.5, permit=LONG_S / 2)
    assert isinstance(decision, Again)
    assert decision.repeat.retries == 1


def test_who_has_logged_in_and_waits_for_roots_permit_was_not_put_off() -> None:
    decision = told(Phase.PERMIT, DEADLINE, submitted=True, auth=1.0, permit=5.0)
    assert isinstance(decision, Again)
    assert decision.repeat.retries == 1


# -- the dispatcher ----------------------------------------------------------------------------------------------------


class Source:
    """Many targets of each account."""

    def __init__(self, accounts: Sequence[Account]) -> None:
        self._accounts = {account.authority: account for account in accounts}

    def cursors(self) -> Sequence[str]:
        return tuple(self._accounts)

    def count(self, cursor: str) -> int:
        return 100_000

    def zone(self, cursor: str) -> str:
        return DEFAULT_ZONE

    def at(self, cursor: str, index: int) -> Planned:
        return planned(index, self._accounts[cursor])


def dispatcher(*accounts: Account) -> Dispatcher:
    return Dispatcher(Source(accounts or (CORP,)), PACE, {}, lambda: "lease", lambda _: BUDGET)


def step(under: Dispatcher, now: float, *, broken: bool = False, capacity: int = 256) -> Batch:
    return under.step(capacity={DEFAULT_ZONE: capacity}, now=now, broken=lambda _: broken, stop_on=lambda _: None)


def settle(under: Dispatcher, attempts: Sequence[OpenAttempt], waited: float, now: float) -> None:
    for attempt in attempts:
        under.permit_waited(attempt, waited, now=now)
        under.close(attempt.planned.job)


def open_of(under: Dispatcher, account: Account) -> int:
    return sum(attempt.planned.account == account for attempt in under.open_attempts())


def test_more_go_out_while_nobody_waits_and_fewer_when_they_do() -> None:
    under = dispatcher()
    first = step(under, 0.0)
    assert len(first.attempts) == FIRST * BUDGET
    settle(under, first.attempts, waited=3.0, now=4.0)
    second = step(under, 4.0)
    assert len(second.attempts) == FIRST * BUDGET, "the first wave has waited for its canary"
    settle(under, second.attempts, waited=0.0, now=5.0)
    third = step(under, 5.0)
    # Of those that are settled at once, the last find a crowd of which less than half is open.
    assert FIRST * BUDGET < len(third.attempts) < 2 * FIRST * BUDGET
    settle(under, third.attempts, waited=PUT_OFF, now=12.0)
    assert len(step(under, 12.0).attempts) == len(third.attempts) // 2


def test_one_accounts_waits_are_nothing_to_another() -> None:
    under = dispatcher(CORP, OTHER)
    now = 0.0
    for _ in range(20):
        step(under, now)
        now += 1.0
        for account, waited in ((CORP, 0.0), (OTHER, PUT_OFF)):
            its = [attempt for attempt in under.open_attempts() if attempt.planned.account == account]
            settle(under, its, waited, now)
    step(under, now)
    assert open_of(under, CORP) > 4 * FIRST * BUDGET
    assert open_of(under, OTHER) < FIRST * BUDGET


def test_the_window_bounds_a_crowd_too() -> None:
    under = dispatcher()
    now = 0.0
    for _ in range(50):
        step(under, now, capacity=8)
        now += 1.0
        settle(under, under.open_attempts(), 0.0, now)
    assert len(step(under, now, capacity=8).attempts) == 4 * 8


def test_behind_an_open_breaker_nobody_waits() -> None:
    under = dispatcher()
    assert len(step(under, 0.0, broken=True).attempts) == 500
