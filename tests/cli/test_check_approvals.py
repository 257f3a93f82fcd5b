"""`plan --check-vault` and `vault rights` of secrets that somebody has to approve: told, and nothing is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.chaos.runs import Command
from tests.acceptance.chaos.test_approvals import ASK, BOSS, ESTATE, GUARDED, Approver, campaign, secret_of
from tests.acceptance.lab import running_lab
from tests.acceptance.product import Product
from tests.schemas import conforms

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


def checked(keymuster: Product, file: str) -> tuple[int, dict[str, Any]]:
    ended = keymuster("plan", file, "--check-vault", "--json")
    conforms(ended.document, "plan")
    return ended.code, dict(ended.document["vault_check"])


def test_how_an_approval_stands_is_told_and_nothing_is_asked_for(tmp_path: Path, keymuster: Product) -> None:
    with running_lab(tmp_path, ESTATE) as lab:
        lab.secret_security(secret_of(lab), approvers=[BOSS])
        boss = Approver(lab)
        asks, fails = campaign(lab, tmp_path), campaign(lab, tmp_path, "", "fails")
        code, check = checked(keymuster, asks)
        [approval] = check["approvals"]
        assert (code, check["problems"], check["readable"], check["asked"]) == (0, [], 3, 4)
        assert (approval["targets"], approval["state"], approval["approved_until"]) == (len(GUARDED), "needed", None)
        code, check = checked(keymuster, fails)
        assert (code, [one["reason"] for one in check["problems"]]) == (1, ["SECRET_NEEDS_APPROVAL"])
        said = keymuster("plan", asks, "--check-vault").stdout
        assert f"{len(GUARDED)} targets wait for approval" in " ".join(said.split())
        rights = keymuster("vault", "rights", asks, "--json")
        conforms(rights.document, "vault-rights")
        [vault] = rights.document["vaults"]
        assert {s["approval"] for s in vault["secrets"]} == {"needed", None}
        assert "View lets the user ask for it" in " ".join(keymuster("vault", "rights", asks).stdout.split())
        assert boss.requests() == []
        run = Command(keymuster.state, "run", asks)
        try:
            boss.waits()
            assert checked(keymuster, asks)[1]["approvals"][0]["state"] == "pending"
            boss.answer("Approved")
            assert run.wait() == 0, run.said
        finally:
            run.end()
        code, check = checked(keymuster, fails)
        [approval] = check["approvals"]
        assert (code, approval["state"], check["readable"]) == (0, "approved", 4)
        assert approval["approved_until"].startswith("20")
        assert "is approved until 20" in " ".join(keymuster("plan", fails, "--check-vault").stdout.split())
        assert (len(boss.requests()), lab.vault_seen()["views"] > 0) == (1, True)


@pytest.mark.parametrize("api", ["soap", "auto"])
def test_soap_is_told_before_anything_is_begun(tmp_path: Path, keymuster: Product, api: str) -> None:
    file = tmp_path / "c.toml"
    vault = '[[vaults]]\ntitle = "V"\nurl = "https://v.example"\nuser = "u"\npassword = { env = "P" }'
    file.write_text(f'name = "x"\n{vault}\napi = "{api}"\n{ASK}\n', encoding="utf-8")
    ended = keymuster.stateless("config", "check", file)
    assert ended.code == 2
    assert '"request" needs api = "rest"' in ended.stdout + ended.stderr
