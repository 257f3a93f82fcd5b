"""asyncssh's client connection with our eyes on what it hides.

The first bytes (`ssh_preface`), the algorithms that the server offers, the host key with its certificate (asyncssh has
one text for all that may be wrong with them), the list of methods in each refusal with its partial-success flag
(asyncssh keeps the filtered rest and drops the flag), and the success message, which a trivially accepted login never
gets to report.
"""

from __future__ import annotations

import asyncio
import os
import socket
import warnings
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import cast

import asyncssh
from asyncssh.connection import _ClientHostKey
from asyncssh.constants import MSG_KEXINIT, MSG_USERAUTH_FAILURE, MSG_USERAUTH_SUCCESS
from asyncssh.packet import PacketDecodeError, SSHPacket

from appliance.contract import Candidate, CryptoProfile, Job
from appliance.login.quiet import silence
from appliance.login.ssh_crypto import PROFILES, Offers, host_key_order, signature_algorithms
from appliance.login.ssh_groups import take_place
from appliance.login.ssh_preface import Identification, Preface
from appliance.login.ssh_witness import Witness

silence("asyncssh")
take_place()
# cryptography gives notice of finite-field Diffie-Hellman. Old servers go on to want it, and stderr is not for that.
warnings.filterwarnings("ignore", "Diffie-Hellman over finite fields")

_OURS = "keymuster"
"""What the local user is called where a name is asked for; no host hears it."""
_QUICKACK = getattr(socket, "TCP_QUICKACK", None)
_QUICK_READS = 4
"""sshd leaves Nagle on until a session is interactive, so its channel confirmation waits 40 ms for our delayed ACK.
Linux forgets TCP_QUICKACK after each read, so it is set again for as many reads as that takes."""


def options(candidate: Candidate, job: Job, witness: Witness) -> asyncssh.SSHClientConnectionOptions:
    """What a login offers. Raises ValueError for a user name that SSH cannot carry."""
    return own(build_options(candidate.user, candidate.crypto, host_keys_wanted(candidate, job)), witness)


def host_keys_wanted(candidate: Candidate, job: Job) -> tuple[str, ...]:
    return host_key_order(candidate.crypto, job.known_host_keys, certificates=bool(job.host_authorities))


def own(opts: asyncssh.SSHClientConnectionOptions, witness: Witness) -> asyncssh.SSHClientConnectionOptions:
    """Make them one connection's."""
    opts.protocol_factory = lambda: witness
    return opts


def build_options(user: str, crypto: CryptoProfile, host_keys: tuple[str, ...]) -> asyncssh.SSHClientConnectionOptions:
    """Nothing comes from the appliance's own account: no config, keys, agent or Kerberos ticket.

    asyncssh's time-outs are off. The order of methods is the server's; the witness declines what it must not answer.
    Raises ValueError as `options` does.
    """
    _have_a_name()
    algorithms = PROFILES[crypto]
    return asyncssh.SSHClientConnectionOptions(
        config=None,
        username=user,
        client_version="Keymuster",
        known_hosts=([], [], []),
        client_keys=None,
        agent_path=None,
        gss_host=None,
        host_based_auth=False,
        x509_trusted_certs=None,
        x509_trusted_cert_paths=[],
        preferred_auth=[],
        disable_trivial_auth=True,
        login_timeout=0,
        utf8_decode_errors="replace",
        kex_algs=list(algorithms.kex),
        encryption_algs=list(algorithms.ciphers),
        mac_algs=list(algorithms.macs),
        compression_algs=["none"],
        signature_algs=list(signature_algorithms(crypto)),
        server_host_key_algs=list(host_keys),
    )


def _have_a_name() -> None:
    """Who we are is asked for a configuration that we do not have, and answered by ValueError where nobody knows: the
    user has no row in passwd, as in many a container, or the file cannot be opened for want of descriptors.
    """
    if not any(os.environ.get(name) for name in ("LOGNAME", "USER", "LNAME", "USERNAME")):
        os.environ["LOGNAME"] = _OURS


