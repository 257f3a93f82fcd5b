"""A campaign whose hosts are reached through a jump host: a real sshd, and simulated hosts behind it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.lab import Lab
from tests.acceptance.product import Product
from tests.peers.sshd import Sshd
from tests.schemas import conforms

pytestmark = [pytest.mark.peer, pytest.mark.slow, pytest.mark.timeout(240)]

Serve = Callable[[str], Lab]
Write = Callable[..., Path]

FAULTS = {
    "none": "PASSED",
    "wrong_password": "BAD_CREDENTIALS",
    "reset": "CONNECTION_RESET",
    "reset_at_login": "AUTH_DROPPED",
    "silent": "BANNER_TIMEOUT",
    "stalled_login": "AUTH_TIMEOUT",
}
ESTATE = """
[[hosts]]
count = 25
network = "127.65.0.0/16"
secret_name = "login-{address}"
faults = { none = 20, wrong_password = 1, reset = 1, reset_at_login = 1, silent = 1, stalled_login = 1 }

[[secrets]]
name = "jump_secret"
template = "unix"
user = "jumper"
password = "PASSWORD"
"""


def written(lab: Lab, campaign: Write, sshd: Sshd, jump: str, more: str = "", name: str = "behind") -> Path:
    addresses = [host["address"] for host in lab.hosts]
    record = f"""
[[records]]
title = "Behind"
technology = "unix"
user = "{lab.hosts[0]["user"]}"
vault = "Vault"
secret = "login-{{address}}"
accounts = "local"
port = {lab.ready["ssh_port"]}
ips = {json.dumps(addresses)}
jump = {{ host = "127.0.0.1", port = {sshd.port}, user = "jumper", secret = "jump_secret"{jump} }}
"""
    targets = f"[targets]\ninclude = {json.dumps(addresses)}\n{more}"
    return campaign(lab.vault_table(), record, targets, '[pace]\ndeadline = "12s"\nretries = 0\n', name=name)


def test_hosts_behind_a_jump_host(lab: Serve, keymuster: Product, campaign: Write, sshd: Sshd, tmp_path: Path) -> None:
    estate = lab(ESTATE.replace("PASSWORD", sshd.passwords["jumper"]))
    (tmp_path / "jump_keys").write_text(f"[127.0.0.1]:{sshd.port} {sshd.host_key()}\n")
    file = written(estate, campaign, sshd, ', host_keys = "pinned", known_hosts = "jump_keys"')
    plan = keymuster("plan", file)
    assert plan.code == 0, plan.stderr
    said = " ".join(plan.stdout.split())
    assert f"Note: jump host 127.0.0.1:{sshd.port}: every scan process logs in there once" in said
    checked = keymuster("plan", file, "--check-vault")
    assert "26 of 26 secrets can be read" in checked.stdout, checked.stdout + checked.stderr
    since = sshd.now()
    ended = keymuster.run(file)
    assert ended.code == 0, ended.stderr
    conforms(ended.document, "report")
    truth = {host["address"]: FAULTS[host["fault"]] for host in estate.hosts}
    assert ended.reasons == truth
    assert {row["ip"] for row in ended.targets} == set(truth)
    assert {row["evidence"]["facts"]["jump_host"] for row in ended.targets} == {f"127.0.0.1:{sshd.port}"}
    logons = sshd.logons("jumper", since=since)
    assert all(logon.ok for logon in logons)
    assert 1 <= len(logons) <= 8, "one for each scan process, however many targets"
    audited = keymuster("audit", "--json")
    assert audited.code == 0, audited.stdout + audited.stderr
    clean = keymuster("verify-clean", "--yes", "--json")
    assert (clean.code, clean.document["found"]) == (0, []), clean.stdout
    assert sshd.passwords["jumper"] not in ended.stdout + ended.stderr


def test_a_jump_host_that_refuses_is_asked_once(lab: Serve, keymuster: Product, campaign: Write, sshd: Sshd) -> None:
    estate = lab(ESTATE.replace("PASSWORD", "Wr0ng-Marker-0817"))
    since = sshd.now()
    ended = keymuster.run(written(estate, campaign, sshd, ""))
    assert ended.code == 0, ended.stderr
    found = Counter(ended.reasons.values())
    assert found["JUMP_REFUSED"] == 1
    assert found["JUMP_SKIPPED"] == 24
    assert {row["status"] for row in ended.targets} == {"Not Attempted"}
    assert [logon.ok for logon in sshd.logons("jumper", since=since)] == [False]
    assert not any(host["logons"] for host in estate.metrics()["hosts"].values())
    causes = {(cause["reason"], cause["shared"], cause["value"]) for cause in ended.document["causes"]}
    assert ("JUMP_SKIPPED", "jump host", f"127.0.0.1:{sshd.port}") in causes


def test_a_stop_binds_the_jump_hosts_account(lab: Serve, keymuster: Product, campaign: Write, sshd: Sshd) -> None:
    estate = lab(ESTATE.replace("PASSWORD", sshd.passwords["jumper"]))
    file = written(estate, campaign, sshd, "")
    since = sshd.now()
    stopped = keymuster("stop", "--account", "jumper@127.0.0.1", "--why", "ticket 4712")
    assert stopped.code == 0, stopped.stderr
    assert set(keymuster.run(file).reasons.values()) == {"STOPPED"}
    assert sshd.logons("jumper", since=since) == []


@pytest.mark.parametrize(
    ("jump", "more", "said"),
    [
        (', vault = "W"', "", "records[0].jump.vault: there is no vault 'W'"),
        (', hosts = "x"', "", "records[0].jump.hosts: is no known key; did you mean host?"),
        ("", 'exclude = ["127.0.0.1"]\n', "records[0].jump.host: is excluded by [targets] exclude"),
    ],
)
def test_a_jump_host_that_cannot_be_used(
    lab: Serve, keymuster: Product, campaign: Write, sshd: Sshd, jump: str, more: str, said: str
) -> None:
    ended = keymuster.stateless("config", "check", written(lab(ESTATE), campaign, sshd, jump, more))
    assert ended.code == 2
    assert said in " ".join(ended.stderr.split())
