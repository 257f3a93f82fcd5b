"""One fault in a mixed estate is one cause, with its owner and how many targets it frees."""

from __future__ import annotations

from dataclasses import replace

import pytest

from appliance.contract import Phase
from appliance.reasons import REASONS, Owner
from orchestrator.report.causes import Cause, Causes, Factor, subnet
from orchestrator.report.rows import report_row
from orchestrator.store import OutcomeRow
from tests.unit.report.report_rows import outcome


def causes(*outcomes: OutcomeRow) -> tuple[Cause, ...]:
    found = Causes()
    for one in outcomes:
        found.add(report_row(one))
    return found.found()


def told(*outcomes: OutcomeRow) -> list[tuple[str, Factor, str, int]]:
    return [(c.reason.code, c.factor, c.value, c.targets) for c in causes(*outcomes)]


def hosts(reason: str, number: int, subnet: str = "10.0.0", **changes: object) -> list[OutcomeRow]:
    return [outcome(reason, f"{subnet}.{i}", **changes) for i in range(number)]  # type: ignore[arg-type]  # OutcomeRow's


def untried(one: OutcomeRow, phase: Phase) -> OutcomeRow:
    """It came to this phase, and no further."""
    return replace(one, evidence=one.evidence.model_copy(update={"phase": phase, "phases": ()}))


def test_the_injected_fault_is_the_top_cause() -> None:
    estate = [
        *hosts("PASSED", 50, "10.0.1", secret="good"),
        *hosts("STALE_IN_VAULT", 12, "10.0.2", secret="stale"),
        *hosts("PORT_CLOSED", 3, "10.0.1", secret="good"),
    ]
    top = causes(*estate)[0]
    assert (top.factor, top.value, top.targets) == (Factor.SECRET, "stale in Vault", 12)
    assert top.reason.owner is Owner.VAULT


def test_each_owner_has_its_factor() -> None:
    assert told(*hosts("PORT_FILTERED", 3)) == [("PORT_FILTERED", Factor.SUBNET, "10.0.0.0/24", 3)]
    assert told(*hosts("ACCOUNT_LOCKED", 3)) == [("ACCOUNT_LOCKED", Factor.ACCOUNT, "scan@corp", 3)]
    assert told(*hosts("VAULT_TLS", 3)) == [("VAULT_TLS", Factor.VAULT, "Vault", 3)]
    assert told(*hosts("OWN_OVERLOAD", 3)) == [("OWN_OVERLOAD", Factor.APPLIANCE, "a1", 3)]
    assert told(*hosts("NOT_SSH", 3)) == [("NOT_SSH", Factor.NONE, "", 3)]
    six = [outcome("TCP_TIMEOUT", f"2001:db8::{i:x}") for i in range(2)]
    assert told(*six) == [("TCP_TIMEOUT", Factor.SUBNET, "2001:db8::/64", 2)]


def test_a_secret_that_works_elsewhere_is_not_to_blame() -> None:
    assert told(*hosts("BAD_CREDENTIALS", 3), *hosts("PASSED", 3, "10.0.1")) == [
        ("BAD_CREDENTIALS", Factor.NONE, "", 3)
    ]
    assert told(*hosts("BAD_CREDENTIALS", 3), *hosts("PASSED", 2, "10.0.1"))[0][1] is Factor.SECRET


def test_targets_whose_attempt_never_came_to_a_factor_say_nothing_of_it() -> None:
    missing = hosts("SECRET_NOT_FOUND", 3, phase=Phase.VAULT)
    closed = [untried(one, Phase.TCP) for one in hosts("PORT_CLOSED", 9, "10.0.1")]
    assert told(*missing, *closed)[1] == ("SECRET_NOT_FOUND", Factor.SECRET, "root in Vault", 3)
    locked = [untried(one, Phase.VAULT) for one in hosts("VAULT_TLS", 9, "10.0.1")]
    assert ("ACCOUNT_LOCKED", Factor.ACCOUNT, "scan@corp", 3) in told(*hosts("ACCOUNT_LOCKED", 3), *locked)


@pytest.mark.parametrize("reason", ["SECRET_NOT_FOUND", "VAULT_TLS", "ACCOUNT_LOCKED", "PORT_FILTERED", "OWN_OVERLOAD"])
def test_targets_that_were_ended_together_count_alike_with_and_without_rows(reason: str) -> None:
    failed = hosts(reason, 3, phase=Phase.AUTH)
    cancelled = [untried(one, Phase.DISPATCH) for one in hosts("CANCELLED", 50)]
    together = Causes()
    for one in failed:
        together.add(report_row(one))
    together.add_together(REASONS["CANCELLED"], len(cancelled))
    assert together.found() == causes(*failed, *cancelled)
    assert together.found()[1].factor is not Factor.NONE


def test_what_was_settled_before_anything_was_dialled_has_its_cause() -> None:
    waited = [untried(one, Phase.DISPATCH) for one in hosts("VAULT_UNREACHABLE", 3)]
    assert told(*waited) == [("VAULT_UNREACHABLE", Factor.VAULT, "Vault", 3)]


def test_single_failures_of_one_reason_are_one_cause() -> None:
    apart = [outcome("SECRET_NOT_FOUND", f"10.0.{i}.1", secret=f"root-{i}") for i in range(4)]
    names = [outcome("DNS_FAILED", f"h{i}.example") for i in range(2)]
    assert told(*apart, *names) == [
        ("SECRET_NOT_FOUND", Factor.NONE, "", 4),
        ("DNS_FAILED", Factor.NONE, "", 2),
    ]


def test_the_skipped_are_freed_by_the_same_fix() -> None:
    skipped = hosts("SKIPPED_BREAKER", 498, "10.0.1", facts={"cause": "STALE_IN_VAULT"})
    [cause] = causes(*hosts("STALE_IN_VAULT", 2), *skipped)
    assert (cause.reason, cause.factor, cause.targets, cause.skipped) == (
        REASONS["STALE_IN_VAULT"],
        Factor.SECRET,
        500,
        498,
    )


def test_a_skip_without_a_known_cause_is_the_accounts() -> None:
    assert told(*hosts("SKIPPED_BREAKER", 2)) == [("SKIPPED_BREAKER", Factor.ACCOUNT, "scan@corp", 2)]


def test_passed_targets_have_no_cause_and_limited_ones_do() -> None:
    assert told(*hosts("PASSED", 5)) == []
    assert told(outcome("PRIV_NO_SUDO")) == [("PRIV_NO_SUDO", Factor.NONE, "", 1)]


def test_the_order_is_stable() -> None:
    estate = [*hosts("NOT_SSH", 2), *hosts("NOT_SMB", 2), *hosts("PRIV_NO_SUDO", 3)]
    assert [c[0] for c in told(*estate)] == ["PRIV_NO_SUDO", "NOT_SMB", "NOT_SSH"]
    assert told(*estate) == told(*reversed(estate))


@pytest.mark.parametrize(
    ("ip", "named"),
    [("10.1.2.3", "10.1.2.0/24"), ("2001:db8::1:2:3:4", "2001:db8::/64"), ("::1", "::/64"), ("", "")],
)
def test_a_subnet(ip: str, named: str) -> None:
    assert subnet(ip) == named
