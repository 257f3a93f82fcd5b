"""Simulated hosts and the programs of others, where no real server has a say: shares, ciphers by dialect, systems,
faults of the estate's own. What real servers answer to the same programs is in tests/peers/test_clients.py.
"""

from __future__ import annotations

import shutil
import subprocess
import uuid
from dataclasses import dataclass
from pathlib import Path

import pytest
from anyio import to_thread

from targets.lab import Ready
from targets.world import World
from tests.peers import clients
from tests.unit.targets.targets_lab import running

pytestmark = [pytest.mark.slow, pytest.mark.peer]

WINDOWS, UNIX = "127.24.0.1", "127.25.0.1"
ACCESS_DENIED, BAD_NETWORK_NAME = 0xC0000022, 0xC00000CC


@dataclass(frozen=True, slots=True)
class At:
    address: str
    port: int
    user: str = "scan"


def windows(rest: str = "") -> str:
    return f'[[hosts]]\ntechnology = "windows"\nnetwork = "127.24.0.0/16"\n{rest}\n'


def unix(rest: str = "") -> str:
    return f'[[hosts]]\nnetwork = "127.25.0.0/16"\n{rest}\n'


def password(world: World, address: str) -> str:
    return world.accounts._materials[world.estate.hosts[address].account_key].password


# -- SMB ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "admin_share"),
    [("none", 0), ("signing", 0), ("encryption", 0), ("encryption_gcm", 0), ("no_admin", ACCESS_DENIED)],
)
async def test_smbprotocol_connects_to_shares(fault: str, admin_share: int, tmp_path: Path) -> None:
    """It checks signatures, the dialect's protection, and what is encrypted."""
    encrypts = fault.startswith("encryption")
    async with running(windows(f'fault = "{fault}"'), tmp_path) as (ready, world):
        host, right = At(WINDOWS, ready.smb_port), password(world, WINDOWS)
        found = await clients.smbprotocol_trees(host, right, "IPC$", "ADMIN$", "NOPE$", encrypts=encrypts)
        assert found == [0, 0, admin_share, BAD_NETWORK_NAME]


@pytest.mark.skipif(shutil.which("smbclient") is None, reason="no smbclient here")
@pytest.mark.parametrize("dialect", ["SMB3_00", "SMB3_11"])
@pytest.mark.parametrize("fault", ["encryption", "encryption_gcm", "none"])
async def test_smbclient_encrypts(fault: str, dialect: str, tmp_path: Path) -> None:
    """A host that knows GCM alone has nothing for the dialects before 3.1.1, which know CCM alone."""
    options = ("-m", dialect, "--client-protection=encrypt")
    async with running(windows(f'fault = "{fault}"'), tmp_path) as (ready, world):
        host = At(WINDOWS, ready.smb_port)
        code, said = await clients.smbclient_share(host, password(world, WINDOWS), "ADMIN$", *options)
        assert (code == 0) == ((fault, dialect) != ("encryption_gcm", "SMB3_00")), said


# -- ssh ---------------------------------------------------------------------------------------------------------------


async def ssh(
    ready: Ready, directory: Path, command: str, *options: str, secret: str = ""
) -> subprocess.CompletedProcess[str]:
    """As one who has the estate's known_hosts."""
    host = At(UNIX, ready.ssh_port)
    return await clients.ssh(host, directory, command, *options, known=Path(ready.known_hosts), secret=secret)


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
        done = await ssh(ready, tmp_path, "id", secret=secret)
        assert (done.returncode, id_ in done.stdout) == (0, True), done.stderr
        done = await ssh(ready, tmp_path, "cat /etc/os-release", secret=secret)
        assert release in done.stdout
        done = await ssh(ready, tmp_path, "nonsense", secret=secret)
        assert (done.returncode, "not found" in done.stderr) == (127, True)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("wrong_password", "Permission denied"),
        ("unknown_user", "Permission denied"),
        ("key_only", "Permission denied (publickey)"),
        ("locked", "Permission denied (publickey,password,keyboard-interactive)"),
        ('locked"\nlogin = "keyboard-interactive', "The account is locked due to 3 failed logins."),
        ("expired", "Your account has expired"),
        ('expired"\nlogin = "keyboard-interactive', "Your account has expired"),
        ('must_change"\nlogin = "keyboard-interactive', "You are required to change your password immediately"),
        ("two_methods", "Permission denied (publickey)"),
        ("changed_host_key", "REMOTE HOST IDENTIFICATION HAS CHANGED"),
        ("revoked_host_key", "REVOKED HOST KEY DETECTED"),
        ("certificate_expired", "Certificate invalid: expired"),
        ("certificate_of_another", "Certificate invalid: name is not a listed principal"),
        ("certificate_unknown_ca", "Host key verification failed"),
        ("certificate_missing", "Host key verification failed"),
        ("old_kex", "no matching key exchange method found"),
        ("old_cipher", "no matching cipher found"),
        ("sha1_host_key", "no matching host key type found"),
        ("reset_after_banner", "Connection reset"),
        ("reset_at_login", "Connection"),
        ("network_device", 'Line has invalid autocommand "id"'),
    ],
)
async def test_ssh_is_told_what_a_host_of_that_fault_tells(fault: str, said: str, tmp_path: Path) -> None:
    async with running(unix(f'fault = "{fault}"'), tmp_path) as (ready, world):
        known = world.estate.hosts[UNIX].fault.known and fault != "wrong_password"
        secret = password(world, UNIX) if known else "wrong"
        done = await ssh(ready, tmp_path, "id", secret=secret)
        assert said in done.stdout + done.stderr
        assert "uid=" not in done.stdout


async def test_a_user_certificate_of_the_estates_ca_opens_its_accounts_and_another_ones_does_not(
    tmp_path: Path,
) -> None:
    async with running(unix(), tmp_path) as (ready, _):

        async def login(ca: str, principal: str) -> subprocess.CompletedProcess[str]:
            key = tmp_path / f"key-{uuid.uuid4()}"
            await to_thread.run_sync(certify, key, ca, principal)
            by_key = ("-i", str(key), "-o", "PreferredAuthentications=publickey")
            return await ssh(ready, tmp_path, "id -un", *by_key)

        def certify(key: Path, ca: str, principal: str) -> None:
            keygen(tmp_path, "-q", "-t", "ed25519", "-N", "", "-f", str(key))
            keygen(tmp_path, "-q", "-s", ca, "-I", "test", "-n", principal, "-V", "-1m:+5m", f"{key}.pub")

        other = tmp_path / "other-ca"
        keygen(tmp_path, "-q", "-t", "ed25519", "-N", "", "-f", str(other))
        done = await login(ready.user_ca, "scan")
        assert (done.returncode, done.stdout) == (0, "scan\n"), done.stderr
        assert (await login(ready.user_ca, "somebody")).returncode == 255
        assert (await login(str(other), "scan")).returncode == 255


def keygen(where: Path, *arguments: str) -> None:
    subprocess.run(["ssh-keygen", *arguments], check=True, capture_output=True, cwd=where, timeout=30)
