"""A campaign by SOAP ends as the same campaign by REST does: whatever is wrong with the vault, or with its secrets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from targets.faults import SecretState
from tests.acceptance.lab import Lab
from tests.acceptance.product import Ended, Product

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

Serve = Callable[[str], Lab]
Write = Callable[..., Path]

ADDRESSES = ["127.62.0.1", "127.62.0.2", "127.62.0.3"]
FAULTS = ("refuse", "expire_tokens", "ip_blocked", "forbidden", "html", "read_only")
"""Different in kind, and soon over; what makes a client wait has its place among the unit tests."""
HOSTS = """
[[hosts]]
count = 3
network = "127.62.0.0/16"
"""
PACE = '[pace]\ndeadline = "15s"\nretries = 0\nvault_patience = "3s"\n'


def record(lab: Lab, secret: str, addresses: list[str], title: str = "Unix", more: str = "") -> str:
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
{more}
"""


def by(api: str, lab: Lab, campaign: Write, *parts: str) -> Path:
    return campaign(lab.vault_table(more=f'api = "{api}"'), *parts, PACE, name=api)


def ending(ended: Ended) -> tuple[int, dict[str, str], str]:
    """Exit code, reasons by target, and the reason for which nothing was begun."""
    if ended.stdout:
        return ended.code, ended.reasons, ""
    return (
        ended.code,
        {},
        next((word for word in ended.stderr.replace(":", " ").split() if word.startswith("VAULT_")), ""),
    )


@pytest.mark.parametrize("fault", ["", *FAULTS])
def test_each_fault_of_a_vault_has_the_same_end(lab: Serve, keymuster: Product, campaign: Write, fault: str) -> None:
    vault = lab("[vault]\nslow = 0.2\n" + HOSTS)
    targets = f"[targets]\ninclude = {ADDRESSES}\n"
    parts = (record(vault, '"unix-{address}"', ADDRESSES), targets)
    files = {api: by(api, vault, campaign, *parts) for api in ("rest", "soap")}
    vault.vault_faults(*([fault] if fault else []))
    ends = {api: ending(keymuster.run(file)) for api, file in files.items()}
    assert ends["soap"] == ends["rest"]
    _, reasons, nothing_begun = ends["rest"]
    assert reasons or nothing_begun, "it is told why"
    assert fault or set(reasons.values()) == {"PASSED"}


def test_each_state_of_a_secret_has_the_same_end(lab: Serve, keymuster: Product, campaign: Write) -> None:
    states = [state.value for state in SecretState]
    wants = {"check-out": "checkout = true", "approval": 'approvers = ["boss"]', "double lock": 'double_lock = "KMS-2"'}
    estate, addresses = '[[vault.users]]\nname = "boss"\n', {}
    for number, kind in enumerate((*states, *wants, "key"), start=1):
        addresses[kind] = f"127.63.{number}.1"
        login = "key" if kind == "key" else "password"
        estate += f'[[hosts]]\nnetwork = "127.63.{number}.0/24"\nlogin = "{login}"\n'
        estate += f"security = {{ {wants.get(kind, '')} }}\n"
    vault = lab(estate)
    vault.secret_states(**{f"unix-{addresses[state]}": state for state in states})
    parts = [
        record(vault, '"unix-{address}"', [a], s, "private_key = true" if s == "key" else "")
        for s, a in addresses.items()
    ]
    targets = f"[targets]\ninclude = {list(addresses.values())}\n"
    ends = {}
    for api in ("rest", "soap"):
        ended = keymuster.run(by(api, vault, campaign, *parts, targets))
        ends[api] = {state: ended.reasons[address] for state, address in addresses.items()}
    assert ends["soap"] == ends["rest"]
    assert ends["soap"]["check-out"] == ends["soap"]["comment"] == ends["soap"]["key"] == "PASSED"
    assert ends["soap"]["approval"] == "SECRET_NEEDS_APPROVAL"
    seen = vault.vault_seen()
    assert (seen["checkouts"], seen["checkins"]) == (2, 2), "each run has given back what it took"


def test_a_wrong_password_costs_one_bad_login(lab: Serve, keymuster: Product, campaign: Write, tmp_path: Path) -> None:
    vault = lab(HOSTS)
    (tmp_path / "wrong").write_text("not it")
    table = vault.vault_table(password=f'{{ file = "{tmp_path / "wrong"}" }}', more='api = "soap"')
    targets = f"[targets]\ninclude = {ADDRESSES}\n"
    ended = keymuster.run(campaign(table, record(vault, '"unix-{address}"', ADDRESSES), targets))
    assert (ended.code, ended.stdout) == (3, "")
    assert "VAULT_LOGIN_REFUSED: Login failed." in ended.stderr
    seen = vault.metrics()
    assert (seen["vault"]["failed_grants"], seen["vault"]["grants"], seen["vault"]["views"]) == (1, 0, 0)
    assert seen["ssh"]["connections"] == 0


@pytest.mark.parametrize(("api", "spoken"), [("rest", "rest"), ("soap", "soap"), ("auto", "rest")])
def test_a_question_says_what_is_spoken(lab: Serve, keymuster: Product, campaign: Write, api: str, spoken: str) -> None:
    vault = lab(HOSTS)
    parts = (record(vault, '"unix-{address}"', ADDRESSES), f"[targets]\ninclude = {ADDRESSES}\n")
    told = keymuster("vault", "test", "Vault", "--campaign", by(api, vault, campaign, *parts))
    assert told.code == 0, told.stderr
    assert f"  api: {spoken}" in told.stdout.splitlines()
