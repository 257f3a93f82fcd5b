"""All SSH hosts of an estate behind one wildcard listener; which host a connection is for, its local address says.

Facts this is built on (measured with asyncssh 2.24 on one core): options and keys as objects 575 to 850 logins a
second, host keys as paths 10; asyncssh's `reload_config` builds the options anew in a thread for every login, for the
sake of `Match` blocks that no estate has, so it is left out here. A silent connection costs a socket and an object.
"""

from __future__ import annotations

import asyncio
import copy
import socket
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import lru_cache, partial
from typing import Any, cast

import asyncssh
from asyncssh.auth import KbdIntChallenge, KbdIntResponse
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from targets.door import host_at
from targets.estate import Host
from targets.faults import Port
from targets.material import host_key
from targets.oddity import OddService
from targets.shell import answer
from targets.world import World

BACKLOG = 4096
GRACE = 120.0
"""Seconds a peer has to log in; OpenSSH's LoginGraceTime."""
SERVER_VERSION = "OpenSSH_9.2p1-Debian-2"
HOST_KEYS_CACHED = 4096


class HostServer(asyncssh.SSHServer):
    """One connection's server side: decides logons by the world's accounts and counts them."""

    def __init__(self, world: World, host: Host) -> None:
        self._world = world
        self._host = host
        self._user = ""
        self._method = ""

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn

    def begin_auth(self, username: str) -> bool:
        self._user = username
        return True

    def auth_completed(self) -> None:
        # A key is asked about before it is used; only here has its signature been seen to be good.
        if self._method == "publickey":
            self._count(self._user, "publickey", ok=True)

    def password_auth_supported(self) -> bool:
        return self._host.fault.passwords and self._host.login != "keyboard-interactive"

    def validate_password(self, username: str, password: str) -> bool:
        if self._host.fault.drops_logins:
            self._connection.abort()
            return False
        return self._password(username, password, "password")

    def kbdint_auth_supported(self) -> bool:
        return self._host.fault.passwords or self._host.fault.second_factor

    def get_kbdint_challenge(self, username: str, lang: str, submethods: str) -> KbdIntChallenge:  # noqa: ARG002 - asyncssh's signature
        return "", "", "", [("Verification code: " if self._host.fault.second_factor else "Password: ", False)]

    def validate_kbdint_response(self, username: str, responses: KbdIntResponse) -> bool:
        if self._host.fault.second_factor:
            return False
        return len(responses) == 1 and self._password(username, responses[0], "keyboard-interactive")

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        self._method = "publickey"
        authorized = self._world.accounts.public_key(self._host, username, key.public_data)
        if not authorized:
            self._count(username, "publickey", ok=False)
        return authorized

    def session_requested(self) -> HostSession:
        return HostSession(self._world, self._host, self._user)

    def _password(self, user: str, password: str, method: str) -> bool:
        self._method = method
        ok = self._world.accounts.password(self._host, user, password)
        self._count(user, method, ok=ok)
        return ok

    def _count(self, user: str, method: str, *, ok: bool) -> None:
        self._world.metrics.logon(self._host.address, user, method, ok=ok)


class HostSession(asyncssh.SSHServerSession[str]):
    """Runs one command; a host gives out no shell and no subsystem."""

    def __init__(self, world: World, host: Host, user: str) -> None:
        self._world = world
        self._host = host
        self._user = user
        self._command = ""

    def connection_made(self, chan: asyncssh.SSHServerChannel[str]) -> None:
        self._channel = chan

    def exec_requested(self, command: str) -> bool:
        self._command = command
        return True

    def session_started(self) -> None:
        self._world.metrics.hosts[self._host.address].commands += 1
        said = answer(self._host, self._user, self._command)
        if said.stdout:
            self._channel.write(said.stdout)
        if said.stderr:
            self._channel.write_stderr(said.stderr)
        self._channel.exit(said.status)


class _HostConnection(asyncssh.SSHServerConnection):
    def __init__(self, listener: _Listener, options: asyncssh.SSHServerConnectionOptions) -> None:
        super().__init__(asyncio.get_running_loop(), options)
        self._listener = listener

    async def reload_config(self) -> None:
        """Nothing to reload: see the head of this file."""

    def connection_lost(self, exc: Exception | None = None) -> None:
        self._listener.forget(self)
        super().connection_lost(exc)


class _Door(asyncio.Protocol):
    """The first protocol of every connection: it finds the host and hands over."""

    def __init__(self, listener: _Listener) -> None:
        self._listener = listener

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # create_server makes socket transports, which are asyncio.Transport.
        self._listener.admit(cast("asyncio.Transport", transport))


class _Listener:
    def __init__(self, world: World, options: asyncssh.SSHServerConnectionOptions) -> None:
        self._world = world
        self._options = options
        self._open: set[OddService | _HostConnection] = set()
        self._options_of = lru_cache(HOST_KEYS_CACHED)(self._make_options)

    def admit(self, transport: asyncio.Transport) -> None:
        host = host_at(self._world, transport, "unix")
        if host is None:
            return
        if host.fault.port is not Port.OPEN:
            self._hand_over(transport, OddService(host.fault.port, host.fault.says, self.forget))
            return
        options = copy.copy(self._options_of(host.address))
        options.protocol_factory = partial(HostServer, self._world, host)
        self._hand_over(transport, _HostConnection(self, options))

    def _hand_over(self, transport: asyncio.Transport, connection: OddService | _HostConnection) -> None:
        self._open.add(connection)
        transport.set_protocol(connection)
        connection.connection_made(transport)

    def forget(self, connection: OddService | _HostConnection) -> None:
        if connection in self._open:
            self._open.remove(connection)
            self._world.metrics.closed()

    def abort_all(self) -> None:
        for connection in tuple(self._open):
            connection.abort()

    def _make_options(self, address: str) -> asyncssh.SSHServerConnectionOptions:
        key = Ed25519PrivateKey.from_private_bytes(host_key(self._world.estate.seed, address))
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        [pair] = asyncssh.load_keypairs([asyncssh.import_private_key(pem)])
        options = copy.copy(self._options)
        options.server_host_keys = OrderedDict({pair.algorithm: pair})
        if kex := self._world.estate.hosts[address].fault.kex:
            options.kex_algs = [name.encode() for name in kex]
        return options


@asynccontextmanager
async def listening(world: World) -> AsyncIterator[int]:
    """Serve all hosts of the world; the port. On leaving, every connection is cut."""
    # The key serves no host: asyncssh wants one to build options from.
    options: Any = asyncssh.SSHServerConnectionOptions(
        config=None,
        server_host_keys=[asyncssh.generate_private_key("ssh-ed25519")],
        server_version=SERVER_VERSION,
        gss_host=None,
        x509_trusted_certs=None,
        login_timeout=GRACE,
        allow_pty=False,
        agent_forwarding=False,
        rdns_lookup=False,
    )
    listener = _Listener(world, options)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        partial(_Door, listener),
        "0.0.0.0",  # noqa: S104 - `host_at` drops every peer that is not on this machine
        0,
        backlog=BACKLOG,
    )
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        listener.abort_all()


@asynccontextmanager
async def refusing() -> AsyncIterator[int]:
    """A port on every loopback address that is taken, but not listened on: connections are refused."""
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))  # noqa: S104 - nothing listens
        yield taken.getsockname()[1]
