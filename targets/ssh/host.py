"""All SSH hosts of an estate behind one wildcard listener; which host a connection is for, its local address says.

Facts this is built on (measured with asyncssh 2.24 on one core): options and keys as objects 575 to 850 logins a
second, host keys as paths 10; asyncssh's `reload_config` builds the options anew in a thread for every login, for the
sake of `Match` blocks that no estate has, so it is left out here. A silent connection costs a socket and an object.
"""

from __future__ import annotations

import asyncio
import copy
import socket
import warnings
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache, partial
from typing import Any, cast

import asyncssh
from asyncssh.auth import get_supported_server_auth_methods
from asyncssh.constants import MSG_USERAUTH_FAILURE
from asyncssh.packet import Boolean, NameList

from targets.conduct import Pace
from targets.door import host_at, odd_service, pace_of, reset, source
from targets.estate import Host
from targets.faults import Manner, Port, Stage
from targets.guests import Guests
from targets.host_world import HostWorld
from targets.oddity import Dripping, OddService
from targets.shards.steering import BACKLOG
from targets.ssh.host_keys import key_pairs
from targets.ssh.login import HostServer
from targets.ssh.startups import Startups
from targets.sshd_policy import Offence

# cryptography gives notice of finite-field Diffie-Hellman; hosts of some faults have nothing else.
warnings.filterwarnings("ignore", "Diffie-Hellman over finite fields")

GRACE = 120.0
"""Seconds a peer has to log in; OpenSSH's LoginGraceTime."""
HOST_KEYS_CACHED = 4096
_METHODS = (b"publickey", b"password", b"keyboard-interactive")
"""In the order in which OpenSSH names them."""


