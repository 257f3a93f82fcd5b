"""What lacks, what is too much, and what is neither."""

from __future__ import annotations

import pytest

from appliance.contract import CredentialRef, SecretLookup
from appliance.questions import VaultAnswer
from orchestrator.least_privilege import Verdict, folders, judge_permissions, judge_secret

REF = CredentialRef(vault="V", by=SecretLookup.NAME, key="s")
ENOUGH = ["View Secret", "View Secret Audit"]


def verdicts(has: list[str], *, hidden: bool = False) -> dict[str, Verdict]:
    return {one.permission: one.verdict for one in judge_permissions(has, hidden=hidden)}


def test_what_is_needed_and_no_more() -> None:
    assert set(verdicts(ENOUGH).values()) == {Verdict.OK}
    assert set(verdicts([*ENOUGH, "view launcher password"], hidden=True).values()) == {Verdict.OK}


def test_what_lacks_is_named() -> None:
    found = judge_permissions(["View Secret"], hidden=True)
    assert [(one.permission, one.needed, one.has, one.verdict) for one in found] == [
        ("View Secret", True, True, Verdict.OK),
        ("View Launcher Password", True, False, Verdict.LACKS),
        ("View Secret Audit", True, False, Verdict.LACKS),
    ]


@pytest.mark.parametrize(
    "permission", ["Unlimited Administrator", "Force Check In", "Edit Secret", "Web Services Impersonate", "Viewfinder"]
)
def test_what_lets_its_holder_do_more_than_look_is_too_much(permission: str) -> None:
    assert verdicts([*ENOUGH, permission])[permission] is Verdict.TOO_MUCH


def test_what_only_lets_look_is_told_and_is_no_fault() -> None:
    assert verdicts([*ENOUGH, "View Launcher Password"])["View Launcher Password"] is Verdict.NOT_NEEDED


@pytest.mark.parametrize(
    ("role", "verdict"),
    [
        ("View", Verdict.OK),
        ("Edit", Verdict.TOO_MUCH),
        ("OWNER", Verdict.TOO_MUCH),
        ("List", Verdict.LACKS),
        ("", Verdict.LACKS),
        ("Scanner's own", Verdict.UNCLEAR),
    ],
)
def test_view_on_a_secret_is_enough_and_needed(role: str, verdict: Verdict) -> None:
    facts = {"secret_id": "7", "role": role, "folder": "\\Scan", "hides_password": "no"}
    found = judge_secret(REF, 3, VaultAnswer(ok=True, facts=facts))
    assert (found.verdict, found.secret_id, found.folder, found.targets) == (verdict, 7, "\\Scan", 3)
    assert bool(found.why) == (verdict is not Verdict.OK)


@pytest.mark.parametrize(
    ("reason", "verdict"), [("SECRET_NOT_FOUND", Verdict.LACKS), ("SECRET_CHECKED_OUT_BY", Verdict.UNCLEAR)]
)
def test_a_secret_that_the_vault_does_not_show_is_told_by_its_reason(reason: str, verdict: Verdict) -> None:
    found = judge_secret(REF, 1, VaultAnswer(ok=False, reason=reason, text="words"))
    assert (found.verdict, found.why, found.secret_id) == (verdict, f"{reason}: words", None)


def test_folders_are_counted() -> None:
    answers = [VaultAnswer(ok=True, facts={"role": "View", "folder": place}) for place in ("\\B", "\\A", "\\B", "")]
    assert folders(judge_secret(REF, 1, answer) for answer in answers) == [("\\A", 1), ("\\B", 2)]
