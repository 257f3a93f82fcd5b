"""Simulated SMB hosts as other people's programs see them: smbclient, and impacket on threads of its own."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import to_thread
from impacket import smb3structs
from impacket.dcerpc.v5 import rrp, samr, scmr, transport
from impacket.dcerpc.v5.rpcrt import DCERPCException
from impacket.smbconnection import SessionError, SMBConnection

from targets.lab import Ready
from targets.world import World
from tests.unit.targets.targets_lab import running

pytestmark = pytest.mark.slow

GROUP = '[[hosts]]\ntechnology = "windows"\nnetwork = "127.24.0.0/16"\n'
HOST = "127.24.0.1"
DIALECTS = {
    "2.1": smb3structs.SMB2_DIALECT_21,
    "3.0": smb3structs.SMB2_DIALECT_30,
    "3.1.1": smb3structs.SMB2_DIALECT_311,
}


def password(world: World, address: str = HOST) -> str:
    return world.accounts._materials[world.estate.hosts[address].account_key].password


SMBCLIENT_OPTIONS = [[], ["-m", "SMB2_10"], ["-m", "SMB3_00"], ["--option=client min protocol=NT1"]]


async def ask(question: Callable[[], Any]) -> Any:
    """On a thread: these clients block."""
    with anyio.fail_after(30):
        return await to_thread.run_sync(question)


@contextmanager
def connected(ready: Ready, dialect: int | None = None) -> Iterator[SMBConnection]:
    client = SMBConnection(HOST, HOST, sess_port=ready.smb_port, preferredDialect=dialect, timeout=10)
    try:
        yield client
    finally:
        client.close()


def refused(ready: Ready, user: str, secret: str) -> int:
    """The status that a login is refused with."""
    with connected(ready) as client, pytest.raises(SessionError) as caught:
        client.login(user, secret, "")
    return int(caught.value.getErrorCode())


# -- impacket ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("signing", [False, True], ids=["", "signing required"])
@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_login_in_every_dialect(dialect: str, signing: bool, tmp_path: Path) -> None:
    async with running(GROUP + ('fault = "signing"' if signing else ""), tmp_path) as (ready, world):

        def story() -> None:
            with connected(ready, DIALECTS[dialect]) as client:
                assert client.getDialect() == DIALECTS[dialect]
                assert client.isSigningRequired() or not signing, "impacket requires it of 3.1.1 in any case"
                client.login("scan", password(world), "")
                assert not client.isGuestSession()
                tree = client.connectTree("IPC$")
                for pipe in ("svcctl", "winreg"):
                    client.closeFile(tree, client.openFile(tree, pipe))
                with pytest.raises(SessionError, match="OBJECT_NAME_NOT_FOUND"):
                    client.openFile(tree, "no pipe")
                client.disconnectTree(tree)
                client.connectTree("ADMIN$")
                with pytest.raises(SessionError, match="BAD_NETWORK_NAME"):
                    client.connectTree("NOPE$")
                client.logoff()

        await ask(story)
        [logon] = world.metrics.hosts[HOST].logons
        assert (logon.user, logon.ok, logon.method) == ("scan", True, "ntlmv2")


@pytest.mark.parametrize(
    ("fault", "right", "wrong"),
    [
        ("none", 0, 0xC000006D),
        ("disabled", 0xC0000072, 0xC000006D),
        ("expired", 0xC0000193, 0xC000006D),
        ("password_expired", 0xC0000071, 0xC000006D),
        ("must_change", 0xC0000224, 0xC000006D),
        ("logon_hours", 0xC000006F, 0xC000006D),
        ("workstation", 0xC0000070, 0xC000006D),
        ("logon_type", 0xC000015B, 0xC000006D),
        ("locked", 0xC0000234, 0xC0000234),
    ],
)
async def test_an_accounts_state_is_told_to_who_knows_the_password(
    fault: str, right: int, wrong: int, tmp_path: Path
) -> None:
    async with running(f'{GROUP}fault = "{fault}"', tmp_path) as (ready, world):
        assert await ask(partial(refused, ready, "scan", "wrong")) == wrong
        assert await ask(partial(refused, ready, "nobody", "wrong")) in {wrong, 0xC000006D}
        if right:
            assert await ask(partial(refused, ready, "scan", password(world))) == right


@pytest.mark.parametrize(
    ("fault", "services", "registry"), [("none", 0, 0), ("no_services", 5, 0), ("no_registry", 0, 5)]
)
async def test_the_services_behind_the_pipes(fault: str, services: int, registry: int, tmp_path: Path) -> None:
    """As impacket's own RPC speaks to them, which writes and reads."""

    def result(call: Callable[[], Any]) -> int:
        try:
            return int(call()["ErrorCode"])
        except DCERPCException as refused:
            return int(refused.get_error_code())

    async with running(f'{GROUP}fault = "{fault}"', tmp_path) as (ready, world):

        def story() -> None:
            with connected(ready) as client:
                client.login("scan", password(world), "")
                dce = speaking(client, "svcctl", scmr.MSRPC_UUID_SCMR)
                assert result(lambda: scmr.hROpenSCManagerW(dce, dwDesiredAccess=1)) == services
                assert result(lambda: scmr.hROpenSCManagerW(dce)) == 5, "more than to connect is given to nobody"
                dce = speaking(client, "winreg", rrp.MSRPC_UUID_RRP)
                assert result(lambda: rrp.hOpenLocalMachine(dce, 1)) == registry
                dce = speaking(client, "samr", samr.MSRPC_UUID_SAMR)
                server = samr.hSamrConnect2(dce)["ServerHandle"]
                own = samr.hSamrLookupDomainInSamServer(dce, server, world.estate.hosts[HOST].name)["DomainId"]
                accounts = samr.hSamrOpenDomain(dce, server, domainId=own)["DomainHandle"]
                found = samr.hSamrLookupNamesInDomain(dce, accounts, ["scan"])["RelativeIds"]["Element"]
                assert [rid["Data"] for rid in found] == [1001]
                client.logoff()

        await ask(story)


