"""What a vault says of a secret beside its values, and when that refutes the password."""

from __future__ import annotations

import pytest

from appliance.contract import OUT_OF_SYNC
from appliance.vault.standing import Standing

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
