"""Windows logins at a real domain controller, by Kerberos and NTLM: the reason, and what the directory counted."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from appliance.classify import classify
from appliance.contract import OK, Evidence, Failure, KdcPlace, KerberosTerms, Phase, Selection, Technology
from appliance.login.smb import smb_login
from appliance.reasons import Status, counts_towards_lockout, qids
from appliance.vault.credential import Credential
from tests.peers.ad import ADDRESS, DOMAIN, HOST, PASSWORDS, REALM, Directory
from tests.peers.attempt import Attempt, attempt, make_job
from tests.peers.private import LOCKOUT_AFTER

pytestmark = [pytest.mark.peer, pytest.mark.slow]

WRONG = "Wr0ng-Marker-0815"
HOUR = 3600.0
KDC = KdcPlace(host=ADDRESS, port=88)
NOWHERE = KdcPlace(host=ADDRESS, port=4)
"""A port of the controller's network where nobody listens."""
GRANTED = frozenset({"PASSED", "PRIV_NOT_ADMIN"})


@dataclass(frozen=True, slots=True)
class Row:
    name: str
    user: str
    reason: str
    counted: int = 0
    """Failed logons that the directory must count."""
    submitted: bool = True
    proven: bool | None = None
    """Has the controller accepted the password? By default where the login passes."""
    password: str = ""
    terms: dict[str, object] = field(default_factory=dict)
    """What is other than usual in the record's Kerberos; `None` for NTLM."""
    ntlm: bool = False
    """The record's: no Kerberos."""
    selection: Selection = Selection.USER_SELECTED
    offset: float = 0.0
    """By how many seconds the appliance's clock is wrong."""
    scheme: str = "Kerberos"
    facts: dict[str, str] = field(default_factory=dict)


PREFER: dict[str, object] = {"required": False}
STRANGER: dict[str, object] = {"host": "other.lab.test"}

