"""Hosts that turn the scanner away, in campaigns by the command line: asked again with back-off, and never failed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from appliance.contract import Technology
from appliance.vault.credential import Credential
from tests.acceptance.lab import Lab, running_lab
from tests.acceptance.product import Product
from tests.peers.attempt import attempt, make_job
from tests.peers.rows import WRONG
from tests.peers.sshd import Sshd

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


def run(directory: Path, lab: Lab, hosts: list[dict[str, Any]], patience: str) -> dict[str, dict[str, Any]]:
    """Each host's row, after one campaign on all of them."""
    records = "".join(
        f"""
[[records]]
title = "{host["address"]}"
technology = "unix"
user = "{host["user"]}"
vault = "Vault"
secret = "{host["secret"]}"
port = {host["port"]}
ips = ["{host["address"]}"]
accounts = "local"
"""
        for host in hosts
    )
    targets = ", ".join(f'"{host["address"]}"' for host in hosts)
    file = directory / "campaign.toml"
    file.write_text(
        f'name = "turned away"\n{lab.vault_table()}{records}[targets]\ninclude = [{targets}]\n'
        f'[pace]\nretries = 0\nthrottle_patience = "{patience}"\n'
    )
    ended = Product(directory / "state").run(file)
    assert ended.code == 0, ended.stderr
    return {row["target"]: row for row in ended.targets}


def earlier(row: dict[str, Any]) -> list[tuple[str, bool]]:
    return [(past["reason"], past["submitted"]) for past in row["earlier_attempts"]]


def test_simulated_hosts(tmp_path: Path) -> None:
    estate = "".join(f'[[hosts]]\nnetwork = "127.78.0.0/24"\nfault = "{fault}"\n' for fault in ("throttled", "penalty"))
    with running_lab(tmp_path, estate) as lab:
        rows = run(tmp_path, lab, lab.hosts, "12s")
        by_fault = {host["fault"]: rows[host["address"]] for host in lab.hosts}
        row = by_fault["throttled"]
        assert (row["reason"], row["attempts"], earlier(row)) == ("PASSED", 2, [("SSH_THROTTLED", False)])
        row = by_fault["penalty"]
        assert (row["reason"], row["status"], row["findings"]) == ("SSH_PENALTY", "Not Attempted", [])
        assert (row["attempts"], earlier(row)) == (2, [("SSH_PENALTY", False)])
        assert row["evidence"]["text"] == "Not allowed at this time"
        assert lab.vault_seen()["views"] == 1, "who turns us away costs no view of a secret"


@pytest.mark.peer
async def test_a_real_penalty_is_waited_for(tmp_path: Path, newer_sshd: Sshd) -> None:
    """A refused login of somebody else's has this source banned; ours passes as soon as that is over."""
    port = newer_sshd.other_ports["long penalties"]
    since = newer_sshd.now()
    secret = f'[[secrets]]\nname = "s"\ntemplate = "unix"\nuser = "good"\npassword = "{newer_sshd.passwords["good"]}"\n'
    with running_lab(tmp_path, secret) as lab:
        refused = await attempt(make_job(Technology.UNIX, "kbd", port), Credential(password=WRONG))
        assert refused.reason == "BAD_CREDENTIALS"
        host = {"address": "127.0.0.1", "user": "good", "secret": "s", "port": port}
        row = run(tmp_path, lab, [host], "60s")["127.0.0.1"]
    assert row["reason"] == "PASSED", row["evidence"]
    assert set(earlier(row)) == {("SSH_PENALTY", False)}
    assert [logon.ok for logon in newer_sshd.logons("good", since=since)] == [True]
