"""Campaigns with Kerberos at a real domain controller, by the command line: reason, report, and what it counted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.lab import Lab, running_lab
from tests.acceptance.product import Ended, Product, result_lines
from tests.peers.ad import ADDRESS, HOST, PASSWORDS, REALM, Directory

pytestmark = [pytest.mark.peer, pytest.mark.slow, pytest.mark.timeout(240)]

WRONG = "Wr0ng-Marker-0815"
NOBODY = f"{ADDRESS}:4"


@dataclass(frozen=True, slots=True)
class Case:
    user: str
    kerberos: str
    status: str
    reason: str
    kdc: str = ADDRESS
    fqdn: str = HOST
    password: str = ""
    counted: int = 0
    views: int = 1
    facts: dict[str, str] = field(default_factory=dict)


TICKET = {"authentication": "Kerberos", "realm": REALM, "service": f"cifs/{HOST}", "kdc": f"{ADDRESS}:88"}
CASES = {
    "required": Case("adadmin", "required", "Passed", "PASSED", facts=TICKET),
    "preferred": Case("adadmin", "prefer", "Passed", "PASSED", facts=TICKET),
    "no controller, preferred": Case(
        "adadmin", "prefer", "Passed", "PASSED", kdc=NOBODY, facts={"authentication": "NTLMv2"}
    ),
    "no controller, required": Case("adadmin", "required", "Not Attempted", "KDC_UNREACHABLE", kdc=NOBODY, views=0),
    "wrong password": Case(
        "adwrong", "prefer", "Failed", "BAD_CREDENTIALS", password=WRONG, counted=1, views=2, facts=TICKET
    ),
    "disabled": Case("addisabled", "required", "Failed", "ACCOUNT_DISABLED", facts=TICKET),
    "no name": Case("adadmin", "required", "Not Attempted", "NO_RECORD", fqdn="", views=0),
}


@dataclass(frozen=True, slots=True)
class Campaigned:
    case: Case
    ended: Ended
    row: dict[str, Any]
    views: dict[str, int]
    counted: int


@pytest.fixture(scope="module")
def network(directory: Directory) -> Iterator[Directory]:
    """Everything that is started here has the controller's network: vault, bus and appliance too."""
    with directory.inside():
        yield directory


@pytest.fixture(params=CASES)
def ran(request: pytest.FixtureRequest, network: Directory, tmp_path: Path) -> Campaigned:
    case = CASES[request.param]
    for user in PASSWORDS:
        network.clear(user)
    secret = f'[[secrets]]\nname = "s"\ntemplate = "windows"\nuser = "{case.user}"\n'
    with running_lab(tmp_path, f'seed = 3\n{secret}password = "{case.password or PASSWORDS[case.user]}"\n') as lab:
        file = tmp_path / "campaign.toml"
        file.write_text(campaign(case, lab))
        ended = Product(tmp_path / "state").run(file)
        [row] = ended.targets
        return Campaigned(case, ended, row, lab.vault_seen()["views_by_secret"], network.failures(case.user))


def campaign(case: Case, lab: Lab) -> str:
    named = f', fqdn = "{case.fqdn}"' if case.fqdn else ""
    return f"""
name = "kerberos"
{lab.vault_table()}
[[records]]
title = "AD"
technology = "windows"
user = "{case.user}"
vault = "Vault"
secret = "s"
ips = ["{ADDRESS}"]
domain = "LAB"
realm = "{REALM.lower()}"
kerberos = "{case.kerberos}"
kdc = "{case.kdc}"
[pace]
retries = 0
[targets]
include = [{{ address = "{ADDRESS}"{named} }}]
"""


def test_a_campaign_with_kerberos(ran: Campaigned) -> None:
    case, row = ran.case, ran.row
    assert (row["status"], row["reason"]) == (case.status, case.reason), row["evidence"]
    assert [finding["qid"] for finding in row["findings"]] == ([105015] if case.status == "Failed" else [])
    facts = row["evidence"]["facts"]
    assert {name: facts.get(name) for name in case.facts} == case.facts
    assert ran.counted == case.counted
    assert sum(ran.views.values()) == case.views
    assert ran.ended.code == 0, ran.ended.stderr
    for value in (WRONG, PASSWORDS[case.user]):
        assert value not in ran.ended.stdout + ran.ended.stderr
    if case.reason == "NO_RECORD":
        assert "give it an fqdn" in result_lines(row)["Evidence"]
