"""The programs of others see the same at a real server as at the simulated host that stands for it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.contract import CryptoProfile
from tests.peers import clients
from tests.peers.clients import NO_ENCRYPTION, SMB_CLIENTS
from tests.peers.hosts import Estate, Host, OpenSsh, Samba, serving
from tests.peers.rows import Key, Known, Password, Row, Simulated
from tests.peers.smbd import Smbd
from tests.peers.sshd import Sshd
from tests.peers.unix_rows import UNIX_ROWS
from tests.peers.windows_rows import WINDOWS_ROWS

pytestmark = [pytest.mark.slow, pytest.mark.peer]

WINDOWS_NAMES = (
    "administrator (plain)",
    "administrator (strict)",
    "administrator (sealed)",
    "wrong password (plain)",
    "wrong password (strict)",
    "wrong password (sealed)",
    "disabled (plain)",
    "expired (plain)",
    "locked (plain)",
    "must_change (plain)",
    "password_expired (plain)",
    "logon_hours (plain)",
    "workstation (plain)",
    "locked, wrong password",
    "unknown user",
    "a cipher that impacket has not",
)
UNFIT = {
    "impacket 3.0": "Samba says INVALID_PARAMETER where that dialect's cipher is not allowed; a simulated host goes on",
    "aiosmb 3": "it cannot read an answer that names no cipher",
}
"""Clients that a host without AES-CCM is not tried with, and why."""
SSH_SAYS = {
    "PASSED": r"uid=",
    "AUTH_NOT_REQUIRED": r"uid=",
    "BAD_CREDENTIALS": r"Permission denied \(",
    "KEY_REFUSED": r"Permission denied \(",
    "PARTIAL_SUCCESS": r"Permission denied \(",
    "SSH_METHOD_NOT_OFFERED": r"Permission denied \(publickey\)\.",
    "ACCOUNT_EXPIRED": r"Your account has expired; please contact your system administrator\.",
    "PASSWORD_EXPIRED": r"Password change required but no TTY available\.",
    "PRIV_NO_SHELL": r"This account is currently not available\.|open failed",
    "PRIV_FORCED_COMMAND": r"^(this host is looked after|rsync backup service, protocol 31)$",
    "HOST_KEY_CHANGED": r"REMOTE HOST IDENTIFICATION HAS CHANGED!",
    "KEX_NO_MATCH": r"no matching (key exchange method|cipher|host key type) found",
}
"""What ssh says where a scan has this reason."""


def named(rows: tuple[Row, ...], *names: str) -> tuple[Row, ...]:
    by_name = {row.name: row for row in rows}
    return tuple(by_name[name] for name in names)


WINDOWS = named(WINDOWS_ROWS, *WINDOWS_NAMES)
UNIX = tuple(
    row
    for row in UNIX_ROWS
    # A row that is locked first is test_rows' own; and ssh, which answers whatever is asked, would change a password.
    if isinstance(row.simulated, Simulated)
    and row.reason in SSH_SAYS
    and not (row.locked_first or row.sudo or row.root)
    and row.held not in (Key("passphrase"), Key("pem"), Password.EMPTY)
    and row.known in (Known.NOTHING, Known.ANOTHER_KEY)
    and row.crypto is CryptoProfile.COMPAT
)


@pytest.fixture(scope="session")
def estate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Estate]:
    with serving((*WINDOWS, *UNIX), tmp_path_factory.mktemp("clients")) as served:
        yield served


# -- SMB ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "client"),
    [
        pytest.param(row, client, id=f"{row.id}-{client}")
        for row in WINDOWS
        for client in SMB_CLIENTS
        if row.server != "gcm" or client not in UNFIT
    ],
)
async def test_smb(smbds: dict[str, Smbd], estate: Estate, row: Row, client: str) -> None:
    real = Samba(smbds[row.server], row)
    for host in (real, estate.host(row)):
        found = await SMB_CLIENTS[client](host, host.credential().password)
        assert f"0x{found:08x}" == status(row, client)
        assert host.logons() == host.worded(row.logons)
    if row.held is Password.WRONG and real.user in smbds[row.server].passwords:
        await SMB_CLIENTS[client](real, smbds[row.server].passwords[real.user])  # which resets Samba's count


def status(row: Row, client: str) -> str:
    encrypts = {"sealed": client not in NO_ENCRYPTION, "gcm": client in ("smbclient", "smbprotocol")}
    if row.logons == ("OK",):
        return "0x00000000" if encrypts.get(row.server, True) else "0xc0000022"
    return row.says


# -- SSH ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", UNIX, ids=lambda row: row.id)
async def test_ssh(sshd: Sshd, estate: Estate, row: Row, tmp_path: Path) -> None:
    for host in (OpenSsh(sshd, row), estate.host(row)):
        done = await logged_in(host, row, tmp_path)
        assert re.search(SSH_SAYS[row.reason], done, re.MULTILINE)
        assert ("uid=" in done) == (row.reason in ("PASSED", "AUTH_NOT_REQUIRED"))


async def logged_in(host: Host, row: Row, directory: Path) -> str:
    """What ssh says, and what it is told."""
    held, options, known = host.credential(), [], None
    if isinstance(row.held, Key):
        file = directory / f"key-{host.port}"
        file.touch(mode=0o600)
        file.write_bytes(held.private_key)
        options = ["-i", str(file), "-o", "PreferredAuthentications=publickey"]
        if held.certificate:
            file.with_suffix(".pub").write_bytes(held.certificate)
            options += ["-o", f"CertificateFile={file.with_suffix('.pub')}"]
    if row.known is Known.ANOTHER_KEY and row.reason == "HOST_KEY_CHANGED":
        known = directory / f"known-{host.port}"
        known.write_text("".join(f"[{host.address}]:{host.port} {key}\n" for key in host.known()))
    secret = held.passphrase or held.password
    done = await clients.ssh(host, directory, "id", *options, known=known, secret=secret)
    return done.stdout + done.stderr
