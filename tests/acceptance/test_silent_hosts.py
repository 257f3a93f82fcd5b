"""300 hosts that take the connection and say nothing: they hold nobody up, cost no vault read, and leave nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import pytest

from tests.acceptance.chaos.processes import adopting, descendants, strangers, until
from tests.acceptance.lab import Lab
from tests.acceptance.product import Ended, Product

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

SILENT = 300
DEADLINE_S = 6.0
"""Longer than it takes to dial them all, so that all are silent at once."""
RANGE = "127.62.0.1-127.62.1.44"

ESTATE = f"""
[[hosts]]
count = {SILENT}
network = "127.62.0.0/16"
fault = "silent"
"""


def silent_campaign(lab: Lab) -> str:
    return f"""
{lab.vault_table()}
[[records]]
title = "Unix"
technology = "unix"
user = "scan"
vault = "Vault"
secret = "unix-{{address}}"
accounts = "local"
port = {lab.ready["ssh_port"]}
ips = ["{RANGE}"]

[targets]
include = ["{RANGE}"]

[pace]
retries = 0
deadline = "{DEADLINE_S:g}s"
capacity = {SILENT}
"""


@pytest.fixture
def _adopting() -> Iterator[None]:
    with adopting():
        yield


@pytest.mark.usefixtures("_adopting")
def test_silent_hosts(lab: Callable[[str], Lab], keymuster: Product, campaign: Callable[..., Path]) -> None:
    vault = lab(ESTATE)
    ours = set(descendants(os.getpid()))
    ended = keymuster.run(campaign(silent_campaign(vault)))
    assert ended.code == 0, ended.stderr
    assert len(ended.targets) == SILENT
    assert {(row["reason"], row["status"]) for row in ended.targets} == {("BANNER_TIMEOUT", "Not Attempted")}
    assert {row["attempts"] for row in ended.targets} == {1}
    assert not any(row["findings"] for row in ended.targets)

    seen = vault.metrics()
    assert {host["connections"] for host in seen["hosts"].values()} == {1}
    assert not any(host["logons"] for host in seen["hosts"].values())
    assert (seen["vault"]["views"], seen["vault"]["grants"]) == (0, 1)

    ended_together(ended)
    until(lambda: vault.metrics()["ssh"]["open"] == 0, "the end of all connections")
    assert vault.metrics()["ssh"]["open_peak"] == SILENT
    assert strangers(ours) == []
    assert not (keymuster.state / "holder.json").exists()


def ended_together(ended: Ended) -> None:
    """Each was given up at its own deadline, and none waited for another: the whole takes one deadline, not 300.

    The bound is a twentieth of what waiting in line would take; what comes on top of the deadline is the machine's.
    """
    for row in ended.targets:
        assert row["duration_ms"] >= DEADLINE_S * 1000 - 1
        [silence] = [p["ms"] for p in row["evidence"]["phases"] if p["phase"] == "negotiate"]
        assert silence > 0.5 * row["duration_ms"]
    began = min(datetime.fromisoformat(row["started_at"]) for row in ended.targets)
    over = max(datetime.fromisoformat(row["finished_at"]) for row in ended.targets)
    assert (over - began).total_seconds() < SILENT * DEADLINE_S / 20
