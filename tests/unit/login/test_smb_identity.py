from __future__ import annotations

import pytest

from appliance.contract import Selection, Technology
from appliance.login.smb import identity
from tests.peers.attempt import make_job


@pytest.mark.parametrize(
    ("user", "domain", "selection", "expected"),
    [
        ("scan", "CORP", Selection.USER_SELECTED, ("scan", "CORP")),
        ("scan", "", Selection.USER_SELECTED, ("scan", "")),
        ("CORP\\scan", "", Selection.USER_SELECTED, ("scan", "CORP")),
        ("CORP\\scan", "OTHER", Selection.USER_SELECTED, ("scan", "OTHER")),
        ("scan@corp.example", "", Selection.ACTIVE_DIRECTORY, ("scan@corp.example", "")),
        ("scan", "", Selection.LOCAL, ("scan", "FILESERVER")),
        ("scan", "CORP", Selection.LOCAL, ("scan", "FILESERVER")),
    ],
)
def test_user_and_domain(user: str, domain: str, selection: Selection, expected: tuple[str, str]) -> None:
    job = make_job(Technology.WINDOWS, user, 445, domain=domain, selection=selection)
    assert identity(job.candidates[0], {"netbios_host": "FILESERVER"}) == expected


def test_a_local_account_of_a_nameless_host() -> None:
    job = make_job(Technology.WINDOWS, "scan", 445, selection=Selection.LOCAL)
    assert identity(job.candidates[0], {}) == ("scan", ".")
