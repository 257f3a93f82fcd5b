"""An SSH server that breaks the protocol from within: its packets are changed before they are encrypted."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncssh

from tests.fuzz.mutations import mutated
from tests.unit.login.ssh_servers import PASSWORD

PACKETS = 24
"""Packets that a server sends in one login, give or take a few."""
HOST_KEY = asyncssh.generate_private_key("ssh-ed25519")

SendPacket = Callable[..., None]


class _Changes:
    """What becomes of one connection's packets."""

    def __init__(self, connection: Any, rng: random.Random) -> None:
        self._rng = rng
        self._at = rng.randrange(PACKETS)
        self._often = rng.random() < 0.1
        self._number = 0
        self._connection = connection
        if rng.random() < 0.2:
            self._send: Callable[[bytes], None] = connection._send
            connection._send = self._wire
        else:
            self._send_packet: SendPacket = connection.send_packet
            connection.send_packet = self._packet

    def _due(self) -> bool:
        self._number += 1
        return self._number - 1 == self._at or (self._often and self._number > self._at)

    def _wire(self, data: bytes) -> None:
        """Under the encryption: the identification, and what no longer decrypts."""
        self._send(mutated(data, self._rng) if self._due() else data)

    def _packet(self, kind: int, *parts: bytes, handler: Any = None) -> None:
        if not self._due():
            self._send_packet(kind, *parts, handler=handler)
            return
        match self._rng.randrange(8):
            case 0:
                return
            case 1:
                self._connection.abort()
            case 2:
                for _ in range(self._rng.choice((2, 40))):
                    self._send_packet(kind, *parts, handler=handler)
            case 3:
                self._send_packet(self._rng.randrange(256), self._rng.randbytes(self._rng.randrange(60)))
                self._send_packet(kind, *parts, handler=handler)
            case 4:
                self._send_packet(self._rng.randrange(256), *parts)
            case _:
                payload = mutated(bytes([kind, *b"".join(parts)]), self._rng)
                if payload:
                    self._send_packet(payload[0], payload[1:])


class _Server(asyncssh.SSHServer):
    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        _Changes(conn, self._rng)

    def password_auth_supported(self) -> bool:
        return self._rng.random() < 0.8

    def validate_password(self, username: str, password: str) -> bool:
        return password == PASSWORD

    def get_kbdint_challenge(self, username: str, lang: str, submethods: str) -> tuple[str, str, str, list[Any]]:
        return "", "", "", [("Password: ", False)]

    def validate_kbdint_response(self, username: str, responses: Any) -> bool:
        return list(responses) == [PASSWORD]


async def _shell(process: asyncssh.SSHServerProcess[str]) -> None:
    process.stdout.write("uid=1000(scan) gid=1000(scan) groups=1000(scan)\n")
    process.exit(0)


@asynccontextmanager
async def changing_ssh_server(rng: random.Random) -> AsyncIterator[tuple[str, int]]:
    """Its address. What is changed is drawn from `rng`."""
    server = await asyncssh.listen(
        "127.0.0.1",
        0,
        server_host_keys=[HOST_KEY],
        server_factory=lambda: _Server(rng),
        process_factory=_shell,
        allow_scp=False,
        kex_algs=["curve25519-sha256"],
        encryption_algs=["chacha20-poly1305@openssh.com"],
    )
    try:
        yield "127.0.0.1", server.get_port()
    finally:
        server.close()
        await server.wait_closed()