class _HostConnection(asyncssh.SSHServerConnection):
    """A connection whose host may be in trouble before anybody logs in, or want more than a right credential."""

    def __init__(
        self,
        listener: _Listener,
        options: asyncssh.SSHServerConnectionOptions,
        host: Host,
        source: str,
        pace: Pace,
    ) -> None:
        super().__init__(asyncio.get_running_loop(), options)
        self._listener = listener
        self._host = host
        self._source = source
        self._began = self._loop.time()
        trouble = host.fault.trouble
        self._trouble = trouble if trouble is not None and trouble.stage is Stage.KEX else None
        self._pace = pace
        self._late: asyncio.TimerHandle | None = None
        self._begun = True
        """A login, which has not ended yet."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # create_server makes socket transports, which are asyncio.Transport.
        self._transport = cast("asyncio.Transport", transport)
        self._unless_late(Stage.BANNER, partial(super().connection_made, transport))

    def data_received(self, data: bytes, datatype: int | None = None) -> None:
        match self._trouble and self._trouble.manner:
            case Manner.CUTS:
                reset(self)
            case Manner.STALLS:
                pass
            case Manner.HALF_CLOSES:
                self._write_eof()
            case manner:
                if manner is Manner.DRIPS and self._transport is not None:
                    self._trouble, self._transport = None, cast("asyncio.Transport", Dripping(self._transport))
                self._unless_late(Stage.KEX, partial(super().data_received, data, datatype))

    def _write_eof(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write_eof()

    def _unless_late(self, stage: Stage, then: Callable[[], None]) -> None:
        """Now, or when the host has taken its time for this stage; nothing is read meanwhile."""
        delay = self._pace.take(stage)
        if self._transport is None or not delay:
            then()
            return
        if stage is Stage.BANNER:
            # asyncio begins to read after `connection_made`, which is now; in 3.11.2 (Debian 12) a pause of before
            # did not keep it from that.
            self._loop.call_soon(self._transport.pause_reading)
        else:
            self._transport.pause_reading()
        self._late = self._loop.call_later(delay, self._go_on, self._transport, then)

    @staticmethod
    def _go_on(transport: asyncio.Transport, then: Callable[[], None]) -> None:
        then()
        if not transport.is_closing():
            transport.resume_reading()

    async def reload_config(self) -> None:
        """Nothing to reload: see the head of this file."""

    async def _validate_openssh_certificate(
        self, username: str, cert: asyncssh.public_key.SSHOpenSSHCertificate
    ) -> asyncssh.SSHKey | None:
        key = await super()._validate_openssh_certificate(username, cert)
        owner = self.get_owner()
        if key is None and isinstance(owner, HostServer):
            owner.certificate_refused()
        return key

    def send_userauth_failure(self, partial_success: bool) -> None:
        self._auth = None
        methods = sorted(get_supported_server_auth_methods(self), key=_METHODS.index)
        self.send_packet(MSG_USERAUTH_FAILURE, NameList(methods), Boolean(partial_success))

    async def send_userauth_success(self) -> None:
        owner = self.get_owner()
        if isinstance(owner, HostServer) and owner.admits():
            self._begun = False
            self._listener.startups.logged_in(self._host)
            await super().send_userauth_success()

    def connection_lost(self, exc: Exception | None = None) -> None:
        self._listener.guests.forget(self)
        if self._begun:
            self._begun = False
            owner = self.get_owner()
            offence = Offence.AUTH_FAILED if isinstance(owner, HostServer) and owner.has_tried else Offence.NO_AUTH
            if self._loop.time() - self._began >= GRACE:
                offence = Offence.GRACE_EXCEEDED
            self._listener.startups.ended(self._host, self._source, offence)
        if self._late is not None:
            self._late.cancel()
        super().connection_lost(exc)


class _Door(asyncio.Protocol):
    """The first protocol of every connection: it finds the host and hands over."""

    def __init__(self, listener: _Listener) -> None:
        self._listener = listener

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # create_server makes socket transports, which are asyncio.Transport.
        self._listener.admit(cast("asyncio.Transport", transport))


class _Listener:
    def __init__(self, world: HostWorld, options: asyncssh.SSHServerConnectionOptions) -> None:
        self._world = world
        self._options = options
        self.guests = Guests(world)
        self.startups = Startups(world)
        self._options_of = lru_cache(HOST_KEYS_CACHED)(self._make_options)

    def admit(self, transport: asyncio.Transport) -> None:
        host = host_at(self._world, transport, "unix")
        if host is None:
            return
        odd = odd_service(self._world, host)
        if odd is None and (refusal := self.startups.refusal(host, source(transport))):
            odd = Port.TURNS_AWAY, refusal
        if odd is not None:
            self._hand_over(host, transport, OddService(*odd, self.guests.forget))
            return
        options = copy.copy(self._options_of(host.address))
        pace = pace_of(self._world, host)
        options.protocol_factory = partial(HostServer, self._world, host, pace)
        self._hand_over(host, transport, _HostConnection(self, options, host, source(transport), pace))

    def _hand_over(self, host: Host, transport: asyncio.Transport, connection: OddService | _HostConnection) -> None:
        self.guests.add(connection, host, transport)
        transport.set_protocol(connection)
        connection.connection_made(transport)

    def _make_options(self, address: str) -> asyncssh.SSHServerConnectionOptions:
        host = self._world.estate.hosts[address]
        options = copy.copy(self._options)
        options.server_host_keys = key_pairs(self._world.estate, host)
        options.version = host.unix.version.encode()
        if host.fault.kex:
            options.kex_algs = [name.encode() for name in host.fault.kex]
        if host.fault.ssh_ciphers:
            options.encryption_algs = [name.encode() for name in host.fault.ssh_ciphers]
        return options


@asynccontextmanager
async def listening(world: HostWorld, doors: Sequence[socket.socket]) -> AsyncIterator[None]:
    """Serve those hosts of the world that are reached by these doors. On leaving, every connection is cut."""
    # The key serves no host: asyncssh wants one to build options from.
    options: Any = asyncssh.SSHServerConnectionOptions(
        config=None,
        server_host_keys=[asyncssh.generate_private_key("ssh-ed25519")],
        gss_host=None,
        x509_trusted_certs=None,
        login_timeout=GRACE,
        line_editor=False,
        agent_forwarding=False,
        rdns_lookup=False,
    )
    listener = _Listener(world, options)
    loop = asyncio.get_running_loop()
    servers = [await loop.create_server(partial(_Door, listener), sock=door, backlog=BACKLOG) for door in doors]
    try:
        yield
    finally:
        for server in servers:
            server.close()
        listener.guests.abort_all()
