"""What holds a load test back: one row for each way in which each rule holds, and for what goes before what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from appliance.contract import Phase
from orchestrator.load.bottleneck import ADVICE, BREAKER_ADVICE, OWN_LIMIT, Name, Observed, Sample, bottleneck
from orchestrator.load.recorder import TURNED_AWAY
from orchestrator.load.stages import BUS, PARTIES, WAIT

IDLE: dict[str, Any] = {"at": 1.0, "out": 5, "capacity": 100, "waiting": 0}
FULL: dict[str, Any] = {"out": 96}
QUICK = {"vault": 0.01, "auth": 0.02, "tcp": 0.01, "lease": 0.0, "permit": 0.01}


def seen(
    *,
    held: bool = False,
    words: Mapping[str, int] | None = None,
    early: Mapping[str, float] = QUICK,
    late: Mapping[str, float] = QUICK,
    few: bool = False,
    held_jobs: int = 0,
    **sample: Any,
) -> Observed:
    """`sample`: what its samples show; `few`: only three of ten of them."""
    showing = Sample(**{**IDLE, "held": held_jobs, **sample})
    samples = [showing] * 3 + [Sample(**IDLE)] * 7 if few else [showing] * 10
    return Observed(held, 1000, words or {"PASSED": 1000}, samples, early, late, cores=2)


@pytest.mark.parametrize(
    ("observed", "name", "why"),
    [
        # B1
        (seen(held=True, words={"VAULT_RATE_LIMITED": 900}, **FULL), Name.NONE, "every rate"),
        # B2
        (seen(words={"PERMIT_WAIT": 50}), Name.PERMITS, "5% of the attempts had no permit"),
        (seen(words={"SKIPPED_BREAKER": 300, "PERMIT_WAIT": 300}), Name.PERMITS, "60% of the attempts"),
        (seen(words={"LOCKOUT_BUDGET_SPENT": 30, "NO_PACER": 20}), Name.PERMITS, "5% of the attempts"),
        (seen(words={"PERMIT_WAIT": 49}), Name.UNKNOWN, "nothing was full"),
        (seen(held_jobs=3), Name.PERMITS, "in 100% of the time jobs waited"),
        (seen(held_jobs=3, few=True), Name.UNKNOWN, "nothing was full"),
        (seen(held_jobs=3, **FULL), Name.CAPACITY, "all slots"),  # they wait for room
        (seen(words={"PERMIT_WAIT": 50, "VAULT_TIMEOUT": 500}), Name.PERMITS, "no permit"),
        # B3
        (seen(words={"VAULT_RATE_LIMITED": 30, "VAULT_TIMEOUT": 15, OWN_LIMIT: 5}), Name.VAULT, "5% of the attempts"),
        (seen(words={"VAULT_UNREACHABLE": 100}), Name.VAULT, "10%"),
        (seen(words={"SSH_THROTTLED": 60, "VAULT_TIMEOUT": 50}), Name.HOST, "hosts turned away 6%"),
        (seen(words={"SSH_PENALTY": 20, "SESSION_LIMIT": 20, "SERVER_BUSY": 20}), Name.HOST, "6%"),
        (seen(words={"VAULT_TIMEOUT": 49}), Name.UNKNOWN, "nothing was full"),
        (seen(words={"OWN_OVERLOAD": 500}), Name.UNKNOWN, "nothing was full"),
        # B4
        (seen(busiest_scan=0.9), Name.APPLIANCE, "the busiest scan process used 90% of a core"),
        (seen(busiest_scan=0.89), Name.UNKNOWN, "nothing was full"),
        (seen(busiest_scan=1.0, few=True), Name.UNKNOWN, "nothing was full"),
        (seen(cpu={"orchestrator": 0.95}), Name.ORCHESTRATOR, "the orchestrator used 95%"),
        (seen(cpu={"appliance": 0.95}), Name.APPLIANCE, "the supervisor used 95%"),
        (seen(cpu={"bus": 1.8}), Name.BUS, "nats-server used 1.8 of 2 cores"),
        (seen(cpu={"bus": 1.7}), Name.UNKNOWN, "nothing was full"),
        (seen(words={"VAULT_TIMEOUT": 50}, busiest_scan=1.0), Name.VAULT, "turned away"),
        # B5
        (seen(machine=0.95, cpu={"estate": 0.8, "scan": 0.6}), Name.ESTATE, "95% of 2 cores were in use: estate 0.8"),
        (seen(machine=0.95, cpu={"estate": 0.3, "scan": 0.8}), Name.CPU, "scan 0.8, estate 0.3"),
        (seen(machine=0.95, cpu={"scan": 0.4}), Name.UNKNOWN, "nothing was full"),  # others have the cores
        (seen(machine=0.8, cpu={"estate": 0.8, "scan": 0.8}), Name.UNKNOWN, "nothing was full"),
        # B6
        (seen(appliance_lag_ms=250.0), Name.LAG, "event loops of the appliances were 250 ms late"),
        (seen(own_lag_ms=300.0, appliance_lag_ms=260.0), Name.LAG, "event loops of the orchestrator were 300 ms late"),
        (seen(appliance_lag_ms=249.0), Name.UNKNOWN, "nothing was full"),
        (seen(appliance_lag_ms=900.0, late={"vault": 5.0}, **FULL), Name.LAG, "late"),
        # B7
        (seen(late={"vault": 1.9, "auth": 0.4}, **FULL), Name.VAULT, "spends 1.90 s on the vault, 0.01 s in the first"),
        (seen(early={"auth": 1.5}, late={"auth": 1.5}, **FULL), Name.HOST, "1.50 s in the first tenth; all slots"),
        (seen(late={"vault": 0.5, "negotiate": 0.3, "privilege": 0.3}, **FULL), Name.HOST, "0.60 s on the host"),
        (seen(early={"vault": 0.2}, late={"vault": 0.31}, **FULL), Name.VAULT, "0.31 s on the vault, 0.20 s"),
        (seen(late={"permit": 2.0}, **FULL), Name.PERMITS, "on the permits"),
        (seen(late={"lease": 2.0}, **FULL), Name.APPLIANCE, "on the appliance"),
        # B8
        (seen(early={"auth": 0.5}, late={"auth": 0.6}, **FULL), Name.CAPACITY, "all slots were taken in 100%"),
        (seen(out=95), Name.CAPACITY, "all slots"),
        (seen(out=94), Name.UNKNOWN, "nothing was full"),
        (seen(capacity=0), Name.UNKNOWN, "nothing was full"),
        # B9
        (seen(late={BUS: 0.6}), Name.BUS, "0.60 s in the bus, though slots are free"),
        (seen(late={BUS: 0.6, WAIT: 0.7}), Name.ORCHESTRATOR, "0.70 s in the dispatcher"),
        (seen(late={BUS: 0.4}), Name.UNKNOWN, "nothing was full"),
        (seen(late={BUS: 9.0, "auth": 0.01}, early={"auth": 0.01}, **FULL), Name.CAPACITY, "all slots"),
        # B10
        (seen(late={"auth": 1.2}), Name.HOST, "1.20 s on the host"),
        (seen(late={"vault": 1.2}, few=True, **FULL), Name.VAULT, "1.20 s on the vault"),
        (seen(early={"auth": 0.4}, late={}), Name.UNKNOWN, "nothing was full"),
    ],
)
def test_the_first_rule_that_holds(observed: Observed, name: Name, why: str) -> None:
    found = bottleneck(observed)
    assert (found.name, found.advice) == (name, ADVICE[name])
    assert why in found.why


def test_accounts_that_were_refused_for_good_are_not_mended_by_more_accounts() -> None:
    found = bottleneck(seen(words={"SKIPPED_BREAKER": 31, "LOCKOUT_BUDGET_SPENT": 30}))
    assert (found.name, found.advice) == (Name.PERMITS, BREAKER_ADVICE)


def test_without_a_sample_or_an_arrival_nothing_is_named() -> None:
    assert bottleneck(Observed(False, 0, {}, (), {}, {}, 2)).name is Name.UNKNOWN


def test_every_name_has_advice_and_every_stage_a_party() -> None:
    assert set(ADVICE) == set(Name)
    assert {phase for phase in Phase if phase not in PARTIES} == {Phase.PLAN, Phase.DISPATCH}


def test_whoever_is_told_that_it_is_too_much_has_not_been_served() -> None:
    for word in ("VAULT_RATE_LIMITED", "SSH_THROTTLED", "SERVER_BUSY", "SKIPPED_BREAKER"):
        assert word in TURNED_AWAY
