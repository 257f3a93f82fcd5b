"""`keymuster plan --check-vault`: every secret that cannot be read is told before a run, and none is viewed."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.chaos.processes import until
from tests.acceptance.lab import Lab, running_lab
from tests.acceptance.product import Product, abort
from tests.schemas import conforms

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120), pytest.mark.keeps_open("one estate for the whole module")]

ESTATE = """
[[hosts]]
count = 6
network = "127.74.0.0/16"
faults = { none = 1, secret_missing = 1, secret_inactive = 1, secret_ambiguous = 1, secret_forbidden = 1, silent = 1 }

[[hosts]]
count = 3
network = "127.75.0.0/16"
secret = "shared"
secret_name = "shared secret"
"""
EXPECTED = {
    "secret_missing": "SECRET_NOT_FOUND",
    "secret_inactive": "SECRET_INACTIVE",
    "secret_ambiguous": "SECRET_AMBIGUOUS_NAME",
    "secret_forbidden": "SECRET_ACCESS_DENIED",
}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with running_lab(tmp_path_factory.mktemp("check"), ESTATE) as running:
        yield running


@pytest.fixture
def campaign(lab: Lab, tmp_path: Path) -> Path:
    file, tables = tmp_path / "campaign.toml", []
    for title, secret, prefix in (("Own", "unix-{address}", "127.74."), ("Shared", "shared secret", "127.75.")):
        ips = [host["address"] for host in lab.hosts if host["address"].startswith(prefix)]
        tables.append(f"""
[[records]]
title = "{title}"
technology = "unix"
user = "scan"
vault = "Vault"
secret = "{secret}"
accounts = "local"
port = {lab.ready["ssh_port"]}
ips = {ips}
""")
    targets = f"[targets]\ninclude = {[h['address'] for h in lab.hosts]}\n[pace]\ndeadline = '60s'\n"
    file.write_text(f'name = "checked"\n{lab.vault_table()}{"".join(tables)}{targets}', encoding="utf-8")
    return file


def judged(lab: Lab, document: dict[str, Any]) -> None:
    """The document names the secrets that cannot be read, and no other."""
    conforms(document, "plan")
    check = document["vault_check"]
    wrong = {h["secret"]: EXPECTED[h["fault"]] for h in lab.hosts if h["fault"] in EXPECTED}
    assert {problem["secret"]: problem["reason"] for problem in check["problems"]} == wrong
    assert (check["asked"], check["readable"]) == (7, 3)
    assert all(problem["targets"] == 1 and problem["advice"] for problem in check["problems"])


def test_what_cannot_be_read_is_told_and_nothing_is_viewed(lab: Lab, campaign: Path, keymuster: Product) -> None:
    before = lab.vault_seen()
    ended = keymuster("plan", campaign, "--check-vault", "--json")
    assert ended.code == 1, ended.stderr
    judged(lab, ended.document)
    after = lab.vault_seen()
    assert (after["views"], after["grants"] - before["grants"]) == (before["views"], 1)
    assert lab.metrics()["ssh"]["connections"] == 0, "no target was touched"


def test_the_same_for_people(lab: Lab, campaign: Path, keymuster: Product) -> None:
    ended = keymuster("plan", campaign, "--check-vault")
    assert ended.code == 1
    assert "3 of 7 secrets can be read; none was viewed" in ended.stdout
    for reason in EXPECTED.values():
        assert f"1 x {reason}: " in ended.stdout


def test_without_the_option_the_vault_is_not_asked(lab: Lab, campaign: Path, keymuster: Product) -> None:
    before = lab.vault_seen()["requests"]
    ended = keymuster("plan", campaign, "--json")
    assert (ended.code, ended.document["vault_check"]) == (0, None)
    assert lab.vault_seen()["requests"] == before


def test_a_vault_that_refuses_the_login_is_told_as_such(lab: Lab, campaign: Path, keymuster: Product) -> None:
    lab.vault_faults("refuse")
    try:
        ended = keymuster("plan", campaign, "--check-vault", "--json")
    finally:
        lab.vault_faults()
    assert (ended.code, ended.stdout) == (3, "")
    assert "VAULT_LOGIN_REFUSED" in ended.stderr


def test_through_the_holder_of_the_state_directory(lab: Lab, campaign: Path, keymuster: Product) -> None:
    """A run over the silent host holds the directory meanwhile."""
    with subprocess.Popen(
        keymuster.command("run", campaign), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as holder:
        until((keymuster.state / "holder.json").exists, "the holder")
        ended = keymuster("plan", campaign, "--check-vault", "--json")
        running = holder.poll() is None
        abort(holder)
    assert running
    judged(lab, ended.document)
