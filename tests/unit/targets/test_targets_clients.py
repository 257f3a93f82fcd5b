"""Simulated hosts and the programs of others: OpenSSH's ssh, smbclient over encryption, smbprotocol and aiosmb."""

from __future__ import annotations

import os
import shutil
import subprocess
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from aiosmb.commons.connection.factory import SMBConnectionFactory
from anyio import to_thread
from smbprotocol.connection import Connection
from smbprotocol.exceptions import SMBException
from smbprotocol.session import Session
from smbprotocol.tree import TreeConnect

from targets.lab import Ready
from targets.world import World
from tests.unit.targets.targets_lab import running

pytestmark = [pytest.mark.slow, pytest.mark.peer]

WINDOWS, UNIX = "127.24.0.1", "127.25.0.1"
LOGON_FAILURE, LOCKED, ACCESS_DENIED, BAD_NETWORK_NAME = 0xC000006D, 0xC0000234, 0xC0000022, 0xC00000CC


def windows(rest: str = "") -> str:
    return f'[[hosts]]\ntechnology = "windows"\nnetwork = "127.24.0.0/16"\n{rest}\n'


def unix(rest: str = "") -> str:
    return f'[[hosts]]\nnetwork = "127.25.0.0/16"\n{rest}\n'


def password(world: World, address: str) -> str:
    return world.accounts._materials[world.estate.hosts[address].account_key].password


# -- smbprotocol -------------------------------------------------------------------------------------------------------


def trees(ready: Ready, secret: str, *shares: str, encrypts: bool = False) -> list[int]:
    """The status of a session setup, and of a tree connect to each share; only the first where it is refused."""
    connection = Connection(uuid.uuid4(), WINDOWS, ready.smb_port)
    connection.connect(timeout=10)
    try:
        session = Session(connection, "scan", secret, require_encryption=encrypts, auth_protocol="ntlm")
        found = [tried(session.connect)]
        found += [tried(TreeConnect(session, rf"\\{WINDOWS}\{share}").connect) for share in shares if not found[0]]
        return found
    finally:
        connection.disconnect()


def tried(step: Callable[[], Any]) -> int:
    try:
        step()
    except SMBException as error:
        return int(getattr(error, "status", 0)) & 0xFFFFFFFF or 1
    return 0


@pytest.mark.parametrize("fault", ["none", "signing", "encryption", "encryption_gcm"])
async def test_smbprotocol_logs_in_and_may_do_everything(fault: str, tmp_path: Path) -> None:
    """It checks signatures, the dialect's protection, and what is encrypted."""
    encrypts = fault.startswith("encryption")
    async with running(windows(f'fault = "{fault}"'), tmp_path) as (ready, world):
        right = password(world, WINDOWS)
        asked = lambda: trees(ready, right, "IPC$", "ADMIN$", "NOPE$", encrypts=encrypts)  # noqa: E731 - a thread's work
        assert await to_thread.run_sync(asked) == [0, 0, 0, BAD_NETWORK_NAME]


@pytest.mark.parametrize(
    ("fault", "statuses"),
    [("wrong_password", [LOGON_FAILURE]), ("locked", [LOCKED]), ("no_admin", [0, 0, ACCESS_DENIED])],
)
async def test_smbprotocol_is_refused_as_by_a_server(fault: str, statuses: list[int], tmp_path: Path) -> None:
    async with running(windows(f'fault = "{fault}"'), tmp_path) as (ready, world):
        secret = "wrong" if fault == "wrong_password" else password(world, WINDOWS)
        assert await to_thread.run_sync(lambda: trees(ready, secret, "IPC$", "ADMIN$")) == statuses


# -- aiosmb ------------------------------------------------------------------------------------------------------------


async def aiosmb(ready: Ready, secret: str) -> str:
    """What the login raised; nothing where it worked."""
    url = f"smb2+ntlm-password://SRV\\scan:{quote(secret)}@{WINDOWS}:{ready.smb_port}/?timeout=10"
    connection = SMBConnectionFactory.from_url(url).get_connection()
    try:
        _, error = await connection.login()
        return "" if error is None else str(error)
    finally:
        await connection.disconnect()


async def test_aiosmb_logs_in_and_is_refused(tmp_path: Path) -> None:
    async with running(windows(), tmp_path) as (ready, world):
        assert await aiosmb(ready, password(world, WINDOWS)) == ""
        assert "LOGON_FAILURE" in await aiosmb(ready, "wrong")
        assert [logon.ok for logon in world.metrics.hosts[WINDOWS].logons] == [True, False]