KERBEROS = (
    Row("administrator", "adadmin", "PASSED", facts={"service": f"cifs/{HOST}", "realm": REALM, "admin_share": "yes"}),
    Row("user", "adgood", "PRIV_NOT_ADMIN"),
    Row("protected user", "adprotected", "PRIV_NOT_ADMIN"),
    Row("workstations, which Samba's KDC does not look at", "adstation", "PRIV_NOT_ADMIN"),
    Row("no pre-authentication needed", "adnopreauth", "PRIV_NOT_ADMIN"),
    Row("chosen by the host's domain", "adgood", "PRIV_NOT_ADMIN", selection=Selection.SERVICE_SELECTED),
    Row("second controller", "adgood", "PRIV_NOT_ADMIN", terms={"kdcs": (NOWHERE, KDC)}),
    Row("wrong password", "adwrong", "BAD_CREDENTIALS", counted=1, password=WRONG),
    Row("wrong password, no pre-authentication needed", "adnopreauth", "BAD_CREDENTIALS", counted=1, password=WRONG),
    Row("wrong password, protected user", "adprotected", "BAD_CREDENTIALS", counted=1, password=WRONG),
    Row("disabled", "addisabled", "ACCOUNT_DISABLED"),
    Row("disabled, wrong password", "addisabled", "BAD_CREDENTIALS", counted=1, password=WRONG),
    Row("expired", "adexpired", "ACCOUNT_EXPIRED"),
    Row("expired, wrong password", "adexpired", "BAD_CREDENTIALS", counted=1, password=WRONG),
    Row("must change", "admust", "PASSWORD_MUST_CHANGE"),
    Row("logon hours", "adhours", "LOGON_HOURS"),
    Row("unknown user", "adnobody", "UNKNOWN_USER", submitted=False, password=WRONG),
    Row("unknown realm", "adgood", "UNKNOWN_USER", submitted=False, terms={"realm": "OTHER.TEST"}),
    Row("clock ahead", "adskew", "KRB_SKEW", offset=HOUR, facts={"clock_offset_s": "-36"}),
    Row("clock behind", "adskew", "KRB_SKEW", offset=-HOUR, facts={"clock_offset_s": "+3"}),
    Row("clock behind, wrong password", "adskew", "BAD_CREDENTIALS", counted=1, password=WRONG, offset=-HOUR),
    Row("no such service", "adgood", "KRB_SPN", proven=True, terms=STRANGER),
    Row("a service without AES", "adgood", "KRB_ETYPE", proven=True, terms={"host": "legacy.lab.test"}),
    Row("no controller", "adgood", "KDC_UNREACHABLE", submitted=False, terms={"kdcs": (NOWHERE,)}),
)
INSTEAD: dict[str, object] = {"required": False, "kdcs": (NOWHERE,)}
NO_SPN, NO_KDC = {"kerberos": "KRB_SPN: "}, {"kerberos": "KDC_UNREACHABLE: "}
_instead = partial(Row, scheme="NTLMv2")
PREFERRED = (
    Row("preferred", "adadmin", "PASSED", terms=PREFER),
    _instead("preferred: no such service", "adadmin", "PASSED", terms={**PREFER, **STRANGER}, facts=NO_SPN),
    _instead("preferred: no name", "adadmin", "PASSED", proven=False, terms={**PREFER, "host": ""}, facts=NO_SPN),
    _instead("preferred: no controller", "adadmin", "PASSED", proven=False, terms=INSTEAD, facts=NO_KDC),
    _instead("neither", "adwrong", "BAD_CREDENTIALS", counted=1, password=WRONG, terms=INSTEAD, facts=NO_KDC),
    # No refusal has NTLM try its luck.
    Row("preferred: wrong password", "adwrong", "BAD_CREDENTIALS", counted=1, password=WRONG, terms=PREFER),
    Row("preferred: disabled", "addisabled", "ACCOUNT_DISABLED", terms=PREFER),
    Row("preferred: unknown user", "adnobody", "UNKNOWN_USER", submitted=False, password=WRONG, terms=PREFER),
    Row("preferred: skew", "adskew", "KRB_SKEW", offset=HOUR, terms=PREFER),
)
NTLM = tuple(
    Row(f"NTLM: {name}", user, reason, counted=counted, password=password, ntlm=True, proven=False, scheme="NTLMv2")
    for name, user, reason, counted, password in (
        ("administrator", "adadmin", "PASSED", 0, ""),
        ("user", "adgood", "PRIV_NOT_ADMIN", 0, ""),
        ("wrong password", "adwrong", "BAD_CREDENTIALS", 1, WRONG),
        ("disabled", "addisabled", "ACCOUNT_DISABLED", 0, ""),
        ("expired", "adexpired", "ACCOUNT_EXPIRED", 0, ""),
        ("must change", "admust", "PASSWORD_MUST_CHANGE", 0, ""),
        ("logon hours", "adhours", "LOGON_HOURS", 0, ""),
        ("workstations", "adstation", "WORKSTATION", 0, ""),
        ("protected user", "adprotected", "ACCOUNT_RESTRICTED", 0, ""),
        ("unknown user", "adnobody", "BAD_CREDENTIALS", 0, WRONG),
    )
)
ROWS = (*KERBEROS, *PREFERRED, *NTLM)


@pytest.fixture
def witness(directory: Directory) -> Callable[[str], int]:
    """How many failed logons of an account the directory counts, from none on: an administrator has cleared them."""

    def failures(user: str) -> int:
        return directory.failures(user)

    for user in PASSWORDS:
        if user != "adlocked":
            directory.clear(user)
    return failures


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
async def test_a_login_ends_as_the_directory_has_it(
    directory: Directory, witness: Callable[[str], int], row: Row
) -> None:
    ended = await attempted(directory, row)

    assert ended.reason == row.reason
    assert witness(row.user) == row.counted
    assert ended.submitted == row.submitted
    assert ended.proven == (ended.reason in GRANTED if row.proven is None else row.proven)
    told = evidence(ended)
    reason = classify(Technology.WINDOWS, told)
    assert counts_towards_lockout(reason, submitted=ended.submitted) == bool(row.counted or row.name in COUNTED_BY_US)
    if reason.status is Status.FAILED:
        assert [qid.number for qid in qids(reason, Technology.WINDOWS)] == [105015]
    if ended.reason != "KDC_UNREACHABLE" or row.scheme != "Kerberos":
        assert ended.facts["authentication"] == row.scheme
    for name, beginning in row.facts.items():
        assert ended.facts[name].startswith(beginning)


