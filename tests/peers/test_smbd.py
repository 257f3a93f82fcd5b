"""SMB logins against real Samba servers: what the rows (`windows_rows`) cannot say of a single attempt."""

from __future__ import annotations

from functools import partial
from types import ModuleType
from typing import Any

import pytest

from appliance.contract import Failure, Technology
from appliance.login.bridge import open_session, run_blocking
from appliance.login.dial import dial
from appliance.login.smb import smb_login
from appliance.login.smb_hash import nt_hash
from appliance.login.smb_session import SmbSession
from appliance.phases import PhaseLedger
from appliance.vault.credential import Credential
from tests.peers.attempt import attempt, make_job
from tests.peers.private import LOCKOUT_AFTER
from tests.peers.smbd import Smbd
from tests.peers.windows_rows import PROTECTION

pytestmark = pytest.mark.peer


@pytest.mark.parametrize("server", PROTECTION)
async def test_the_right_password_resets_the_count_of_wrong_ones(smbds: dict[str, Smbd], server: str) -> None:
    for _ in range(LOCKOUT_AFTER):
        for password, reason in (("not it", "BAD_CREDENTIALS"), ("", "PRIV_NOT_ADMIN")):
            job = make_job(Technology.WINDOWS, "smbgood", smbds[server].port)
            ended = await attempt(job, Credential(password=password or smbds[server].passwords["smbgood"]))
            assert ended.reason == reason


@pytest.mark.parametrize("password", ["Pw-smbgood-1", "Wr0ng-Marker-0815"])
async def test_neither_the_connection_nor_its_failure_keeps_the_password(smbds: dict[str, Smbd], password: str) -> None:
    """impacket's own login leaves user and password on the object (`getCredentials`)."""
    job, key = make_job(Technology.WINDOWS, "smbgood", smbds["plain"].port), nt_hash(password)
    sock = await dial("127.0.0.1", smbds["plain"].port, PhaseLedger())
    assert not isinstance(sock, Failure)
    stream = await open_session(sock)
    try:
        session = await run_blocking(lambda: SmbSession(stream, "127.0.0.1"))
        await run_blocking(session.challenge)
        verdict = await run_blocking(lambda: session.answer(job.candidates[0].user, key, ""))
        assert (verdict.status == 0) == (password == smbds["plain"].passwords["smbgood"])
        assert password not in "".join(map(str, session.getCredentials()))
        assert _strings_reachable_from(session).isdisjoint({password, password.encode("utf-16le"), key})
        with pytest.raises(ValueError, match="once"):
            session.answer("smbgood", key, "")
    finally:
        await stream.abandon()


@pytest.mark.parametrize("fast", [False, True], ids=["plain", "fast"])
@pytest.mark.parametrize("server", ["smb202", "smb210", "smb300", "smb302"])
async def test_an_older_server_proves_itself_by_its_first_answer(
    smbds: dict[str, Smbd], server: str, fast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Samba signs its answer to the login always. It is taken here for a host that does not."""
    stand = SmbSession._stand

    def unsigned(session: SmbSession, *of: Any) -> bool:
        assert stand(session, *of)
        return False

    monkeypatch.setattr(SmbSession, "_stand", unsigned)
    job, password = make_job(Technology.WINDOWS, "smbadmin", smbds[server].port), smbds[server].passwords["smbadmin"]
    ended = await attempt(job, Credential(password=password), factory=partial(smb_login, fast=fast))
    assert ended.reason == "PASSED"


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
