"""The programs of others as clients of a host: OpenSSH's ssh, Samba's smbclient, impacket, smbprotocol and aiosmb.

An `SmbClient` logs in once and gives the NTSTATUS that it was answered with; 0 is a session.
"""

from __future__ import annotations

import os
import re
import subprocess
import uuid
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

import anyio
from aiosmb.commons.connection.factory import SMBConnectionFactory
from anyio import to_thread
from impacket import nt_errors, smb3
from impacket.smbconnection import SessionError, SMBConnection
from smbprotocol.connection import Connection
from smbprotocol.exceptions import SMBException
from smbprotocol.session import Session
from smbprotocol.tree import TreeConnect

PATIENCE_S = 30


class Address(Protocol):
    """Where a host is, and as whom it is logged in to."""

    @property
    def address(self) -> str: ...

    @property
    def port(self) -> int: ...

    @property
    def user(self) -> str: ...


SmbClient = Callable[[Address, str], Awaitable[int]]
"""Of a host and a password."""


async def on_thread(work: Callable[[], Any]) -> Any:
    with anyio.fail_after(PATIENCE_S):
        return await to_thread.run_sync(work)


# -- impacket ----------------------------------------------------------------------------------------------------------


async def impacket(host: Address, password: str, *, dialect: int | None = None) -> int:
    def work() -> int:
        try:
            client = SMBConnection(
                host.address, host.address, sess_port=host.port, preferredDialect=dialect, timeout=PATIENCE_S
            )
        except smb3.SessionError as error:  # the dialect is refused
            return int(error.get_error_code())
        try:
            client.login(host.user, password, "")
        except SessionError as error:
            return int(error.getErrorCode())
        finally:
            client.close()
        return 0

    return int(await on_thread(work))


# -- smbprotocol -------------------------------------------------------------------------------------------------------


async def smbprotocol(host: Address, password: str) -> int:
    """It checks signatures and the dialect's protection."""
    return (await smbprotocol_trees(host, password))[0]


async def smbprotocol_trees(host: Address, password: str, *shares: str, encrypts: bool = False) -> list[int]:
    """The status of a session setup, and of a tree connect to each share; only the first where it is refused."""

    def work() -> list[int]:
        connection = Connection(uuid.uuid4(), host.address, host.port)
        connection.connect(timeout=PATIENCE_S)
        try:
            session = Session(connection, host.user, password, require_encryption=encrypts, auth_protocol="ntlm")
            found = [_status(session.connect)]
            trees = [TreeConnect(session, rf"\\{host.address}\{share}") for share in shares if not found[0]]
            return found + [_status(tree.connect) for tree in trees]
        finally:
            connection.disconnect()

    return list(await on_thread(work))


def _status(step: Callable[[], Any]) -> int:
    try:
        step()
    except SMBException as error:
        return int(getattr(error, "status", 0)) & 0xFFFFFFFF or 1
    return 0


# -- aiosmb ------------------------------------------------------------------------------------------------------------


async def aiosmb(host: Address, password: str, *, dialects: str) -> int:
    """`dialects`: smb2 or smb3, all of that kind."""
    url = f"{dialects}+ntlm-password://SRV\\{host.user}:{quote(password)}@{host.address}:{host.port}/?timeout=10"
    connection = SMBConnectionFactory.from_url(url).get_connection()
    try:
        _, error = await connection.login()
    finally:
        await connection.disconnect()
    if error is None:
        return 0
    named = re.search(r"NTStatus\.(\w+)", str(error))
    assert named is not None, f"no status: {error!r}"
    return _numbers()[f"STATUS_{named[1]}"]


# -- smbclient ---------------------------------------------------------------------------------------------------------


async def smbclient(host: Address, password: str, *options: str) -> int:
    """It checks signatures, the dialect's protection and the mechanisms' MIC."""
    code, said = await smbclient_share(host, password, "IPC$", *options)
    named = re.search(r"NT_(STATUS_\w+)", said)
    assert (code == 0) == (named is None), said
    return 0 if named is None else _numbers()[named[1]]


async def smbclient_share(host: Address, password: str, share: str, *options: str) -> tuple[int, str]:
    """Exit code and words of a connection to a share."""
    command = ["smbclient", *options, "-s", "/dev/null", "-p", str(host.port), "-U", f"{host.user}%{password}"]
    command += [f"//{host.address}/{share}", "-c", "exit"]
    run = partial(subprocess.run, command, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    done = await on_thread(run)
    return done.returncode, done.stdout + done.stderr


def _numbers() -> Mapping[str, int]:
    """NTSTATUS by name. Where several names share a number, each is here."""
    return {name: number for number, (name, _) in nt_errors.ERROR_MESSAGES.items()}


SMB_CLIENTS: Mapping[str, SmbClient] = {
    "impacket": impacket,
    "impacket 3.0": partial(impacket, dialect=0x0300),
    "impacket 2.1": partial(impacket, dialect=0x0210),
    "smbprotocol": smbprotocol,
    "aiosmb 3": partial(aiosmb, dialects="smb3"),
    "aiosmb 2": partial(aiosmb, dialects="smb2"),
    "smbclient": smbclient,
}
NO_ENCRYPTION = ("impacket 2.1", "aiosmb 2")
"""Clients whose dialects have none."""


# -- ssh ---------------------------------------------------------------------------------------------------------------


async def ssh(
    host: Address, directory: Path, command: str, *options: str, known: Path | None = None, secret: str = ""
) -> subprocess.CompletedProcess[str]:
    """OpenSSH's client with no files of its user's; `secret` is given to whatever asks, and what asked is on stderr.

    `known`: a known_hosts file, which then must hold the host's key.
    """
    askpass = directory / "askpass"
    askpass.write_text('#!/bin/sh\nprintf "%s\\n" "$1" >&2\nprintf "%s\\n" "$SECRET"\n')
    askpass.chmod(0o700)
    argv = ["ssh", "-F", "none", "-p", str(host.port), "-o", f"UserKnownHostsFile={known or '/dev/null'}"]
    argv += ["-o", "GlobalKnownHostsFile=none", "-o", f"StrictHostKeyChecking={'yes' if known else 'no'}"]
    argv += ["-o", "NumberOfPasswordPrompts=1", "-o", "IdentitiesOnly=yes"]
    argv += ["-o", "HostKeyAlgorithms=ssh-ed25519-cert-v01@openssh.com,ssh-ed25519"]
    argv += [*options, f"{host.user}@{host.address}", command]
    own = {"SSH_ASKPASS": str(askpass), "SSH_ASKPASS_REQUIRE": "force", "SECRET": secret, "DISPLAY": "none"}
    env = {"PATH": os.environ["PATH"], "HOME": str(directory)} | own
    run = partial(
        subprocess.run, argv, capture_output=True, text=True, check=False, timeout=PATIENCE_S, env=env,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    done: subprocess.CompletedProcess[str] = await on_thread(run)
    return done