COUNTED_BY_US = ("NTLM: unknown user",)
"""Where the directory has nothing to count, and nobody outside of it can know that."""


async def test_a_locked_account_is_told_from_a_wrong_password(directory: Directory) -> None:
    row = Row("lock-out", "adlocked", "BAD_CREDENTIALS", password=WRONG)
    for count in range(1, LOCKOUT_AFTER + 1):
        assert (await attempted(directory, row)).reason == "BAD_CREDENTIALS"
        assert directory.failures("adlocked") == count
    assert directory.locked("adlocked")
    for password in (WRONG, PASSWORDS["adlocked"]):
        ended = await attempted(directory, Row("locked", "adlocked", "KRB_REVOKED", password=password))
        assert ended.reason == "KRB_REVOKED"
        assert classify(Technology.WINDOWS, evidence(ended)).breaks
        assert directory.failures("adlocked") == LOCKOUT_AFTER
    ntlm = await attempted(directory, Row("locked", "adlocked", "ACCOUNT_LOCKED", ntlm=True))
    assert ntlm.reason == "ACCOUNT_LOCKED"


async def test_a_name_that_is_another_hosts_gets_no_session(directory: Directory) -> None:
    """The ticket is for a computer that this host is not: it cannot read it, and says so as of a password."""
    row = Row("another's name", "adgood", "KRB_TICKET_REFUSED", proven=True, terms={"host": "elsewhere.lab.test"})
    ended = await attempted(directory, row)
    assert ended.reason == "KRB_TICKET_REFUSED"
    assert ended.proven
    assert not counts_towards_lockout(classify(Technology.WINDOWS, evidence(ended)), submitted=ended.submitted)
    assert directory.failures("adgood") == 0


async def test_tickets_leave_nothing_on_disk(
    directory: Directory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KRB5CCNAME", f"FILE:{tmp_path / 'ccache'}")
    monkeypatch.setenv("KRB5_CONFIG", str(tmp_path / "krb5.conf"))
    monkeypatch.chdir(tmp_path)
    before = written(tmp_path)
    assert (await attempted(directory, KERBEROS[0])).reason == "PASSED"
    assert written(tmp_path) == before


def written(directory: Path) -> set[Path]:
    """What is in a directory, and where Kerberos' own libraries keep their tickets."""
    return {*directory.iterdir(), *Path("/tmp").glob("krb5cc*")}  # noqa: S108


async def attempted(directory: Directory, row: Row) -> Attempt:
    usual: dict[str, object] = {"required": True, "realm": REALM, "kdcs": (KDC,), "host": HOST}
    job = make_job(
        Technology.WINDOWS,
        row.user,
        445,
        domain=DOMAIN,
        selection=row.selection,
        kerberos=None if row.ntlm else KerberosTerms.model_validate({**usual, **row.terms}),
    )
    credential = Credential(password=row.password or PASSWORDS[row.user])
    factory = partial(smb_login, clock=lambda: time.time() + row.offset)
    with directory.inside():
        return await attempt(job, credential, factory=factory)


def evidence(ended: Attempt) -> Evidence:
    failure = ended.result if isinstance(ended.result, Failure) else None
    if failure is None:
        return Evidence(phase=Phase.LOGOFF, signal=OK, submitted=ended.submitted)
    return Evidence(phase=failure.phase, signal=failure.signal, facts=failure.facts, submitted=ended.submitted)