def speaking(client: SMBConnection, pipe: str, interface: bytes) -> Any:
    """impacket's RPC on a pipe, bound. It writes to the pipe, and then reads from it."""
    dce = transport.SMBTransport(HOST, filename=f"\\{pipe}", smb_connection=client).get_dce_rpc()
    dce.connect()
    dce.bind(interface)
    return dce


async def test_a_directory_locks_whatever_host_was_tried(tmp_path: Path) -> None:
    text = f'{GROUP}count = 2\naccount = "CORP"\n[[directories]]\nname = "CORP"\nthreshold = 2\n'
    async with running(text, tmp_path) as (ready, world):
        secret = password(world)
        for _ in range(2):
            assert await ask(partial(refused, ready, "scan", "wrong")) == 0xC000006D
        assert await ask(partial(refused, ready, "scan", secret)) == 0xC0000234


async def test_a_guest_and_an_anonymous_session_say_so(tmp_path: Path) -> None:
    async with running(GROUP + 'fault = "guest"', tmp_path) as (ready, world):

        def story() -> None:
            with connected(ready) as guest:
                guest.login("scan", "wrong", "")
                assert guest.isGuestSession()
            with connected(ready) as anonymous:
                anonymous.login("", "")

        await ask(story)
        assert [(logon.user, logon.ok) for logon in world.metrics.hosts[HOST].logons] == [("scan", False)]


# -- smbclient ---------------------------------------------------------------------------------------------------------


@pytest.mark.peer
@pytest.mark.skipif(shutil.which("smbclient") is None, reason="no smbclient here")
@pytest.mark.parametrize("options", SMBCLIENT_OPTIONS, ids=" ".join)
async def test_smbclient(options: list[str], tmp_path: Path) -> None:
    """It checks signatures, the dialect's protection and the mechanisms' MIC."""

    def say(ready: Ready, share: str, secret: str) -> tuple[int, str]:
        command = ["smbclient", *options, "-p", str(ready.smb_port), "-U", f"scan%{secret}", f"//{HOST}/{share}"]
        done = subprocess.run([*command, "-c", "exit"], capture_output=True, text=True, check=False, timeout=30)
        return done.returncode, done.stdout + done.stderr

    async with running(GROUP + 'fault = "no_admin"', tmp_path) as (ready, world):
        right = password(world)
        assert (await ask(partial(say, ready, "IPC$", right)))[0] == 0
        code, text = await ask(partial(say, ready, "ADMIN$", right))
        assert (code, "NT_STATUS_ACCESS_DENIED" in text) == (1, True)
        code, text = await ask(partial(say, ready, "IPC$", "wrong"))
        assert (code, "NT_STATUS_LOGON_FAILURE" in text) == (1, True)


# -- the estate --------------------------------------------------------------------------------------------------------


async def test_hosts_of_the_other_kind_and_silent_ones(tmp_path: Path) -> None:
    text = f'{GROUP}fault = "silent"\n[[hosts]]\nnetwork = "127.25.0.0/16"\n'
    async with running(text, tmp_path) as (ready, world):
        async with await anyio.connect_tcp(HOST, ready.smb_port) as stream:
            await stream.send(b"\0\0\0\0")
            with anyio.move_on_after(0.2) as patience:
                await stream.receive()
            assert patience.cancelled_caught
        with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
            async with await anyio.connect_tcp("127.25.0.1", ready.smb_port) as stream:
                await stream.receive()
        assert world.metrics.strangers == 1
