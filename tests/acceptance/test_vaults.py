"""How a campaign and its vault come together: naming secrets, https, domains, refusals; and nothing planned in vain."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.chaos.runs import Command
from tests.acceptance.lab import Lab
from tests.acceptance.product import Product
from tests.schemas import conforms

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

Serve = Callable[[str], Lab]
Write = Callable[..., Path]

HOSTS = """
[[hosts]]
count = 3
network = "127.61.0.0/16"
folder = '\\Scan\\Linux'
"""
ADDRESSES = ["127.61.0.1", "127.61.0.2", "127.61.0.3"]


def record(lab: Lab, secret: str, addresses: list[str] = ADDRESSES, title: str = "Unix") -> str:
    """`secret` is TOML."""
    return f"""
[[records]]
title = "{title}"
technology = "unix"
user = "scan"
vault = "Vault"
secret = {secret}
accounts = "local"
port = {lab.ready["ssh_port"]}
ips = {addresses}
"""


TARGETS = f"""
[targets]
include = {ADDRESSES}
"""


def test_a_secret_by_name_path_id_and_template(lab: Serve, keymuster: Product, campaign: Write) -> None:
    vault = lab(HOSTS)
    question = campaign(vault.vault_table(), record(vault, '"unix-{address}"'), TARGETS, name="question")
    told = keymuster("vault", "test", "Vault", "--campaign", question, "--secret", "unix-127.61.0.3")
    [number] = [line.split(": ")[1] for line in told.stdout.splitlines() if "secret_id" in line]
    targets = """
