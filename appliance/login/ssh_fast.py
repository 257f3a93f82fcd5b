"""The same connection for less CPU: what asyncssh does for each login although a login does not need it.

What is left out or put together, each measured by itself (docs/performance.md):
1. Options are built once for all logins that offer the same, and copied: building them takes asyncssh longer than the
   cryptography of the handshake takes.
2. asyncssh's log calls go nowhere at once. `quiet` mutes the loggers, but by then the arguments have been formatted.
3. Packets of one turn of the loop leave in one write: a system call costs more than the packet that it is for.
4. The request that lists the methods goes with the one for their service, which saves a round trip. A client that has
   seen the host's signature may go on (RFC 4253, section 10); only OpenSSH is known to take it so, and asked so.
5. No SSH_MSG_IGNORE before each packet under an AEAD cipher. It guards CBC's chained IVs, which those do not have.

A server sees the same packets in the same order, without those fillers. All of it leans on asyncssh's inside, so it is
for the versions in VERSIONS alone: with any other, and with `--no-fast-path`, the plain `Connection` is used.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable
from functools import lru_cache
from typing import Any, cast

import asyncssh
from asyncssh.constants import MSG_IGNORE, MSG_USERAUTH_REQUEST
from asyncssh.logging import SSHLogger

from appliance.contract import Candidate, CryptoProfile, Job
from appliance.login.ssh_connection import Connection, build_options, host_keys_wanted, own
from appliance.login.ssh_crypto import AEAD_CIPHERS
from appliance.login.ssh_witness import Witness

VERSIONS = ("2.24.1",)
"""Of asyncssh, whose inside is known."""
USABLE = asyncssh.__version__ in VERSIONS
KEPT_OPTIONS = 256
_KNOWN_SERVERS = b"SSH-2.0-OpenSSH_"


class _Silence:
    """asyncssh's logger, as far as it calls one."""

    def get_child(self, *_arguments: object, **_named: object) -> _Silence:
        return self

    @staticmethod
    def debug1(*_arguments: object, **_named: object) -> None: ...

    log = debug = info = warning = error = debug2 = packet = debug1


_SILENCE = _Silence()


class FastConnection(Connection):
    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        opts: asyncssh.SSHClientConnectionOptions,
        witness: Witness,
        identified: Callable[[str], None],
    ) -> None:
        super().__init__(loop, opts, witness, identified)
        self._logger = cast("SSHLogger", _SILENCE)
        self._unsent: list[bytes] = []
        self._reading = False
        self._methods_asked = False

    def log_sent_packet(self, *_arguments: object, **_named: object) -> None: ...

    def log_received_packet(self, *_arguments: object, **_named: object) -> None: ...

    def send_packet(self, pkttype: int, *args: bytes, handler: Any = None) -> None:
        if pkttype == MSG_IGNORE and self._enc_alg_cs.endswith(AEAD_CIPHERS):
            return
        super().send_packet(pkttype, *args, handler=handler)

    def send_service_request(self, service: bytes) -> None:
        super().send_service_request(service)
        if self._server_version.startswith(_KNOWN_SERVERS):
            self._methods_asked = True
            request = self._get_userauth_request_packet(b"none", ())
            self.send_userauth_packet(MSG_USERAUTH_REQUEST, request[1:])
            self.acknowledge_at_once()

    async def send_userauth_request(self, method: bytes, *args: bytes, key: Any = None, trivial: bool = True) -> None:
        if method == b"none" and self._methods_asked and not self._witness.offered:
            return  # asyncssh's own, once the service is there
        await super().send_userauth_request(method, *args, key=key, trivial=trivial)

    def _send(self, data: bytes) -> None:
        if self._transport is None:
            return
        if not self._unsent and not self._reading:
            # asyncssh aborts a transport one turn after its last words, which are its goodbye: they go out before.
            self._loop.call_soon(self._flush)
        self._unsent.append(data)

    def _flush(self) -> None:
        data, self._unsent = self._unsent, []
        if data and self._wire is not None and not self._wire.is_closing():
            self._wire.write(b"".join(data))

    def data_received(self, data: bytes, datatype: int | None = None) -> None:
        self._reading = True
        if self._methods_asked and not self._witness.offered:
            # sshd answers with two messages, the second held back until the first is acknowledged (Nagle).
            self.acknowledge_at_once()
        try:
            super().data_received(data, datatype)
        finally:
            self._reading = False
            if self._unsent:
                self._flush()


def fast_options(candidate: Candidate, job: Job, witness: Witness) -> asyncssh.SSHClientConnectionOptions:
    """As `options`."""
    return own(copy.copy(_shared(candidate.user, candidate.crypto, host_keys_wanted(candidate, job))), witness)


@lru_cache(KEPT_OPTIONS)
def _shared(user: str, crypto: CryptoProfile, host_keys: tuple[str, ...]) -> asyncssh.SSHClientConnectionOptions:
    """What logins of one kind offer; nothing of a target or a credential is in it."""
    return build_options(user, crypto, host_keys)
