"""No secret of the estate is left anywhere that outlives a run: state directory, bus files, logs, store, reports."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from targets.material import MARKER
from tests.acceptance.lab import Lab
from tests.acceptance.product import Product

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

ESTATE = """
[[hosts]]
count = 30
network = "127.63.0.0/16"
user = "scan"
account = "local"
faults = { none = 4, wrong_password = 1, no_sudo = 1 }
"""


def test_no_marker_is_left(lab: Callable[[str], Lab], keymuster: Product, campaign: Callable[..., Path]) -> None:
    vault = lab(ESTATE)
    addresses = [host["address"] for host in vault.hosts]
    text = f"""
{vault.vault_table()}
[[records]]
title = "Unix"
technology = "unix"
user = "scan"
vault = "Vault"
secret = "unix-{{address}}"
accounts = "local"
port = {vault.ready["ssh_port"]}
ips = {addresses}

[targets]
include = {addresses}
"""
    ended = keymuster.run(campaign(text.replace("'", '"')))
    assert len(ended.targets) == 30, ended.stderr
    assert vault.vault_seen()["views"] >= 30, "the secrets were read, so there was something to leave behind"
    assert MARKER.search(vault.password.encode()), "the marker is what the search looks for"

    files = [path for path in keymuster.state.rglob("*") if path.is_file()]
    assert {"keymuster.db", "appliance.log"} <= {path.name for path in files}
    assert [path for path in files if MARKER.search(path.read_bytes())] == []
    assert not MARKER.search(ended.stderr.encode())
    assert not MARKER.search(repr(ended.targets).encode())
