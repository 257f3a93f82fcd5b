"""Further keys and a password after them: what a campaign plans, reads, counts and tells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from targets.material import MARKER
from tests.acceptance.lab import Lab
from tests.acceptance.product import Product
from tests.schemas import conforms

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

Serve = Callable[[str], Lab]
Write = Callable[..., Path]

ESTATE = """
[[hosts]]
count = 3
network = "127.67.0.0/16"
login = "key"

[[hosts]]
count = 4
network = "127.68.0.0/16"
faults = { none = 3, wrong_password = 1 }

[[hosts]]
count = 2
network = "127.69.0.0/16"
faults = { key_only = 1, secret_missing = 1 }

[[secrets]]
name = "old key"
template = "unix"
user = "scan"
login = "key"
"""


def campaign_of(lab: Lab, campaign: Write) -> Path:
    """All hosts are shown a key of nobody's first, and what is in their own secret then."""
    records = ""
    for kind, key in (("keys", "true"), ("passwords", "false")):
        ips = [h["address"] for h in lab.hosts if (h["login"] == "key") == (kind == "keys")]
        records += f"""
[[records]]
title = "{kind}"
technology = "unix"
user = "scan"
vault = "Vault"
secret = "old key"
private_key = true
fallback = [{{ secret = "unix-{{address}}", private_key = {key} }}]
accounts = "local"
port = {lab.ready["ssh_port"]}
ips = {ips}
"""
    included = [host["address"] for host in lab.hosts]
    return campaign(lab.vault_table(), records, f"[targets]\ninclude = {included}\n[pace]\nretries = 0\n")


def test_each_is_read_where_the_host_has_refused_what_came_before(
    lab: Serve, keymuster: Product, campaign: Write
) -> None:
    vault = lab(ESTATE)
    file = campaign_of(vault, campaign)
    planned = keymuster("plan", file, "--json")
    conforms(planned.document, "plan")
    first = planned.document["targets"][0]
    assert first["records"][0]["then"] == [f"private key of name unix-{first['address']} in 'Vault'"]

    ended = keymuster.run(file)
    assert not MARKER.search((ended.stdout + ended.stderr).encode())
    expected = {
        "none": "PASSED",
        "wrong_password": "BAD_CREDENTIALS",
        "key_only": "KEY_REFUSED",
        "secret_missing": "SECRET_NOT_FOUND",
    }
    assert ended.reasons == {h["address"]: expected[h["fault"]] for h in vault.hosts}
    answers = {row["target"]: row["evidence"]["facts"].get("answer") for row in ended.targets}
    for host in vault.hosts:
        if host["fault"] == "none":
            kind = "key" if host["login"] == "key" else "password"
            assert answers[host["address"]] == f"2 of 2: {kind} of secret unix-{host['address']}"
        if host["fault"] == "key_only":
            assert answers[host["address"]] == "1 of 2: key of secret old key"

    seen = vault.vault_seen()["views_by_secret"]
    asked = {h["address"]: h for h in vault.hosts if h["fault"] in ("none", "wrong_password")}
    views = Counter({"old key": 2 * len(vault.hosts)})  # a key costs two views, since its file is read by itself
    for address, host in asked.items():
        looks = 2 if host["fault"] == "wrong_password" else 1
        views[f"unix-{address}"] = looks * (2 if host["login"] == "key" else 1)
    assert seen == views

    run = ended.document["run"]["id"]
    audited = keymuster("audit", run, "--json")
    assert audited.code == 0, audited.stderr
    assert Counter(pair["secret"] for pair in audited.document["pairs"]) == Counter(seen)
    searched = keymuster("verify-clean", run, "--yes", "--json")
    assert searched.document["found"] == []
    assert searched.document["secrets"] >= len(asked) + 1


def test_a_stopped_fallback_stops_the_login(lab: Serve, keymuster: Product, campaign: Write) -> None:
    vault = lab(ESTATE)
    address = vault.hosts[0]["address"]
    assert keymuster("stop", "--secret", f"unix-{address}").code == 0
    ended = keymuster.run(campaign_of(vault, campaign))
    assert ended.reasons[address] == "STOPPED"
    assert f"unix-{address}" not in vault.vault_seen()["views_by_secret"]
