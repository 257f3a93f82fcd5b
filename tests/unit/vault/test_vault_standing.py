"""What a vault says of a secret beside its values, and when that refutes the password."""

from __future__ import annotations

import pytest

from appliance.contract import OUT_OF_SYNC
from appliance.vault.answers import Secret, State, read_secret, read_state
from appliance.vault.standing import Standing
from tests.unit.vault.scripted import ok, secret_body, state_body

NOON = 1_795_694_400.0


@pytest.mark.parametrize(
    ("standing", "refuted"),
    [
        (Standing(), ""),
        (Standing(heartbeat="Success", heartbeat_at=NOON), ""),
        (Standing(heartbeat="UnableToConnect", heartbeat_at=NOON), ""),
        (Standing(heartbeat="UnableToConnect", out_of_sync="Password change failed"), ""),
        (Standing(heartbeat="Failed", heartbeat_at=NOON), "heartbeat failed"),
        (Standing(heartbeat="Failed", out_of_sync="Heartbeat failed"), "Heartbeat failed"),
        (Standing(out_of_sync="Heartbeat failed"), "Heartbeat failed"),
        (Standing(changed_at=NOON - 1, heartbeat="Failed", heartbeat_at=NOON), "heartbeat failed"),
        (Standing(changed_at=NOON, heartbeat="Failed", heartbeat_at=NOON - 1), ""),
    ],
)
def test_what_refutes_a_password(standing: Standing, refuted: str) -> None:
    assert standing.refuted == refuted
    assert standing.facts().get(OUT_OF_SYNC, "") == refuted


@pytest.mark.parametrize(
    "never", ["0001-01-01T00:00:00", "9999-12-31T23:59:59", "9999-12-31T23:59:59.9999999", "9999-12-31T23:59:59Z"]
)
def test_what_was_never_has_no_date(never: str) -> None:
    """.NET says so with the first moment that it knows, or with the last, which rounds to one that nobody knows."""
    given = {"lastPasswordChangeAttempt": never, "lastHeartBeatCheck": never, "lastHeartBeatStatus": "Pending"}
    found = read_secret(ok(secret_body(7) | given))
    assert isinstance(found, Secret)
    assert found.standing.facts() == {"heartbeat": "Pending"}


def test_an_approval_without_an_end_is_one() -> None:
    endless = read_state(ok(state_body(7, approvalEnd="9999-12-31T23:59:59.9999999")))
    assert isinstance(endless, State)
    assert endless.facts["approved_until"] == "9999-12-31T23:59:59.9999999"


def test_what_evidence_says_of_it() -> None:
    assert Standing().facts() == {}
    standing = Standing(changed_at=NOON - 3600, heartbeat="Failed ", heartbeat_at=NOON, out_of_sync="Heartbeat failed")
    assert standing.facts() == {
        "secret_changed": "2026-11-26T11:00:00Z",
        "heartbeat": "Failed",
        "heartbeat_at": "2026-11-26T12:00:00Z",
    }
    assert Standing(heartbeat="x" * 9999).facts()["heartbeat"].startswith("xxx")
    assert len(Standing(heartbeat="x" * 9999).facts()["heartbeat"]) < 1000
