"""`keymuster vault rights`: users with what a campaign needs, with less, and with more; and nothing is viewed."""

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

PASSWORD = {"KEYMUSTER_TEST_PASSWORD": "known to this test"}
ESTATE = """
[[vault.users]]
name = "just_enough"
password = "known to this test"
permissions = ["View Secret", "View Secret Audit", "View Launcher Password"]
[[vault.users]]
name = "too_little"
password = "known to this test"
permissions = ["View Secret"]
access = { '\\' = "list" }
[[vault.users]]
name = "too_much"
password = "known to this test"
permissions = ["View Secret", "View Secret Audit", "View Launcher Password", "Force Check In"]
access = { '\\' = "edit" }
[[vault.users]]
name = "boss"
password = "known to this test"
permissions = ["Unlimited Administrator"]

[[hosts]]
count = 3
network = "127.77.0.0/16"
faults = { none = 2, silent = 1 }
[[hosts]]
count = 2
network = "127.78.0.0/16"
secret = "shared"
secret_name = "shared secret"
"""
SECRETS = 4


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with running_lab(tmp_path_factory.mktemp("rights"), ESTATE) as running:
        yield running


def campaign(lab: Lab, where: Path, user: str = "", more: str = "") -> Path:
    file, tables = where / "campaign.toml", []
    for title, secret, prefix in (("Own", "unix-{address}", "127.77."), ("Shared", "shared secret", "127.78.")):
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
    table = lab.vault_table(password='{ env = "KEYMUSTER_TEST_PASSWORD" }' if user else "")
    if user:
        table = table.replace(f'user = "{lab.ready["vault_user"]}"', f'user = "{user}"')
    targets = f"[targets]\ninclude = {[h['address'] for h in lab.hosts]}\n[pace]\ndeadline = '60s'\n"
    file.write_text(f'name = "rights"\n{table}{"".join(tables)}{more}{targets}', encoding="utf-8")
    return file


def asked(lab: Lab, keymuster: Product, where: Path, user: str) -> tuple[int, dict[str, Any], set[tuple[str, str]]]:
    """Exit code, the vault's part of the document, and permissions and roles with what is wrong with them."""
    before = lab.vault_seen()
    ended = keymuster("vault", "rights", campaign(lab, where, user), "--json", env=PASSWORD)
    assert ended.code in (0, 1), ended.stderr
    conforms(ended.document, "vault-rights")
    after = lab.vault_seen()
    assert after["views"] == before["views"]
    assert ended.document["ok"] == (ended.code == 0)
    [vault] = ended.document["vaults"]
    assert vault["user"] == user
    wrong = {(p["permission"], p["verdict"]) for p in vault["permissions"] if p["verdict"] in ("lacks", "too much")}
    wrong |= {(s["has"] or "nothing", s["verdict"]) for s in vault["secrets"] if s["verdict"] != "ok"}
    assert len(vault["secrets"]) == SECRETS
    return ended.code, vault, wrong


def test_enough_and_no_more(lab: Lab, keymuster: Product, tmp_path: Path) -> None:
    code, vault, wrong = asked(lab, keymuster, tmp_path, "just_enough")
    assert (code, wrong) == (0, set())
    assert sum(folder["secrets"] for folder in vault["folders"]) == SECRETS
    assert sorted(secret["targets"] for secret in vault["secrets"]) == [1, 1, 1, 2]
    hidden = next(p for p in vault["permissions"] if p["permission"] == "View Launcher Password")
    assert (hidden["needed"], hidden["verdict"]) == (False, "not needed")


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ("too_little", {("View Secret Audit", "lacks"), ("List", "lacks")}),
        ("too_much", {("Force Check In", "too much"), ("Edit", "too much")}),
        (
            "boss",
            {
                ("Unlimited Administrator", "too much"),
                ("View Secret", "lacks"),
                ("View Secret Audit", "lacks"),
                ("Owner", "too much"),
            },
        ),
    ],
)
def test_what_lacks_and_what_is_too_much(
    lab: Lab, keymuster: Product, tmp_path: Path, user: str, expected: set[tuple[str, str]]
) -> None:
    code, _, wrong = asked(lab, keymuster, tmp_path, user)
    assert (code, wrong) == (1, expected)
    told = keymuster("vault", "rights", campaign(lab, tmp_path, user), env={**PASSWORD, "COLUMNS": "160"})
    assert told.code == 1
    assert all(word in told.stdout for pair in expected for word in pair)
    assert "No secret was viewed" in told.stdout


def test_a_template_that_hides_the_password_wants_a_right_of_its_own(
    lab: Lab, keymuster: Product, tmp_path: Path
) -> None:
    secret = lab.hosts[0]["secret"]
    lab.secret_security(secret, hide_password=True)
    try:
        _, vault, wrong = asked(lab, keymuster, tmp_path, "just_enough")
        assert wrong == set()
        assert ("View Launcher Password", "ok") in {(p["permission"], p["verdict"]) for p in vault["permissions"]}
        assert ("View Launcher Password", "lacks") in asked(lab, keymuster, tmp_path, "too_little")[2]
    finally:
        lab.secret_security(secret)


def test_a_secret_that_is_not_there_is_lacking(lab: Lab, keymuster: Product, tmp_path: Path) -> None:
    secret = lab.hosts[0]["secret"]
    lab.secret_states(**{secret: "missing"})
    try:
        code, vault, wrong = asked(lab, keymuster, tmp_path, "just_enough")
    finally:
        lab.secret_states(**{secret: "readable"})
    assert (code, wrong) == (1, {("nothing", "lacks")})
    [lacking] = [s for s in vault["secrets"] if s["verdict"] == "lacks"]
    assert (lacking["secret"], "SECRET_NOT_FOUND" in lacking["why"]) == (secret, True)


@pytest.mark.parametrize("fault", ["down", "refuse", "forbidden", "html"])
def test_a_vault_that_does_not_answer_is_told(lab: Lab, keymuster: Product, tmp_path: Path, fault: str) -> None:
    lab.vault_faults(fault)
    try:
        ended = keymuster("vault", "rights", campaign(lab, tmp_path), "--json")
    finally:
        lab.vault_faults()
    assert (ended.code, ended.stdout, "VAULT_" in ended.stderr) == (3, "", True), ended.stderr


def test_bad_input_is_told(lab: Lab, keymuster: Product, tmp_path: Path) -> None:
    file = campaign(lab, tmp_path, more=lab.vault_table("Spare"))
    for arguments, code, said in (
        ((tmp_path / "none.toml",), 2, "none.toml"),
        ((file, "--vault", "Other"), 2, "'Other'"),
        ((file, "--vault", "Spare"), 5, "'Spare'"),
    ):
        ended = keymuster("vault", "rights", *arguments)
        assert (ended.code, said in ended.stderr, ended.stdout) == (code, True, ""), ended.stderr


def test_through_the_holder_of_the_state_directory(lab: Lab, keymuster: Product, tmp_path: Path) -> None:
    """A run over the silent host holds the directory meanwhile."""
    file = campaign(lab, tmp_path)
    command = keymuster.command("run", file)
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as holder:
        until((keymuster.state / "holder.json").exists, "the holder")
        ended = keymuster("vault", "rights", file, "--json")
        running = holder.poll() is None
        abort(holder)
    assert running
    assert (ended.code, len(ended.document["vaults"][0]["secrets"])) == (0, SECRETS)
