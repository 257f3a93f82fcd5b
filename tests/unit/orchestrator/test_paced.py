"""An attempt whose turn at its vault did not come costs no patience, and its vault gets no more of its kind."""

from __future__ import annotations

from dataclasses import replace

import pytest

from appliance.contract import (
    Account,
    Candidate,
    CredentialRef,
    Deferred,
    Evidence,
    Outcome,
    Phase,
    SecretLookup,
    Selection,
    Target,
    Technology,
    named,
)
from orchestrator.attempts import OpenAttempt, Planned
from orchestrator.collect import Again, decide, note_vault
from orchestrator.dispatch import Dispatcher, Pace
from orchestrator.vault_room import LEAST
from orchestrator.zones import DEFAULT_ZONE

PACE = Pace(deadline=30.0, vault_patience=120.0, retries=0)
TARGETS = 400


def planned(number: int, vault: str) -> Planned:
    candidate = Candidate(
        record="r",
        user="u",
        selection=Selection.IP,
        account=Account(authority=f"host:10.0.{number // 256}.{number % 256}", user="u"),
        secret=CredentialRef(vault=vault, by=SecretLookup.NAME, key=f"s{number}"),
        port=22,
    )
    target = Target(address=f"10.0.{number // 256}.{number % 256}")
    return Planned(f"{vault}-{number}", Technology.UNIX, target, (candidate,))


class Plan:
    """The targets of two vaults."""

    def cursors(self) -> list[str]:
        return ["V", "W"]

    def count(self, cursor: str) -> int:
        return TARGETS

    def zone(self, cursor: str) -> str:
        return DEFAULT_ZONE

    def at(self, cursor: str, index: int) -> Planned:
        return planned(index, cursor)


def dispatcher() -> Dispatcher:
    number = iter(range(100_000))
    return Dispatcher(Plan(), PACE, {}, lambda: f"lease {next(number)}", lambda _: 2)


def step(made: Dispatcher, now: float, capacity: int = 50) -> list[OpenAttempt]:
    going: list[OpenAttempt] = []
    places = {DEFAULT_ZONE: capacity}
    while batch := made.step(capacity=places, now=now, broken=lambda _: False, stop_on=lambda _: None).attempts:
        going += batch
    return going


def put_off(attempt: OpenAttempt, now: float, *, paced: bool) -> Again:
    report = Deferred(
        run="r",
        job=attempt.planned.job,
        attempt=attempt.attempt,
        lease=attempt.lease,
        appliance="a",
        reason="VAULT_RATE_LIMITED",
        vault="V",
        not_before=now + 2.0,
        paced=paced,
    )
    decision = decide(report, attempt, PACE, now=now)
    assert isinstance(decision, Again)
    return decision


@pytest.mark.parametrize("paced", [True, False])
def test_it_costs_no_patience_with_the_vault(paced: bool) -> None:
    again = put_off(OpenAttempt(planned(1, "V"), 1, "lease", 0.0, 0.0), 5.0, paced=paced)
    assert (again.repeat.waiting_since is None, again.full, again.away) == (
        (True, "V", "") if paced else (False, "", "V")
    )
    assert (again.repeat.retries, again.repeat.attempt) == (0, 2)


def settle(made: Dispatcher, decision: Again, attempt: OpenAttempt, now: float) -> None:
    note_vault(made, attempt, decision, now=now)
    made.again(decision.repeat)


def test_no_more_attempts_are_open_than_have_room_and_other_vaults_go_on() -> None:
    made = dispatcher()
    first = step(made, 0.0)
    assert len(first) == 200
    crowd = [attempt for attempt in first if attempt.planned.job.startswith("V")]
    for attempt in crowd[:20]:
        settle(made, put_off(attempt, 1.0, paced=True), attempt, 1.0)
    assert made.vaults_away == ()
    more = step(made, 3.0)
    assert [attempt for attempt in more if attempt.planned.job.startswith("V")] == []
    assert len(more) == 20
    assert made.held == 0, "it is no account that they wait for"
    still = [a for a in made.open_attempts() if a.planned.job.startswith("V")]
    assert len(still) == len(crowd) - 20 >= LEAST
    for attempt in still[:10]:
        evidence = Evidence(phase=Phase.AUTH, signal=named("BAD_CREDENTIALS"))
        ids = {"run": "r", "job": attempt.planned.job, "lease": attempt.lease, "appliance": "a"}
        decision = decide(Outcome(**ids, attempt=1, evidence=evidence), attempt, PACE, now=3.0)
        assert not isinstance(decision, Again)
        note_vault(made, attempt, decision, now=3.0)  # type: ignore[arg-type]  # Final: its lease is the right one
        made.close(attempt.planned.job)
    next_ones = [attempt for attempt in step(made, 3.5) if attempt.planned.job.startswith("V")]
    assert len(next_ones) == 10
    assert {attempt.attempt for attempt in next_ones} == {2}, "those that were put off come before new targets"


def test_a_job_that_another_vault_could_serve_too_is_not_held_for_one() -> None:
    made = dispatcher()
    for attempt in step(made, 0.0, capacity=500):
        if attempt.planned.job.startswith("V"):
            settle(made, put_off(attempt, 1.0, paced=True), attempt, 1.0)
    either = planned(1, "V").candidates + planned(1, "W").candidates
    both = replace(planned(9999, "V"), candidates=either)
    made.again(replace(put_off(OpenAttempt(both, 1, "l", 0.0, 0.0), 1.0, paced=False).repeat, not_before=1.0))
    going = [attempt.planned.job for attempt in step(made, 1.5, capacity=500)]
    assert both.job in going
