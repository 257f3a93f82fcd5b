"""Retry-After in its two forms, as seconds of the vault's own clock."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.vault.messages import retry_after

NOW = 1_800_000_000.0
SENT = "Fri, 15 Jan 2027 07:00:00 GMT"
LATER = "Fri, 15 Jan 2027 07:01:30 GMT"


@pytest.mark.parametrize(
    ("header", "date", "expected"),
    [
        ("", SENT, ""),
        (" 7 ", "", "7"),
        ("0", "", ""),
        (LATER, SENT, "90"),
        (SENT, LATER, ""),
        ("Fri, 15 Jan 2027 08:00:30 GMT", "", "30"),
        ("Fri, 15 Jan 2027 08:00:30 GMT", "no date", "30"),
        ("soon", SENT, ""),
        ("-5", SENT, ""),
        ("99999999999", SENT, ""),
    ],
)
def test_seconds_and_dates(header: str, date: str, expected: str) -> None:
    assert retry_after(header, date, NOW) == expected


@given(st.text(), st.text(), st.floats(0, 4e9))
def test_any_header_is_whole_seconds_or_nothing(header: str, date: str, now: float) -> None:
    said = retry_after(header, date, now)
    assert said == "" or (said.isdigit() and int(said) > 0)
