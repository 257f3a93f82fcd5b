"""Outcomes beside the truth: which reason is right for which fault, and when a skipped host is right."""

from __future__ import annotations

from typing import Any

import pytest

from appliance.reasons import REASONS
from orchestrator.score import EXPECTED, SKIPPED, ScoreError, right_reason, score
from targets.faults import HOST_FAULTS


def host(
    number: int, fault: str = "none", technology: str = "unix", account: str = "local", login: str = "password"
) -> dict[str, Any]:
    return {
        "login": login,
        "address": f"127.0.1.{number}",
        "technology": technology,
        "fault": fault,
        "user": "scan",
        "account": account,
    }


def reasons(*codes: str, technology: str = "unix") -> dict[tuple[str, str], str]:
    return {(f"127.0.1.{number}", technology): code for number, code in enumerate(codes)}


@pytest.mark.parametrize("technology", EXPECTED)
def test_every_fault_of_an_estate_has_its_reason(technology: str) -> None:
    assert EXPECTED[technology].keys() == {f.name for f in HOST_FAULTS.values() if technology in f.technologies}
    assert set(EXPECTED[technology].values()) <= REASONS.keys()
    assert set(SKIPPED) <= REASONS.keys()


def test_the_table_counts_what_is_right_and_what_is_not() -> None:
    truth = [host(0), host(1, "closed"), host(2, "closed"), host(3, "wrong_password")]
    result = score(truth, reasons("PASSED", "PORT_CLOSED", "PORT_FILTERED", "BAD_CREDENTIALS"))
    assert (result.right, result.total) == (3, 4)
    assert [(cell.fault, cell.reason, cell.right, cell.number) for cell in result.cells] == [
        ("none", "PASSED", True, 1),
        ("closed", "PORT_CLOSED", True, 1),
        ("closed", "PORT_FILTERED", False, 1),
        ("wrong_password", "BAD_CREDENTIALS", True, 1),
    ]
    assert [cell.expected for cell in result.wrong] == ["PORT_CLOSED"]


@pytest.mark.parametrize(
    ("login", "fault", "reason"),
    [
        ("password", "wrong_password", "BAD_CREDENTIALS"),
        ("key", "wrong_password", "KEY_REFUSED"),
        ("password", "locked", "BAD_CREDENTIALS"),
        ("keyboard-interactive", "locked", "ACCOUNT_LOCKED"),
        ("keyboard-interactive", "wrong_password", "BAD_CREDENTIALS"),
        ("key", "closed", "PORT_CLOSED"),
    ],
)
def test_what_is_right_depends_on_the_way_of_logging_in(login: str, fault: str, reason: str) -> None:
    assert right_reason("unix", fault, login) == reason
    assert not score([host(0, fault, login=login)], reasons(reason)).wrong
    assert score([host(0, fault, login=login)], reasons("PASSED")).wrong


@pytest.mark.parametrize(
    ("fault", "account", "right"),
    [
        ("wrong_password", "corp", True),
        ("wrong_password", "CORP", True),
        ("wrong_password", "other", False),
        ("wrong_password", "local", False),
        ("closed", "corp", False),
        ("none", "corp", False),
    ],
)
def test_a_host_that_was_left_out_is_right_if_its_account_has_a_cause(fault: str, account: str, right: bool) -> None:
    truth = [host(0, account="corp"), host(1, fault, account=account)]
    result = score(truth, reasons("SKIPPED_BREAKER", EXPECTED["unix"][fault]))
    assert (not result.wrong) is right


def test_hosts_that_a_sample_left_out_do_not_count() -> None:
    assert score([host(0), host(1), host(2)], reasons("PASSED")).total == 1


def test_another_estates_truth_is_refused() -> None:
    with pytest.raises(ScoreError, match=r"does not know 127\.0\.1\.1 \(unix\)"):
        score([host(0)], reasons("PASSED", "PASSED"))
    with pytest.raises(ScoreError, match="does not know"):
        score([host(0)], reasons("PASSED", technology="windows"))
    with pytest.raises(ScoreError, match="'gremlins', for which no right reason is known"):
        score([host(0, "gremlins")], reasons("PASSED"))
