"""Root by sudo with a password and by su: campaigns over REST and SOAP, what they asked, and what knows of it later."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from targets.material import MARKER
from tests.acceptance.lab import Lab
from tests.acceptance.product import Product
from tests.cli.test_lab import lab_up
from tests.schemas import conforms

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

Serve = Callable[[str], Lab]
Write = Callable[..., Path]

GROUPS = {
    "own": ("sudo_tty", "sudo_refuses", "root_asks_code", "no_sudoer", "nologin"),
    "su": ("root_wrong_password", "root_secret_missing", "root_asks_code", "su_denied", "nologin"),
}
ESTATE = "".join(
    f"""
[[hosts]]
count = {len(faults) + 2}
network = "127.6{n}.0.0/16"
root = "{root}"
login = "{login}"
faults = {{ none = 2, {", ".join(f"{fault} = 1" for fault in faults)} }}
"""
    for n, (root, login, faults) in enumerate(
        (root, login, faults) for root, faults in GROUPS.items() for login in ("password", "key")
    )
)
DIRECTORY = """
[[hosts]]
count = 6
network = "127.65.0.0/16"
root = "own"
account = "corp"
secret = "shared"

[[directories]]
name = "corp"
threshold = 3
"""


def test_each_host_ends_with_its_right_reason_and_nobody_is_asked_twice(keymuster: Product, tmp_path: Path) -> None:
    with lab_up(tmp_path, ESTATE + DIRECTORY) as ready:
        file = tmp_path / "campaign.toml"
        file.write_text(file.read_text().replace('deadline = "3s"', 'deadline = "30s"'))
        ran = keymuster("run", file, "--format", "json")
        assert ran.code == 0, ran.stderr
        assert not MARKER.search((ran.stdout + ran.stderr).encode())
        judged = keymuster("lab", "score", "--truth", Path(ready["truth"]), "--json")
    wrong = [(c["fault"], c["reason"]) for c in judged.document["cells"] if not c["right"]]
    assert wrong == []
    assert [account for account in judged.document["logons"]["accounts"] if account["wrong"]] == []
    assert judged.code == 0
    roots = {a["account"]: a for a in judged.document["logons"]["accounts"] if a["account"].startswith("root@")}
    # Of each group by su two passed, and one had the wrong password; nobody else was given any.
    assert Counter((a["succeeded"], a["failed"]) for a in roots.values() if a["succeeded"] or a["failed"]) == {
        (1, 0): 4,
        (0, 1): 2,
    }


def record(lab: Lab, root: str, ips: list[str], title: str = "") -> str:
    return f"""
[[records]]
title = "{title or root}"
technology = "unix"
user = "scan"
vault = "Vault"
secret = "unix-{{address}}"
accounts = "local"
root_delegation = {root}
port = {lab.ready["ssh_port"]}
ips = {ips}
"""


SU_ESTATE = """
[[hosts]]
count = 4
network = "127.66.0.0/16"
root = "su"
faults = { none = 3, root_secret_missing = 1 }
"""
BY_SU = '{ type = "su", secret = "unix-root-{address}" }'


def campaign_by_su(lab: Lab, campaign: Write, api: str = "rest") -> Path:
    ips = [host["address"] for host in lab.hosts]
    rest = f'[targets]\ninclude = {ips}\n[pace]\nretries = 0\ndeadline = "20s"\n'
    return campaign(lab.vault_table(more=f'api = "{api}"'), record(lab, BY_SU, ips, "by su"), rest, name=api)


@pytest.mark.parametrize("api", ["rest", "soap"])
def test_a_second_secret_is_planned_checked_read_once_audited_and_looked_for(
    lab: Serve, keymuster: Product, campaign: Write, api: str
) -> None:
    vault = lab(SU_ESTATE)
    file = campaign_by_su(vault, campaign, api)
    missing = next(host["address"] for host in vault.hosts if host["fault"] == "root_secret_missing")

    planned = keymuster("plan", file, "--check-vault", "--json")
    assert planned.code == 1, planned.stderr
    conforms(planned.document, "plan")
    assert planned.document["vault_check"]["asked"] == 8
    [problem] = planned.document["vault_check"]["problems"]
    assert (problem["secret"], problem["reason"]) == (f"unix-root-{missing}", "SECRET_NOT_FOUND")
    first = planned.document["targets"][0]
    assert first["records"][0]["root"] == {
        "by": "su",
        "user": "root",
        "secret": f"name unix-root-{first['address']} in 'Vault'",
        "account": f"root@host:{first['address']}",
    }
    assert planned.document["vault_views_expected"] == 8
    assert f"unix-root-{first['address']}" in keymuster("plan", file).stdout

    if api == "rest":
        rights = keymuster("vault", "rights", file, "--json")
        assert len(rights.document["vaults"][0]["secrets"]) == 8

    ended = keymuster.run(file)
    assert ended.reasons == {
        h["address"]: "PRIV_NO_SECRET" if h["address"] == missing else "PASSED" for h in vault.hosts
    }
    [without] = [row for row in ended.targets if row["target"] == missing]
    assert without["status"] == "Passed*"
    seen = vault.vault_seen()["views_by_secret"]
    passed = [h["address"] for h in vault.hosts if h["address"] != missing]
    assert seen == {f"unix-{h['address']}": 1 for h in vault.hosts} | {f"unix-root-{address}": 1 for address in passed}

    if api == "rest":
        audited = keymuster("audit", ended.document["run"]["id"], "--json")
        assert audited.code == 0, audited.stderr
        conforms(audited.document, "audit")
        assert Counter(pair["secret"] for pair in audited.document["pairs"]) == Counter(seen)

    searched = keymuster("verify-clean", ended.document["run"]["id"], "--yes", "--json")
    conforms(searched.document, "verify-clean")
    assert searched.document["secrets"] == 7
    assert searched.document["found"] == []


@pytest.mark.parametrize(
    "what", [("--account", "root@{address}"), ("--secret", "unix-root-{address}")], ids=["account", "secret"]
)
def test_a_stop_of_root_lets_the_login_go_on(
    lab: Serve, keymuster: Product, campaign: Write, what: tuple[str, str]
) -> None:
    vault = lab(SU_ESTATE.replace("{ none = 3, root_secret_missing = 1 }", "{ none = 1 }"))
    address = vault.hosts[0]["address"]
    stopped = keymuster("stop", what[0], what[1].format(address=address))
    assert stopped.code == 0, stopped.stderr
    ended = keymuster.run(campaign_by_su(vault, campaign))
    rows: dict[str, dict[str, Any]] = {row["target"]: row for row in ended.targets}
    assert rows[address]["reason"] == "PRIV_NOT_TRIED"
    assert "stopped since" in rows[address]["result"]
    assert all(row["reason"] == "PASSED" for target, row in rows.items() if target != address)
    assert f"unix-root-{address}" not in vault.vault_seen()["views_by_secret"]


def test_a_secret_for_root_that_wants_a_check_out_is_checked_out_and_given_back(
    lab: Serve, keymuster: Product, campaign: Write
) -> None:
    vault = lab(SU_ESTATE.replace("count = 4", "count = 1").replace(", root_secret_missing = 1", ""))
    address = vault.hosts[0]["address"]
    vault.secret_security(f"unix-root-{address}", checkout=True)
    ended = keymuster.run(campaign_by_su(vault, campaign))
    assert set(ended.reasons.values()) == {"PASSED"}, ended.stderr
    seen = vault.vault_seen()
    assert (seen["checkouts"], seen["checkins"]) == (1, 1)