# -- smbclient ---------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("smbclient") is None, reason="no smbclient here")
@pytest.mark.parametrize("dialect", ["SMB3_00", "SMB3_11"])
@pytest.mark.parametrize("fault", ["encryption", "encryption_gcm", "none"])
async def test_smbclient_encrypts(fault: str, dialect: str, tmp_path: Path) -> None:
    """A host that knows GCM alone has nothing for the dialects before 3.1.1, which know CCM alone."""

    def say(ready: Ready, secret: str) -> tuple[int, str]:
        command = ["smbclient", "-m", dialect, "--client-protection=encrypt", "-p", str(ready.smb_port)]
        command += ["-U", f"scan%{secret}", f"//{WINDOWS}/ADMIN$", "-c", "exit"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
        return done.returncode, done.stdout + done.stderr

    async with running(windows(f'fault = "{fault}"'), tmp_path) as (ready, world):
        code, text = await to_thread.run_sync(say, ready, password(world, WINDOWS))
        assert (code == 0) == ((fault, dialect) != ("encryption_gcm", "SMB3_00")), text


# -- ssh ---------------------------------------------------------------------------------------------------------------


def ssh(
    ready: Ready, tmp_path: Path, command: str, *options: str, secret: str = ""
) -> subprocess.CompletedProcess[str]:
    """OpenSSH's client, with the estate's known_hosts and no files of its user's; the password by askpass."""
    askpass = tmp_path / "askpass"
    askpass.write_text('#!/bin/sh\nprintf "%s\\n" "$SECRET"\n')
    askpass.chmod(0o700)
    argv = ["ssh", "-F", "none", "-p", str(ready.ssh_port), "-o", f"UserKnownHostsFile={ready.known_hosts}"]
    argv += ["-o", "GlobalKnownHostsFile=none", "-o", "StrictHostKeyChecking=yes", "-o", "NumberOfPasswordPrompts=1"]
    argv += ["-o", "IdentitiesOnly=yes", *options, f"scan@{UNIX}", command]
    own = {"SSH_ASKPASS": str(askpass), "SSH_ASKPASS_REQUIRE": "force", "SECRET": secret, "DISPLAY": "none"}
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)} | own
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30, env=env)


@pytest.mark.parametrize(
    ("system", "id_", "release"),
    [
        ("debian", "27(sudo)", "ID=debian"),
        ("rhel", "10(wheel)", 'ID="rhel"'),
        ("busybox", "1001(scan)", 'ID="openwrt"'),
    ],
)
async def test_ssh_sees_the_system_that_a_host_runs(system: str, id_: str, release: str, tmp_path: Path) -> None:
    async with running(unix(f'system = "{system}"'), tmp_path) as (ready, world):
        secret = password(world, UNIX)
        done = await to_thread.run_sync(lambda: ssh(ready, tmp_path, "id", secret=secret))
        assert (done.returncode, id_ in done.stdout) == (0, True), done.stderr
        done = await to_thread.run_sync(lambda: ssh(ready, tmp_path, "cat /etc/os-release", secret=secret))
        assert release in done.stdout
        done = await to_thread.run_sync(lambda: ssh(ready, tmp_path, "nonsense", secret=secret))
        assert (done.returncode, "not found" in done.stderr) == (127, True)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("wrong_password", "Permission denied"),
        ("unknown_user", "Permission denied"),
        ("key_only", "Permission denied (publickey)"),
        ("locked", "The account is locked due to 3 failed logins."),
        ("expired", "Your account has expired"),
        ("changed_host_key", "REMOTE HOST IDENTIFICATION HAS CHANGED"),
        ("old_kex", "no matching key exchange method found"),
        ("reset_after_banner", "Connection reset"),
        ("reset_at_login", "Connection"),
        ("network_device", "% Invalid input detected"),
    ],
)
async def test_ssh_is_told_what_a_host_of_that_fault_tells(fault: str, said: str, tmp_path: Path) -> None:
    async with running(unix(f'fault = "{fault}"'), tmp_path) as (ready, world):
        known = world.estate.hosts[UNIX].fault.known and fault != "wrong_password"
        secret = password(world, UNIX) if known else "wrong"
        done = await to_thread.run_sync(lambda: ssh(ready, tmp_path, "id", secret=secret))
        assert said in done.stdout + done.stderr
        assert "uid=" not in done.stdout


async def test_a_user_certificate_of_the_estates_ca_opens_its_accounts_and_another_ones_does_not(
    tmp_path: Path,
) -> None:
    async with running(unix(), tmp_path) as (ready, _):

        def login(ca: str, principal: str) -> subprocess.CompletedProcess[str]:
            key = tmp_path / f"key-{uuid.uuid4()}"
            keygen(tmp_path, "-q", "-t", "ed25519", "-N", "", "-f", str(key))
            keygen(tmp_path, "-q", "-s", ca, "-I", "test", "-n", principal, "-V", "-1m:+5m", f"{key}.pub")
            return ssh(
                ready,
                tmp_path,
                "id -un",
                "-i",
                str(key),
                "-o",
                "PasswordAuthentication=no",
                "-o",
                "KbdInteractiveAuthentication=no",
            )

        other = tmp_path / "other-ca"
        keygen(tmp_path, "-q", "-t", "ed25519", "-N", "", "-f", str(other))
        done = await to_thread.run_sync(login, ready.user_ca, "scan")
        assert (done.returncode, done.stdout) == (0, "scan\n"), done.stderr
        assert (await to_thread.run_sync(login, ready.user_ca, "somebody")).returncode == 255
        assert (await to_thread.run_sync(login, str(other), "scan")).returncode == 255


def keygen(where: Path, *arguments: str) -> None:
    subprocess.run(["ssh-keygen", *arguments], check=True, capture_output=True, cwd=where, timeout=30)
