"""TLS with the simulated vault: pins, client certificates, and that nothing is asked of a vault that fails them."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partialmethod
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from pydantic import SecretStr

from appliance.contract import CredentialRef, Failure, SecretLookup
from appliance.questions import VaultAnswer, VaultQuery, VaultQueryKind
from appliance.vault import SecretHandle, rest
from appliance.vault.credential import Credential
from appliance.vault.definition import Hidden, VaultAccess, VaultLogin, VaultTls
from appliance.vault.exchange import open_exchange
from appliance.vault.failures import reason_of
from appliance.vault.grantor import open_grantor
from appliance.vault.messages import Answer
from appliance.vault.secret_server import open_source
from appliance.vault.tls import PinningConnector
from appliance.vault.trip import Trip
from targets.estate import build
from targets.lab import Ready, running
from targets.secret_server import tls
from targets.spec import EstateSpec, SecretSpec
from targets.vault_spec import TlsSpec, VaultSpec
from targets.world import World
from tests.unit.vault.proxy import Proxy, proxied

OTHER = "sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
"""The pin of no key: the digest of nothing."""


@dataclass(frozen=True, slots=True)
class Vault:
    ready: Ready
    world: World
    password: str

    def login(self, proxy: str = "", **settings: Any) -> VaultLogin:
        access = VaultAccess(
            title="Vault", url=self.ready.vault_url, user=self.ready.vault_user, tls=VaultTls(**settings), proxy=proxy
        )
        return VaultLogin(access, Hidden(self.password))

    @property
    def ca(self) -> str:
        assert self.ready.vault_ca is not None
        return Path(self.ready.vault_ca).read_text(encoding="ascii")

    @property
    def pin(self) -> str:
        assert self.ready.vault_pin is not None
        return self.ready.vault_pin

    @property
    def own(self) -> dict[str, Any]:
        """The client certificate that the lab has made."""
        assert self.ready.vault_client_cert is not None
        assert self.ready.vault_client_key is not None
        chain, key = (
            Path(p).read_text(encoding="ascii") for p in (self.ready.vault_client_cert, self.ready.vault_client_key)
        )
        return {"client_cert": chain, "client_key": SecretStr(key)}

    @property
    def untouched(self) -> bool:
        """Has it seen no request at all?"""
        seen = self.world.metrics.vault
        return (seen.requests, seen.grants, seen.failed_grants) == (0, 0, 0)


@asynccontextmanager
async def serving(state: Path, **vault: Any) -> AsyncIterator[Vault]:
    secrets = (SecretSpec(name="win", template="windows", user="scan", machine="W"),)
    what = build(EstateSpec(seed=7, vault=VaultSpec(**{"tls": True, **vault}), secrets=secrets))
    async with running(what, state) as (ready, world):
        yield Vault(ready, world, what.vault_password)


async def asked(login: VaultLogin) -> VaultAnswer:
    """The question that every run begins with."""
    async with open_grantor(login) as grantor:
        return await grantor.answer(VaultQuery(run="r", kind=VaultQueryKind.CHECK, vault="Vault"))


async def fetched(login: VaultLogin, times: int = 1) -> list[Credential | Failure]:
    """What a scan process does."""
    ref = CredentialRef(vault="Vault", by=SecretLookup.NAME, key="win")
    async with open_grantor(login) as grantor, open_source(login.access, grantor.token) as source:
        handle = await source.settle(ref)
        if not isinstance(handle, SecretHandle):
            return [handle]
        return [await source.fetch(handle, private_key=False, purpose="p") for _ in range(times)]


def refused(answer: VaultAnswer, *words: str) -> None:
    assert (answer.ok, answer.reason) == (False, "VAULT_TLS"), answer
    assert [word for word in words if word not in answer.text] == []


# -- pins -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["ca", "pin alone"])
async def test_the_right_pin(tmp_path: Path, by: str) -> None:
    async with serving(tmp_path) as vault:
        trust = {"ca": vault.ca} if by == "ca" else {"verify": False}
        login = vault.login(**trust, pins=(vault.pin,))
        answer = await asked(login)
        assert (answer.ok, answer.facts["pin"]) == (True, vault.pin)
        [credential] = await fetched(login)
        assert isinstance(credential, Credential)


async def test_a_backup_pin(tmp_path: Path) -> None:
    async with serving(tmp_path) as vault:
        assert (await asked(vault.login(ca=vault.ca, pins=(OTHER, vault.pin)))).ok


@pytest.mark.parametrize("by", ["ca", "pin alone"])
@pytest.mark.parametrize("api", ["rest", "soap", "auto"])
async def test_a_wrong_pin_and_nothing_is_sent(tmp_path: Path, by: str, api: Any) -> None:
    async with serving(tmp_path) as vault:
        trust = {"ca": vault.ca} if by == "ca" else {"verify": False}
        login = vault.login(**trust, pins=(OTHER,))
        login = VaultLogin(login.access.model_copy(update={"api": api}), login.password)
        answer = await asked(login)
        refused(answer, f"the vault shows {vault.pin}", "nothing was sent", "tls.pin")
        assert answer.facts["pin"] == vault.pin
        # A scan process that asks for its token first, before anybody has checked.
        [failure] = await fetched(login)
        assert isinstance(failure, Failure)
        assert reason_of(failure) == "VAULT_TLS"
        assert vault.untouched


async def test_the_right_pin_does_not_stand_for_the_authority(tmp_path: Path) -> None:
    async with serving(tmp_path) as vault:
        refused(await asked(vault.login(pins=(vault.pin,))))
        assert vault.untouched


async def test_a_certificate_renewed_with_the_same_key_and_one_with_a_new_key(tmp_path: Path) -> None:
    authority, key = tls.Authority("CA"), tls.new_key()
    ca = authority.certificate.public_bytes(Encoding.PEM).decode()

    async def shown(name: str, key: Any, pins: tuple[str, ...]) -> VaultAnswer:
        state = tmp_path / name
        await anyio.Path(state).mkdir()
        certificate, key_file = state / "own.pem", state / "own-key.pem"
        await anyio.Path(certificate).write_bytes(authority.server(key).public_bytes(Encoding.PEM))
        await anyio.Path(key_file).write_bytes(tls.pem(key))
        async with serving(state, tls=TlsSpec(certificate=certificate, key=key_file)) as vault:
            return await asked(vault.login(ca=ca, pins=pins or (vault.pin,)))

    first = await shown("first", key, ())
    pin = first.facts["pin"]
    renewed = await shown("renewed", key, (pin,))
    assert (renewed.ok, renewed.facts["pin"]) == (True, pin)
    refused(await shown("new", tls.new_key(), (pin,)), "tls.pin")


async def test_through_a_proxy(tmp_path: Path) -> None:
    proxy = Proxy()
    async with serving(tmp_path) as vault, proxied(proxy) as url:
        refused(await asked(vault.login(url, ca=vault.ca, pins=(OTHER,))), f"the vault shows {vault.pin}")
        assert vault.untouched
        heads = len(proxy.heads)
        assert heads
        assert (await asked(vault.login(url, ca=vault.ca, pins=(vault.pin,)))).ok
        assert len(proxy.heads) > heads


async def test_one_look_per_connection_and_none_per_fetch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[str] = []
    made = PinningConnector._create_connection

    async def counted(self: PinningConnector, *arguments: Any) -> Any:
        connection = await made(self, *arguments)
        looks.append(self.seen)
        return connection

    monkeypatch.setattr(PinningConnector, "_create_connection", counted)
    async with serving(tmp_path) as vault:
        got = await fetched(vault.login(ca=vault.ca, pins=(vault.pin,)), times=50)
        assert all(isinstance(credential, Credential) for credential in got)
        assert looks == [vault.pin] * 2, "the supervisor's connection, and the scan process's"


async def test_a_vault_that_is_not_trusted_shows_its_pin_to_who_asks(tmp_path: Path) -> None:
    async with serving(tmp_path) as vault:
        answer = await asked(vault.login())
        refused(answer)
        assert answer.facts["pin"] == vault.pin
        assert vault.untouched


# -- client certificates ----------------------------------------------------------------------------------------------


def issued(authority: tls.Authority) -> dict[str, Any]:
    key = tls.new_key()
    chain = authority.client("keymuster", key).public_bytes(Encoding.PEM).decode()
    return {"client_cert": chain, "client_key": SecretStr(tls.pem(key).decode())}


@pytest.mark.parametrize("by_proxy", [False, True])
async def test_a_client_certificate(tmp_path: Path, by_proxy: bool) -> None:
    async with AsyncExitStack() as stack:
        vault = await stack.enter_async_context(serving(tmp_path, client_certificates=True))
        url = await stack.enter_async_context(proxied(Proxy())) if by_proxy else ""
        login = vault.login(url, ca=vault.ca, **vault.own)
        assert (await asked(login)).ok
        [credential] = await fetched(login)
        assert isinstance(credential, Credential)


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("how", ["none", "of another authority", "expired"])
async def test_a_client_certificate_that_will_not_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, newest: ssl.TLSVersion
) -> None:
    """By TLS 1.3 the vault judges it when the handshake is over for us, and the request on its way."""
    as_made = tls.context

    def context(*files: Any) -> ssl.SSLContext:
        made = as_made(*files)
        made.maximum_version = newest
        return made

    monkeypatch.setattr(tls, "context", context)
    if how == "expired":
        ended = partialmethod(tls.Authority.client, valid=timedelta(hours=-1))
        monkeypatch.setattr(tls.Authority, "client", ended)
    async with serving(tmp_path, client_certificates=True) as vault:
        shown = {"none": {}, "of another authority": issued(tls.Authority("Other")), "expired": vault.own}[how]
        login = vault.login(ca=vault.ca, **shown)
        refused(await asked(login), "client certificate")
        [failure] = await fetched(login)
        assert isinstance(failure, Failure)
        assert reason_of(failure) == "VAULT_TLS"
        assert vault.untouched


async def test_a_vault_that_asks_for_the_certificate_when_it_has_seen_the_request(tmp_path: Path) -> None:
    """As IIS may be set up for a part of a site. asyncio cannot serve so: a thread does, one connection long."""
    made, clients = await anyio.to_thread.run_sync(lambda: (tls.make(tmp_path), tls.make_client(tmp_path)))
    context = tls.context(made.certificate, made.key, clients.ca)
    context.post_handshake_auth = True
    asked_for: list[Any] = []

    def serve(listener: socket.socket) -> None:
        plain, _ = listener.accept()
        with plain, context.wrap_socket(plain, server_side=True) as peer:
            asked_for.append(peer.getpeercert())
            peer.recv(4096)
            peer.verify_client_post_handshake()
            peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            peer.recv(4096)  # the second request comes after the certificate
            asked_for.append(peer.getpeercert())
            peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        ca, chain, key = (path.read_text(encoding="ascii") for path in (made.ca, clients.certificate, clients.key))
        settings = VaultTls(ca=ca, client_cert=chain, client_key=SecretStr(key))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(anyio.to_thread.run_sync, serve, listener)
            async with open_exchange(VaultAccess(title="V", url=url, tls=settings)) as exchange:
                answers = [await exchange.send(rest.health(), Trip()) for _ in range(2)]
    assert [isinstance(answer, Answer) for answer in answers] == [True, True], answers
    assert [bool(certificate) for certificate in asked_for] == [False, True]


def test_no_file_is_left_open() -> None:
    VaultTls(verify=False, **issued(tls.Authority("CA"))).context()
    links = [os.readlink(p) for p in Path("/proc/self/fd").iterdir() if p.is_symlink()]  # noqa: PTH115 - some are no paths
    assert not [name for name in links if "memfd" in name]
