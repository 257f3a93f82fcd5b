"""Targets given by name: several addresses, dead, excluded and right ones, and what the report says of them."""

from __future__ import annotations

import csv
import io
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.lab import Lab
from tests.acceptance.product import ENDS_WITHIN_S, Product
from tests.cli.namespace import mounts
from tests.schemas import conforms

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

ESTATE = """
[[hosts]]
count = 2
network = "127.64.0.0/16"
"""
NAMES = ("web.example", "closed.example", "elsewhere.example", "nobody.example")


@mounts
def test_names_with_several_addresses(
    lab: Callable[[str], Lab], keymuster: Product, campaign: Callable[..., Path], tmp_path: Path
) -> None:
    estate = lab(ESTATE)
    web, excluded = estate.hosts
    here, there = web["address"], excluded["address"]
    known = {"web": ("::1", here), "closed": ("::1", there), "elsewhere": (there,)}
    lines = (f"{address} {name}.example\n" for name, addresses in known.items() for address in addresses)
    (tmp_path / "hosts").write_text("".join(lines))
    (tmp_path / "nsswitch.conf").write_text("hosts: files\n")
    record = f"""
[[records]]
title = "Unix"
technology = "unix"
user = "{web["user"]}"
vault = "Vault"
secret = "{web["secret"]}"
accounts = "local"
port = {estate.ready["ssh_port"]}
ips = {json.dumps(NAMES)}
"""
    targets = f'[targets]\ninclude = {json.dumps(NAMES)}\nexclude = ["{there}"]\n'
    file = campaign(estate.vault_table(), record, targets, '[pace]\ndeadline = "10s"\nretries = 0\n')
    binds = "".join(f"mount --bind {tmp_path}/{f} /etc/{f} && " for f in ("hosts", "nsswitch.conf"))
    command = " ".join(keymuster.command("run", file, "--format", "json"))
    ran = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", f"{binds}exec {command}"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=ENDS_WITHIN_S,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    document = json.loads(ran.stdout)
    conforms(document, "report")
    rows: dict[str, dict[str, Any]] = {row["target"]: row for row in document["targets"]}
    assert {name: (row["reason"], row["ip"], row["phase"]) for name, row in rows.items()} == {
        "web.example": ("PASSED", here, "logoff"),
        "closed.example": ("PORT_CLOSED", "::1", "tcp"),
        "elsewhere.example": ("REFUSED_BY_POLICY", None, "dns"),
        "nobody.example": ("DNS_FAILED", None, "dns"),
    }
    assert {name: row["evidence"]["facts"].get("addresses") for name, row in rows.items()} == {
        "web.example": f"::1 ECONNREFUSED, {here} connected",
        "closed.example": f"{there} not allowed, ::1 ECONNREFUSED",
        "elsewhere.example": f"{there} not allowed",
        "nobody.example": None,
    }
    counted = estate.metrics()["hosts"]
    assert len(counted[here]["logons"]) == 1
    assert not counted.get(there, {}).get("logons")
    table = csv.DictReader(io.StringIO(keymuster("report", "--format", "csv").stdout))
    assert {line["DNS"]: line["IP"] for line in table}["web.example"] == here