class Connection(asyncssh.SSHClientConnection):
    """One connection, watched by its witness. `identified` is called once, when the server has said it speaks SSH; the
    key exchange, which takes CPU, waits for `proceed`.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        opts: asyncssh.SSHClientConnectionOptions,
        witness: Witness,
        identified: Callable[[str], None],
    ) -> None:
        super().__init__(loop, opts)
        self._witness = witness
        self._identified = identified
        self._preface: Preface | None = Preface()
        self._wire: asyncio.Transport | None = None
        self._held: bytes | None = None
        self._quick_reads = _QUICK_READS
        self._judging = 0
        """Packets that are being processed by tasks of asyncssh's."""
        self._end: tuple[Exception | None] | None = None
        """The connection's end, while it waits for them."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._wire = cast("asyncio.Transport", transport)
        if transport.get_extra_info("peername") is None:
            # Cut between the dial and now: asyncssh stumbles over the name that a socket without a peer has not.
            self._witness.refuse("CONNECTION_RESET", "the connection was cut at once")
        elif not transport.get_extra_info("peername"):
            # A socket pair's end, which leads through a jump host: asyncssh wants a name to look known hosts up by.
            self._host = "behind a jump host"
        super().connection_made(transport)

    def proceed(self) -> None:
        """Take up what the server has sent since it identified itself."""
        data, self._held = self._held, None
        if data is not None and self._wire is not None and not self._wire.is_closing():
            self._wire.resume_reading()
            super().data_received(data)

    def data_received(self, data: bytes, datatype: int | None = None) -> None:
        if self._preface is not None:
            verdict = self._preface.feed(data)
            if verdict is None:
                return
            self._preface = None
            if not isinstance(verdict, Identification):
                self._witness.refuse(verdict.reason, verdict.text)
                self.abort()
                return
            self._held = verdict.received
            if self._wire is not None:
                self._wire.pause_reading()
            self._identified(verdict.line)
            return
        if self._witness.accepted and self._quick_reads:
            self._quick_reads -= 1
            self.acknowledge_at_once()
        super().data_received(data, datatype)

    def let_go(self) -> None:
        """When its login is over: it hears no more, and is in no cycle. What a login holds is freed at once then, which
        the garbage collector would do some thousand logins later (22 KiB each).
        """
        self._recv_handler = _deaf
        self._identified = _unheard

    def acknowledge_at_once(self) -> None:
        """What comes next, where the kernel can."""
        sock = self.get_extra_info("socket") if _QUICKACK is not None else None
        if sock is not None and sock.family != socket.AF_UNIX:  # which leads through a jump host
            sock.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)

    def validate_server_host_key(self, key_data: bytes) -> asyncssh.SSHKey:
        try:
            self._server_host_key = self._witness.host_key_shown(key_data)
        except ValueError as error:
            raise asyncssh.HostKeyNotVerifiable(str(error)) from None
        return self._server_host_key

    def _choose_signature_alg(self, keypair: _ClientHostKey) -> bool:
        possible = super()._choose_signature_alg(keypair)
        if not possible:
            self._witness.key_not_sent(keypair.get_algorithm())
        return possible

    def connection_lost(self, exc: Exception | None = None) -> None:
        if self._judging:
            # A server that refuses and hangs up says why first. asyncssh takes such packets up by tasks, and would
            # forget them for the end that came after.
            self._end = self._end or (exc,)
            return
        if self._preface is not None:
            refusal = self._preface.end()
            if refusal is not None:
                self._witness.refuse(refusal.reason, refusal.text)
        super().connection_lost(exc)

    def process_packet(self, pkttype: int, pktid: int, packet: SSHPacket) -> bool | Awaitable[None]:
        if pkttype == MSG_KEXINIT and self._witness.offers is None:
            with suppress(PacketDecodeError):  # asyncssh's to complain of
                self._witness.offers = Offers.read(SSHPacket(packet.get_remaining_payload()))
        elif pkttype == MSG_USERAUTH_FAILURE:
            copy = SSHPacket(packet.get_remaining_payload())
            self._witness.methods_seen(copy.get_namelist(), partial=copy.get_boolean())
        elif pkttype == MSG_USERAUTH_SUCCESS:
            self._witness.success_seen = True
        result = super().process_packet(pkttype, pktid, packet)
        if isinstance(result, bool):
            return result
        self._judging += 1
        return self._judge(result)

    async def _judge(self, processing: Awaitable[None]) -> None:
        try:
            await processing
        except asyncssh.DisconnectError as error:
            if self._end is None:
                raise
            self._end = (error,)  # asyncssh would say goodbye first, to a transport that is gone
        finally:
            # What asyncssh does with the result, and with what it has buffered meanwhile, comes one turn from now.
            self._loop.call_soon(self._loop.call_soon, self._judged)

    def _judged(self) -> None:
        self._judging -= 1
        if not self._judging and self._end is not None:
            (exc,) = self._end
            self.connection_lost(exc)


def _deaf() -> bool:
    return False


def _unheard(line: str) -> None:
    """Nobody is left to be told."""
