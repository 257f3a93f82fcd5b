"""SSH servers that behave as told: an asyncssh server with a script, and a raw peer that only says a few bytes."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
import asyncssh
from anyio.abc import SocketAttribute, SocketStream

PASSWORD = "Right-Pw-1"

Prompts = list[tuple[str, bool]]


@dataclass
class Script:
    """How a server treats its client, and what it was asked."""

    methods: Sequence[str] = ("password",)
    password: str = PASSWORD
    challenges: Sequence[tuple[str, Prompts]] = ()
    """Instructions and prompts of a keyboard-interactive conversation, one after the other."""
    expired: bool = False
    nobody_asks: bool = False
    takes_anything: bool = False
    banner: str = ""
    """Said when a password comes."""
    parting: asyncssh.DisconnectError | None = None
    """It ends the connection when a password comes, with these words."""
    cut_after_login: bool = False
    no_session: bool = False
    hang_in_auth: bool = False
    hang_in_command: bool = False
    forwards: bool = False
    """It is a jump host: connections to others are made for its clients."""
    hang_in_forward: bool = False
    connections: list[asyncssh.SSHServerConnection] = field(default_factory=list)
    output: str = "uid=1000(scan) gid=1000(scan)\n== id 0\n"
    passwords: list[str] = field(default_factory=list)
    responses: list[list[str]] = field(default_factory=list)
    hanging: anyio.Event = field(default_factory=anyio.Event)
    closed: anyio.Event = field(default_factory=anyio.Event)


class _Server(asyncssh.SSHServer):
    def __init__(self, script: Script) -> None:
        self._script = script
        self._step = 0
        self._connection: asyncssh.SSHServerConnection | None = None
        self._over = anyio.Event()

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn
        self._script.connections.append(conn)

    def connection_requested(
        self, dest_host: str, dest_port: int, orig_host: str, orig_port: int
    ) -> bool | Awaitable[asyncssh.SSHTCPSession[bytes]]:
        if self._script.hang_in_forward:
            self._script.hanging.set()
            return self._never()
        if not self._script.forwards:
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED, "not through here")
        return True

    async def _never(self) -> asyncssh.SSHTCPSession[bytes]:
        await self._over.wait()
        raise asyncssh.ChannelOpenError(asyncssh.OPEN_CONNECT_FAILED, "its client is gone")

    def auth_completed(self) -> None:
        if self._script.cut_after_login and self._connection is not None:
            self._connection.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._over.set()
        self._script.closed.set()

    def begin_auth(self, username: str) -> bool:
        return not self._script.nobody_asks

    def public_key_auth_supported(self) -> bool:
        return "publickey" in self._script.methods

    def password_auth_supported(self) -> bool:
        return "password" in self._script.methods

    def kbdint_auth_supported(self) -> bool:
        return "keyboard-interactive" in self._script.methods

    async def validate_password(self, username: str, password: str) -> bool:
        self._script.passwords.append(password)
        if self._script.banner and self._connection is not None:
            self._connection.send_auth_banner(self._script.banner)
        if self._script.parting and self._connection is not None:
            self._connection.disconnect(self._script.parting.code, self._script.parting.reason)
        if self._script.hang_in_auth:
            self._script.hanging.set()
            await asyncio.Event().wait()
        if self._script.expired:
            raise asyncssh.PasswordChangeRequired("Your password has expired")
        return password == self._script.password

    def get_kbdint_challenge(self, username: str, lang: str, submethods: str) -> tuple[str, str, str, Prompts]:
        return self._challenge()

    def validate_kbdint_response(self, username: str, responses: Sequence[str]) -> bool | tuple[str, str, str, Prompts]:
        self._script.responses.append(list(responses))
        if self._step < len(self._script.challenges):
            return self._challenge()
        return self._script.takes_anything or any(self._script.password in given for given in self._script.responses)

    def _challenge(self) -> tuple[str, str, str, Prompts]:
        instructions, prompts = self._script.challenges[self._step]
        self._step += 1
        return "", instructions, "", prompts


@asynccontextmanager
async def serving(script: Script, **options: object) -> AsyncIterator[int]:
    """An asyncssh server on a free port of 127.0.0.1."""
    settings: dict[str, object] = {"server_host_keys": [asyncssh.generate_private_key("ssh-ed25519")], **options}

    async def process(process: asyncssh.SSHServerProcess[str]) -> None:
        if script.hang_in_command:
            script.hanging.set()
            await process.stdin.read()  # ends only with the channel
        process.stdout.write(script.output)
        process.exit(0)

    server = await asyncssh.listen(
        "127.0.0.1",
        0,
        server_factory=lambda: _Server(script),
        process_factory=None if script.no_session else process,
        allow_scp=False,
        **settings,
    )
    try:
        yield server.get_port()
    finally:
        server.close()
        await server.wait_closed()


@asynccontextmanager
async def peer(handle: Callable[[SocketStream], object]) -> AsyncIterator[int]:
    """A TCP peer on a free port of 127.0.0.1 that treats each connection with `handle`, an async function."""
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, handle)
        yield listener.extra_attributes[SocketAttribute.local_port]()
        tasks.cancel_scope.cancel()


def saying(data: bytes, *, hang_up: bool = False) -> Callable[[SocketStream], object]:
    """A peer that says this much, and then hangs up, or waits until its client does."""

    async def handle(stream: SocketStream) -> None:
        async with stream:
            await stream.send(data)
            while not hang_up:
                try:
                    await stream.receive()
                except (anyio.EndOfStream, anyio.BrokenResourceError):
                    return

    return handle


def cut(sock: socket.socket) -> None:
    """By a reset; on loopback the other end has it when this returns."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
