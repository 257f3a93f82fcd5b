"""The article's example as it is written there, against a real Samba: from vault and record to the right finding."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.lab import Lab
from tests.acceptance.product import Product, result_lines
from tests.peers.smbd import Smbd

pytestmark = [pytest.mark.peer, pytest.mark.timeout(120)]

USER = "vm_scan_account"

ESTATE = """
[vault]
user = "qualys_webservices"

[[secrets]]
name = "win_scan_secret"
template = "windows"
user = "vm_scan_account"
password = "{password}"
"""

VAULT = """
[[vaults]]
title = "Secret Server Vault"
type = "Thycotic Secret Server"
url = "{url}"
user = "qualys_webservices"
password = {{ env = "SECRET_SERVER_PASSWORD" }}
"""

RECORD = """
[[records]]
title = "Windows scan account"
technology = "windows"
login_type = "Authentication Vault"
user = "vm_scan_account"
vault = "Secret Server Vault"
secret = "win_scan_secret"
ips = ["127.0.0.1"]
"""

TARGETS = """
[targets]
include = ["127.0.0.1"]
"""


@pytest.mark.parametrize(
    ("password", "reason", "status", "logons", "qids"),
    [
        ("right", "PASSED", "Passed", ["NT_STATUS_OK"], []),
        ("not it", "BAD_CREDENTIALS", "Failed", ["NT_STATUS_WRONG_PASSWORD"], [105015]),
    ],
)
def test_the_articles_example(
    lab: Callable[[str], Lab],
    keymuster: Product,
    campaign: Callable[..., Path],
    smbds: dict[str, Smbd],
    password: str,
    reason: str,
    status: str,
    logons: list[str],
    qids: list[int],
) -> None:
    smbd = smbds["plain"]
    before = len(smbd.logons(USER))
    vault = lab(ESTATE.format(password=smbd.passwords[USER] if password == "right" else password))
    # Nobody but root's Samba has port 445; everything else stands as in the article.
    record = RECORD + f"port = {smbd.port}\n"
    file = campaign(VAULT.format(url=vault.ready["vault_url"]), record, TARGETS)
    ended = keymuster.run(file, env={"SECRET_SERVER_PASSWORD": vault.password})
    assert ended.code == 0, ended.stderr
    [row] = ended.targets
    assert (row["reason"], row["status"], row["technology"]) == (reason, status, "windows")
    assert [finding["qid"] for finding in row["findings"]] == qids
    assert [v.status for v in smbd.logons(USER)[before:]] == logons
    result = result_lines(row)
    assert (result["Login"], result["Vault title"]) == (USER, "Secret Server Vault")
    assert (result["Vault type"], result["Secret name"]) == ("Thycotic Secret Server", "win_scan_secret")


def test_without_an_address_the_record_goes_by_the_domain_that_the_host_names(
    lab: Callable[[str], Lab], keymuster: Product, campaign: Callable[..., Path], smbds: dict[str, Smbd]
) -> None:
    """NetBIOS service-selected: the article's other way of saying whom a record is for."""
    smbd = smbds["plain"]
    before = len(smbd.logons(USER))
    vault = lab(ESTATE.format(password=smbd.passwords[USER]))
    by_domain = f'domain_type = "netbios-service-selected"\nport = {smbd.port}\n'
    record = RECORD.replace('ips = ["127.0.0.1"]\n', by_domain)
    other = record.replace("Windows scan account", "another domain") + 'domain = "ELSEWHERE"\n'
    file = campaign(VAULT.format(url=vault.ready["vault_url"]), other, record + 'domain = "LABSMB"\n', TARGETS)
    ended = keymuster.run(file, env={"SECRET_SERVER_PASSWORD": vault.password})
    assert ended.code == 0, ended.stderr
    [row] = ended.targets
    assert (row["reason"], row["record"]) == ("PASSED", "Windows scan account")
    assert [v.status for v in smbd.logons(USER)[before:]] == ["NT_STATUS_OK"]
