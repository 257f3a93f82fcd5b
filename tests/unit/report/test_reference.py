"""The page of reasons is the table; what a terminal is told, too."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.reasons import REASONS, Owner
from orchestrator.report.reference import described, page

PAGE = Path(__file__).parents[3] / "docs" / "reasons.md"


def test_the_page_in_the_repository_is_the_tables() -> None:
    """`make docs` writes it anew."""
    assert PAGE.read_text(encoding="utf-8") == page()


def test_every_reason_is_there_once() -> None:
    text = page()
    for reason in REASONS.values():
        expected = 0 if reason.owner is Owner.NOBODY else 1
        assert text.count(f"| `{reason.code}` |") == expected
        assert "|" not in reason.meaning + reason.advice, "it would break its row"


@pytest.mark.parametrize(
    ("code", "lines"),
    [
        ("BAD_CREDENTIALS", {"QID": "105015 (windows), 105053 (unix)", "counts towards lock-out": "yes"}),
        ("PORT_CLOSED", {"status": "Not Attempted", "is tried again": "yes", "counts towards lock-out": "no"}),
        ("ACCOUNT_LOCKED", {"breaker": "opens at once: no other host is tried with the account"}),
    ],
)
def test_a_reason_in_full(code: str, lines: dict[str, str]) -> None:
    told = dict(described(REASONS[code]))
    assert told["reason"] == code
    assert told["do"] == REASONS[code].advice
    assert lines.items() <= told.items()
