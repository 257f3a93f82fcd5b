"""SMB logins against real Samba servers: the right reason for each state, and exactly one logon for each attempt."""

from __future__ import annotations

from types import ModuleType

import pytest

from appliance.contract import Failure, Phase, Selection, Technology
from appliance.login.bridge import open_session, run_blocking
from appliance.login.dial import dial
from appliance.login.smb_session import NtlmSession
from appliance.phases import PhaseLedger
from appliance.vault.credential import Credential
from tests.peers.attempt import Attempt, attempt, make_job
from tests.peers.smbd import LOCKOUT_AFTER, Smbd

pytestmark = pytest.mark.peer

SERVERS = ("plain", "strict", "sealed")


async def log_in(
    smbd: Smbd, user: str, password: str | None = None, *, domain: str = "", selection: Selection = Selection.IP
) -> tuple[Attempt, list[str]]:
    """An attempt, and the statuses of its logons as Samba logged them."""
    before = len(smbd.logons(user))
    job = make_job(Technology.WINDOWS, user, smbd.port, domain=domain, selection=selection)
    ended = await attempt(job, Credential(password=smbd.passwords[user] if password is None else password))
    return ended, [v.status for v in smbd.logons(user)[before:]]


@pytest.mark.parametrize("server", SERVERS)
async def test_administrator(smbds: dict[str, Smbd], server: str) -> None:
    ended, logons = await log_in(smbds[server], "smbadmin")
    assert ended.reason == "PASSED"
    assert logons == ["NT_STATUS_OK"]
    assert ended.negotiated is not None
    assert ended.negotiated.domain == "LABSMB"
    assert ended.negotiated.facts["dialect"] == "3.1.1"
    assert ended.negotiated.facts["netbios_host"] == "LABSMB"
    assert ended.negotiated.facts["signing"] == ("required" if server == "strict" else "enabled")
    assert ended.phases == (Phase.TCP, Phase.NEGOTIATE, Phase.AUTH, Phase.PRIVILEGE)


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize(
    ("user", "reason", "status"),
    [
        ("smbgood", "PRIV_NOT_ADMIN", "NT_STATUS_OK"),
        ("smbdisabled", "ACCOUNT_DISABLED", "NT_STATUS_ACCOUNT_DISABLED"),
        ("smbexpired", "ACCOUNT_EXPIRED", "NT_STATUS_ACCOUNT_EXPIRED"),
        ("smblocked", "ACCOUNT_LOCKED", "NT_STATUS_ACCOUNT_LOCKED_OUT"),
        ("smbmust", "PASSWORD_MUST_CHANGE", "NT_STATUS_PASSWORD_MUST_CHANGE"),
    ],
)
async def test_right_password(smbds: dict[str, Smbd], server: str, user: str, reason: str, status: str) -> None:
    ended, logons = await log_in(smbds[server], user)
    assert ended.reason == reason
    assert logons == [status]


@pytest.mark.parametrize("server", SERVERS)
async def test_wrong_password_is_sent_once(smbds: dict[str, Smbd], server: str) -> None:
    ended, logons = await log_in(smbds[server], "smbgood", "not it")
    assert ended.reason == "BAD_CREDENTIALS"
    assert ended.submitted
    assert logons == ["NT_STATUS_WRONG_PASSWORD"]
    ended, _ = await log_in(smbds[server], "smbgood")  # and resets Samba's count
    assert ended.reason == "PRIV_NOT_ADMIN"


async def test_lock_out_comes_with_the_attempts_that_we_count(smbds: dict[str, Smbd]) -> None:
    for _ in range(LOCKOUT_AFTER):
        ended, _ = await log_in(smbds["strict"], "smblockout", "not it")
        assert ended.reason == "BAD_CREDENTIALS"
    ended, logons = await log_in(smbds["strict"], "smblockout")
    assert ended.reason == "ACCOUNT_LOCKED"
    assert logons == ["NT_STATUS_ACCOUNT_LOCKED_OUT"]


async def test_guest_mapping_is_no_success(smbds: dict[str, Smbd]) -> None:
    ended, logons = await log_in(smbds["plain"], "nosuchuser", "whatever")
    assert ended.reason == "GUEST_SESSION"
    assert len(logons) == 1


async def test_unknown_user_without_guests(smbds: dict[str, Smbd]) -> None:
    ended, logons = await log_in(smbds["strict"], "nosuchuser", "whatever")
    assert ended.reason == "BAD_CREDENTIALS"
    assert logons == ["NT_STATUS_NO_SUCH_USER"]


@pytest.mark.parametrize(("user", "password"), [("", ""), ("smbgood", ""), ("", "something")])
async def test_nothing_is_ever_sent_that_makes_an_anonymous_session(
    smbds: dict[str, Smbd], user: str, password: str
) -> None:
    ended, logons = await log_in(smbds["plain"], user, password)
    assert ended.reason == "SECRET_FIELD_MISSING"
    assert not ended.submitted
    assert logons == []


@pytest.mark.parametrize(
    ("domain", "selection"), [("ANY", Selection.USER_SELECTED), ("", Selection.LOCAL), ("LABSMB", Selection.IP)]
)
async def test_domains(smbds: dict[str, Smbd], domain: str, selection: Selection) -> None:
    ended, _ = await log_in(smbds["plain"], "smbadmin", domain=domain, selection=selection)
    assert ended.reason == "PASSED"


async def test_smb1_is_named_and_never_used(smbds: dict[str, Smbd]) -> None:
    ended, logons = await log_in(smbds["old"], "smbadmin")
    assert ended.reason == "SMB1_ONLY"
    assert isinstance(ended.result, Failure)
    assert ended.result.phase is Phase.NEGOTIATE
    assert not ended.submitted
    assert logons == []


@pytest.mark.parametrize("password", ["Pw-smbgood-1", "Wr0ng-Marker-0815"])
async def test_neither_the_connection_nor_its_failure_keeps_the_password(smbds: dict[str, Smbd], password: str) -> None:
    """impacket's own login leaves user and password on the object (`getCredentials`)."""
    job = make_job(Technology.WINDOWS, "smbgood", smbds["plain"].port)
    sock = await dial("127.0.0.1", smbds["plain"].port, PhaseLedger())
    assert not isinstance(sock, Failure)
    stream = await open_session(sock)
    try:
        session = await run_blocking(lambda: NtlmSession(stream, "127.0.0.1"))
        await run_blocking(session.challenge)
        verdict = await run_blocking(lambda: session.answer(job.candidates[0].user, password, ""))
        assert (verdict.status == 0) == (password == smbds["plain"].passwords["smbgood"])
        assert password not in "".join(map(str, session.getCredentials()))
        assert _strings_reachable_from(session).isdisjoint({password, password.encode("utf-16le")})
        with pytest.raises(ValueError, match="once"):
            session.answer("smbgood", password, "")
    finally:
        await stream.abandon()


def _strings_reachable_from(root: object) -> set[object]:
    """Every str and bytes that attributes, containers and their contents lead to."""
    found: set[object] = set()
    seen: set[int] = set()
    todo: list[object] = [root]
    while todo:
        thing = todo.pop()
        if id(thing) in seen or isinstance(thing, type | ModuleType):
            continue
        seen.add(id(thing))
        if isinstance(thing, str | bytes):
            found.add(thing)
        elif isinstance(thing, dict):
            todo += [*thing.keys(), *thing.values()]
        elif isinstance(thing, list | tuple | set):
            todo += thing
        elif type(thing).__module__.startswith(("impacket", "appliance")):
            todo += vars(thing).values()
    return found