[targets]
include = [{ address = "127.61.0.1", host = "127.61.0.1" }, "127.61.0.2", "127.61.0.3"]
"""
    file = campaign(
        vault.vault_table(),
        record(vault, """{ path = '\\Scan\\Linux\\unix-{host}' }""", [ADDRESSES[0]], "by path"),
        record(vault, '{ name = "unix-{address}" }', [ADDRESSES[1]], "by name"),
        record(vault, f"{{ id = {number} }}", [ADDRESSES[2]], "by id"),
        targets,
    )
    ended = keymuster.run(file)
    assert ended.code == 0, ended.stderr
    assert ended.reasons == dict.fromkeys(ADDRESSES, "PASSED")
    seen = vault.vault_seen()
    assert seen["views_by_secret"] == {f"unix-{address}": 1 for address in ADDRESSES}


def test_https_with_an_authority_of_its_own(lab: Serve, keymuster: Product, campaign: Write) -> None:
    vault = lab("[vault]\ntls = true\n" + HOSTS)
    assert vault.ready["vault_url"].startswith("https://")
    trusting = vault.vault_table(more=f'tls = {{ ca = "{vault.ready["vault_ca"]}" }}')
    ended = keymuster.run(campaign(trusting, record(vault, '"unix-{address}"'), TARGETS))
    assert ended.code == 0, ended.stderr
    assert ended.reasons == dict.fromkeys(ADDRESSES, "PASSED")


def test_https_that_is_not_trusted(lab: Serve, keymuster: Product, campaign: Write) -> None:
    vault = lab("[vault]\ntls = true\n" + HOSTS)
    ended = keymuster.run(campaign(vault.vault_table(), record(vault, '"unix-{address}"'), TARGETS))
    assert (ended.code, ended.stdout) == (3, "")
    assert "VAULT_TLS" in ended.stderr
    assert "'Vault'" in ended.stderr
    assert keymuster.planned_runs() == []
    seen = vault.vault_seen()
    assert (seen["grants"], seen["failed_grants"], seen["requests"]) == (0, 0, 0)


@pytest.mark.parametrize("user", ["svc_scan", "CORP.example\\\\svc_scan"])
def test_a_vault_in_a_domain(lab: Serve, keymuster: Product, campaign: Write, user: str) -> None:
    vault = lab('[vault]\ndomain = "corp.example"\n' + HOSTS)
    table = vault.vault_table().replace('user = "svc_scan"', f'user = "{user}"')
    named = table if "example" in user else table + 'domain = "corp.example"\n'
    ended = keymuster.run(campaign(named, record(vault, '"unix-{address}"'), TARGETS))
    assert ended.code == 0, ended.stderr
    assert ended.reasons == dict.fromkeys(ADDRESSES, "PASSED")
    assert vault.vault_seen()["grants"] == 1


def test_a_domain_that_is_not_named(lab: Serve, keymuster: Product, campaign: Write) -> None:
    vault = lab('[vault]\ndomain = "corp.example"\n' + HOSTS)
    ended = keymuster.run(campaign(vault.vault_table(), record(vault, '"unix-{address}"'), TARGETS))
    assert (ended.code, ended.stdout) == (3, "")
    assert "VAULT_LOGIN_REFUSED" in ended.stderr
    assert keymuster.planned_runs() == []


@pytest.mark.parametrize("technology", ["unix", "windows"])
def test_a_vault_that_refuses_the_login(
    lab: Serve, keymuster: Product, campaign: Write, tmp_path: Path, technology: str
) -> None:
    """Asked once: a vault locks its user after five. And no target is touched, whatever its technology."""
    vault = lab(HOSTS)
    (tmp_path / "wrong").write_text("not it")
    table = vault.vault_table(password=f'{{ file = "{tmp_path / "wrong"}" }}')
    used = record(vault, '"unix-{address}"').replace('"unix"', f'"{technology}"')
    if technology == "windows":
        used = used.replace('accounts = "local"', 'domain_type = "local"')
    ended = keymuster.run(campaign(table, used, TARGETS))
    assert (ended.code, ended.stdout) == (3, "")
    assert "VAULT_LOGIN_REFUSED: Login failed." in ended.stderr
    assert keymuster.planned_runs() == []
    seen = vault.metrics()
    assert (seen["vault"]["failed_grants"], seen["vault"]["grants"], seen["vault"]["views"]) == (1, 0, 0)
    assert seen["ssh"]["connections"] == 0


@pytest.mark.parametrize(
    ("fault", "code"), [("down", "VAULT_ERROR"), ("html", "VAULT_BAD_RESPONSE"), ("throttled", "VAULT_RATE_LIMITED")]
)
def test_a_vault_that_is_not_well(lab: Serve, keymuster: Product, campaign: Write, fault: str, code: str) -> None:
    vault = lab(HOSTS)
    vault.vault_faults(fault)
    file = campaign(vault.vault_table(), record(vault, '"unix-{address}"'), TARGETS)
    ended = keymuster.run(file)
    assert (ended.code, ended.stdout) == (3, "")
    assert code in ended.stderr
    assert keymuster.planned_runs() == []
    vault.vault_faults()
    assert keymuster.run(file).reasons == dict.fromkeys(ADDRESSES, "PASSED")


def test_a_vault_that_nobody_serves(lab: Serve, keymuster: Product, campaign: Write) -> None:
    vault = lab(HOSTS)
    nobody = f"http://127.0.0.1:{vault.ready['closed_port']}/SecretServer"
    table = vault.vault_table().replace(vault.ready["vault_url"], nobody)
    ended = keymuster.run(campaign(table, record(vault, '"unix-{address}"'), TARGETS))
    assert (ended.code, ended.stdout) == (3, "")
    assert "VAULT_UNREACHABLE" in ended.stderr
    assert nobody in ended.stderr
    assert keymuster.planned_runs() == []


def test_questions_to_a_vault(lab: Serve, keymuster: Product, campaign: Write) -> None:
    vault = lab(HOSTS + '[[secrets]]\nname = "gone"\nstate = "inactive"\n')
    file = campaign(vault.vault_table(), record(vault, '"unix-{address}"'), TARGETS)

    def ask(*more: str) -> tuple[int, str]:
        ended = keymuster("vault", "test", "Vault", "--campaign", file, *more)
        return ended.code, ended.stdout

    code, said = ask()
    assert (code, said.splitlines()[0]) == (0, "Vault: the vault answers and takes the login")
    assert ask("--secret", f"unix-{ADDRESSES[0]}")[0] == 0
    code, said = ask("--secret", "no such secret")
    assert code == 3
    assert said.startswith("Vault: SECRET_NOT_FOUND")
    code, said = ask("--secret", "gone")
    assert code == 3
    assert said.startswith("Vault: SECRET_INACTIVE")
    assert vault.vault_seen()["views"] == 0
    other = keymuster("vault", "test", "Volt", "--campaign", file)
    assert other.code == 2
    assert "'Volt'" in other.stderr
    assert "'Vault'" in other.stderr
    assert keymuster.planned_runs() == []


def test_a_question_while_a_run_holds_the_state_directory(lab: Serve, keymuster: Product, campaign: Write) -> None:
    """It goes through the process of the run, over the bus, and the answer is whole."""
    vault = lab(HOSTS.replace("count = 3", 'count = 3\nfault = "silent"'))
    pace = '[pace]\ndeadline = "60s"\nretries = 0\n'
    file = campaign(vault.vault_table(), record(vault, '"unix-{address}"'), TARGETS, pace)
    run = Command(keymuster.state, "run", str(file))
    try:
        assert run.run
        asked = ("vault", "test", "Vault", "--campaign", file, "--secret")
        missing = keymuster(*asked, "no such secret", "--json")
        there = keymuster(*asked, f"unix-{ADDRESSES[0]}", "--json")
        assert run.process.poll() is None, "the run has ended before it was asked anything"
    finally:
        run.end()
    for ended in (missing, there):
        conforms(ended.document, "vault-test")
    assert (missing.code, missing.document["reason"]) == (3, "SECRET_NOT_FOUND")
    assert (there.code, there.document["ok"]) == (0, True)
    assert "secret_id" in there.document["facts"]


def test_probe_tries_one_host_with_one_record(lab: Serve, keymuster: Product, campaign: Write) -> None:
    vault = lab(HOSTS)
    targets = '[targets]\ninclude = ["127.61.0.1"]\n'
    file = campaign(
        vault.vault_table(),
        record(vault, '"unix-{address}"', ADDRESSES[:2], "right"),
        record(vault, '"no such secret"', ADDRESSES[2:], "wrong"),
        targets,
    )
    # 127.61.0.3 is neither among the campaign's targets nor in this record's ips: the user's word is enough.
    right = keymuster("probe", "127.61.0.3", "--record", "right", "--campaign", file, "--format", "json")
    assert right.code == 0, right.stderr
    assert right.reasons == {"127.61.0.3": "PASSED"}
    wrong = keymuster("probe", "127.61.0.1", "--record", "wrong", "--campaign", file, "--format", "json")
    assert wrong.reasons == {"127.61.0.1": "SECRET_NOT_FOUND"}
    nobody = keymuster("probe", "127.61.0.1", "--record", "other", "--campaign", file)
    assert nobody.code == 2
    assert "'right', 'wrong'" in nobody.stderr
    logons = {address: len(host["logons"]) for address, host in vault.metrics()["hosts"].items()}
    assert logons == {"127.61.0.1": 0, "127.61.0.2": 0, "127.61.0.3": 1}
