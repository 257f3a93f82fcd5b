"""What the tests of `targets` share: estates from text, a clock that is moved by hand, and clients of both servers."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import asyncssh
from aiohttp.test_utils import TestClient, TestServer

from targets import estate, lab, spec
from targets.directory import Accounts, Logon
from targets.secret_server import server
from targets.smb.conversation import Conversation
from targets.world import World

MOUNT = "/SecretServer"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Talk(Conversation):
    """With a host that judges at once."""

    def receive(self, frame: bytes) -> list[bytes]:
        try:
            next(self.steps(frame))
        except StopIteration as done:
            return list(done.value)
        raise AssertionError("the host has not judged yet")


def opened(accounts: Accounts, host: estate.Host, user: str, password: str) -> bool:
    """A logon by password, judged here: is it accepted?"""
    return accounts.password(host, user, password) is Logon.OK


def build(text: str) -> estate.Estate:
    return estate.build(spec.parse(text))


@asynccontextmanager
async def running(text: str, state: Path) -> AsyncIterator[tuple[lab.Ready, World]]:
    async with lab.running(build(text), state) as (ready, world):
        yield ready, world


class Vault:
    """A vault's client that is logged in: `ask` gives status and body. `mount` may be empty: it is mounted at / too."""

    def __init__(self, world: World, client: Any, user: str = "") -> None:
        self.world = world
        self.client = client
        self.user = user or world.estate.vault.user
        self.mount = MOUNT
        self.token = ""

    async def grant(self, *, otp: str = "", **changed: str) -> tuple[int, Any]:
        users = self.world.service.users
        known = users.named(self.user) or users.first
        form = {"grant_type": "password", "username": self.user, "password": known.password} | changed
        headers = {"otp": otp} if otp else {}
        async with self.client.post(f"{self.mount}/oauth2/token", data=form, headers=headers) as response:
            return response.status, await response.json()

    async def login(self) -> None:
        status, body = await self.grant()
        assert status == 200
        self.token = body["access_token"]

    async def as_user(self, name: str) -> Vault:
        """Another user's client, logged in, at the same vault."""
        other = Vault(self.world, self.client, name)
        await other.login()
        return other

    async def ask(self, path: str, *, body: Any = None, token: str | None = None, method: str = "") -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {self.token if token is None else token}"}
        method = method or ("GET" if body is None else "POST")
        url = f"{self.mount}/api/{path}"
        async with self.client.request(method, url, headers=headers, json=body) as response:
            plain = response.content_type != "application/json"
            return response.status, await (response.read() if plain else response.json())

    async def post(self, path: str, **body: Any) -> tuple[int, Any]:
        return await self.ask(path, body=body)

    def id(self, name: str) -> int:
        return self.world.vault.search(name, exact=True)[0].id

    def audit(self, name: str) -> list[tuple[str, str]]:
        """(action, user) of a secret's audit, oldest first."""
        return [(row.action, row.user) for row in self.world.vault.search(name, exact=True)[0].audits]


@asynccontextmanager
async def vault(text: str, clock: Clock | None = None) -> AsyncIterator[Vault]:
    world = World(build(text), clock or Clock())
    async with TestClient(TestServer(server.application(world))) as client:
        yield Vault(world, client)


def connect(ready: lab.Ready, address: str, **how: Any) -> Any:
    """An asyncssh client connection (a context manager) that looks at nothing of this machine's own."""
    known = {"known_hosts": None, "config": None, "agent_path": None, "client_keys": None, "username": "scan"}
    return asyncssh.connect(address, ready.ssh_port, **(known | how))


def tcp(address: str, port: int) -> socket.socket:
    return socket.create_connection((address, port), timeout=5)


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Ask until it is so, for 5 s at most: for what the other end of a connection knows, there is no event here."""
    with anyio.fail_after(5):
        while not await condition():  # noqa: ASYNC110 - see above
            await anyio.sleep(0.005)
