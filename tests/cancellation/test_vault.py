"""A vault that hangs, in each phase of a request: the caller's scope ends it, and nothing is left of it.

A call is cut off by a cancellation from outside while the peer is known to hang in that phase, or by its own patience.
Afterwards the slot is free again, and the connection is closed, since half an answer is on it.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

import anyio
import pytest

from appliance.contract import CredentialRef, Failure, SecretLookup
from appliance.vault import SecretHandle, soap_answers
from appliance.vault.definition import Api, VaultAccess
from appliance.vault.exchange import open_exchange
from appliance.vault.grantor import Grantor, open_grantor
from appliance.vault.messages import Answer
from appliance.vault.secret_server import SecretServerSource, open_source
from appliance.vault.tokens import Token
from tests.unit.vault.scripted import (
    API,
    EXPIRED,
    Hang,
    Peer,
    ScriptedVault,
    Spoken,
    Tokens,
    credential,
    grant,
    reason,
    reply,
    scripted_vault,
    unix_secret,
    windows_secret,
)
from tests.unit.vault.soap_script import found, item, refused, result, secret, soap_grant, status, user, with_password

HANDLE = SecretHandle(CredentialRef(vault="Vault", by=SecretLookup.ID, key="7"), 7)
NAME = CredentialRef(vault="Vault", by=SecretLookup.NAME, key="admin")
SECRET = f"{API}/secrets/7"
KEY = f"{SECRET}/fields/private-key"
STATE = f"{SECRET}/state"
GRANT = "/oauth2/token"
EXPIRED_403 = reply(403, EXPIRED)
SHORT = 0.3

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
PARTS = {
    "before the answer": b"",
    "in the status line": b"HTTP/1.1 2",
    "in the headers": HEAD,
    "before the body": HEAD + b"Content-Length: 100\r\n\r\n",
    "in the body": HEAD + b'Content-Length: 100\r\n\r\n{"id": 7,',
    "between chunks": HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\n{ }\r\n",
    "in a body without a length": HEAD + b'Connection: close\r\n\r\n{"id": 7,',
}


@asynccontextmanager
async def opened(vault: ScriptedVault, patience: float = 20.0, api: Api = "rest") -> AsyncIterator[SecretServerSource]:
    """One slot only: a call that keeps it is found out by the next one."""
    async with open_source(
        vault.access(requests=1), Tokens(api=api), settle_patience=patience, fetch_patience=patience
    ) as source:
        yield source


async def fetch(source: SecretServerSource, *, private_key: bool = False) -> object:
    return await source.fetch(HANDLE, private_key=private_key, purpose="p")


async def cut_off(work: Callable[[], Awaitable[object]], hang: Hang) -> None:
    """Cancel the work once the peer hangs; the peer must see the connection go."""
    ended: list[object] = []

    async def run() -> None:
        ended.append(await work())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        await hang.reached.wait()
        tasks.cancel_scope.cancel()
    assert ended == [], "a cancelled call has no result"
    with anyio.fail_after(30):
        await hang.left.wait()


async def still_works(vault: ScriptedVault, source: SecretServerSource) -> None:
    vault.on("GET", SECRET, reply(200, windows_secret(7)))
    credential(await source.fetch(HANDLE, private_key=False, purpose="p"))


@pytest.mark.parametrize("phase", PARTS)
async def test_a_fetch_that_hangs(phase: str) -> None:
    async with scripted_vault() as vault:
        async with opened(vault) as source:
            vault.on("GET", SECRET, hang := Hang(PARTS[phase]))
            await cut_off(lambda: fetch(source), hang)
            await still_works(vault, source)
        async with opened(vault, SHORT) as source:
            vault.on("GET", SECRET, hang := Hang(PARTS[phase]))
            assert reason(await fetch(source)) == "VAULT_TIMEOUT"
            with anyio.fail_after(30):
                await hang.left.wait()


@pytest.mark.parametrize("path", [KEY, STATE])
async def test_the_second_request_of_a_fetch_hangs(path: str) -> None:
    async with scripted_vault() as vault, opened(vault) as source:
        first = reply(200, unix_secret(7)) if path == KEY else reply(400, {"message": "x"})
        vault.on("GET", SECRET, first)
        vault.on("GET", path, hang := Hang())
        await cut_off(lambda: fetch(source, private_key=True), hang)
        await still_works(vault, source)


async def test_the_replay_after_a_new_token_hangs() -> None:
    async with scripted_vault() as vault, opened(vault) as source:
        vault.on("GET", SECRET, EXPIRED_403, hang := Hang())
        await cut_off(lambda: fetch(source), hang)
        await still_works(vault, source)


async def test_a_search_that_hangs_holds_up_nobody_else() -> None:
    async with scripted_vault() as vault, opened(vault) as source:
        vault.on("GET", f"{API}/secrets", hang := Hang())
        await cut_off(lambda: source.settle(NAME), hang)
        vault.on("GET", f"{API}/secrets", reply(200, {"records": [{"id": 7, "name": "admin"}]}))
        assert await source.settle(NAME) == SecretHandle(NAME, 7)


async def test_a_drip_is_no_answer() -> None:
    """A byte now and then keeps every library's idle time-out from firing; ours is absolute."""

    async def drip(peer: Peer) -> bool:
        await peer.send(HEAD + b"Content-Length: 1000000\r\n\r\n")
        while True:
            await peer.send(b" ")
            await anyio.sleep(0.01)

    async with scripted_vault() as vault, opened(vault, SHORT) as source:
        vault.on("GET", SECRET, drip)
        assert reason(await fetch(source)) == "VAULT_TIMEOUT"


async def test_a_wait_for_a_slot_is_cut_off() -> None:
    async with scripted_vault() as vault, opened(vault) as source, anyio.create_task_group() as tasks:
        vault.on("GET", SECRET, hang := Hang())
        tasks.start_soon(fetch, source)
        await hang.reached.wait()
        with anyio.move_on_after(SHORT) as scope:
            await fetch(source)
        assert scope.cancelled_caught
        tasks.cancel_scope.cancel()
        assert len(vault.asked) == 1


async def test_a_wait_between_tries_is_cut_off() -> None:
    async with scripted_vault() as vault, opened(vault, SHORT) as source:
        vault.on("GET", SECRET, reply(503, Retry_After="5"))
        assert reason(await fetch(source)) == "VAULT_RATE_LIMITED"
        assert len(vault.asked) == 1


async def test_a_wait_for_the_vaults_rate_that_is_cancelled_takes_nobodys_turn() -> None:
    async with scripted_vault() as vault, opened(vault) as source, anyio.create_task_group() as tasks:
        vault.on("GET", SECRET, reply(429, Retry_After="1"), reply(200, windows_secret(7)))
        tasks.start_soon(fetch, source)
        await anyio.sleep(0.3)
        with anyio.move_on_after(0.1) as scope:
            await fetch(source)
        assert scope.cancelled_caught
        with anyio.fail_after(30):
            while len(vault.asked) < 2:  # noqa: ASYNC110 - the stand-in has no event for it
                await anyio.sleep(0.01)


async def test_a_supervisor_that_gives_no_token() -> None:
    asked = anyio.Event()

    async def token(_stale: int | None) -> Token | Failure:
        asked.set()
        await anyio.sleep_forever()
        raise AssertionError("unreachable")

    async with scripted_vault() as vault:
        async with open_source(vault.access(), token) as source, anyio.create_task_group() as tasks:
            tasks.start_soon(fetch, source)
            await asked.wait()
            tasks.cancel_scope.cancel()
        async with open_source(vault.access(), token, fetch_patience=SHORT) as source:
            failure = await fetch(source)
        assert reason(failure) == "VAULT_TIMEOUT"
        assert isinstance(failure, Failure)
        assert failure.text.startswith("no session")
        assert vault.asked == []


@contextmanager
def deaf_port() -> Iterator[int]:
    """A port whose queue of connections is full: the kernel drops every further SYN."""
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        fillers = [socket.socket() for _ in range(2)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(deaf.getsockname())
        try:
            yield deaf.getsockname()[1]
        finally:
            for filler in fillers:
                filler.close()


async def test_a_connect_that_hangs() -> None:
    with deaf_port() as port:
        access = VaultAccess(title="Vault", url=f"http://127.0.0.1:{port}")
        async with open_source(access, Tokens(), fetch_patience=SHORT) as source:
            failure = await fetch(source)
    assert reason(failure) == "VAULT_TIMEOUT"
    assert isinstance(failure, Failure)
    assert failure.facts["stage"] == "connecting"


async def test_a_tls_handshake_that_hangs() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        access = VaultAccess(title="Vault", url=f"https://127.0.0.1:{silent.getsockname()[1]}")
        async with open_source(access, Tokens(), fetch_patience=SHORT) as source:
            failure = await fetch(source)
    assert reason(failure) == "VAULT_TIMEOUT"
    assert isinstance(failure, Failure)
    assert failure.facts["stage"] == "connecting"


@pytest.mark.parametrize("phase", PARTS)
async def test_a_grant_that_hangs_ends_with_the_supervisor(phase: str) -> None:
    async with scripted_vault() as vault:
        vault.on("POST", GRANT, hang := Hang(PARTS[phase]))
        async with open_grantor(vault.login()) as grantor, anyio.create_task_group() as callers:
            callers.start_soon(grantor.token)
            await hang.reached.wait()
            callers.cancel_scope.cancel()
        with anyio.fail_after(30):
            await hang.left.wait()


async def test_a_login_that_hung_was_perhaps_judged() -> None:
    """Its verdict is unknown, so the second try is the last one, whichever way the first was cut off."""
    async with scripted_vault() as vault:
        vault.on("POST", GRANT, Hang(), Hang(), grant())
        vault.on("GET", f"{API}/healthcheck", reply(200, {}))
        now = [0.0]
        async with patient_grantor(vault, now) as grantor:
            for _ in range(6):
                assert reason(await grantor.token()) == "VAULT_TIMEOUT"
                now[0] += 60
        assert vault.count(GRANT) == 2


@asynccontextmanager
async def patient_grantor(vault: ScriptedVault, now: list[float], api: Spoken = "rest") -> AsyncIterator[Grantor]:
    async with open_exchange(vault.access(api=api)) as exchange, anyio.create_task_group() as tasks:
        yield Grantor(vault.login(api=api), exchange, tasks, patience=SHORT, clock=lambda: now[0])


async def test_a_connect_that_hangs_has_submitted_nothing() -> None:
    """A vault behind a firewall that drops packets must not use up the login's budget."""
    with deaf_port() as port:
        now = [0.0]
        async with patient_grantor(ScriptedVault(port, None), now) as grantor:
            for _ in range(4):
                failure = await grantor.token()
                assert reason(failure) == "VAULT_TIMEOUT"
                assert isinstance(failure, Failure)
                assert "without a verdict" not in failure.text
                now[0] += 60


# -- by SOAP -----------------------------------------------------------------------------------------------------------

CALLS = ("GetCheckOutStatus", "WhoAmI", "GetSecret", "GetTokenIsValid")
"""What one fetch asks, in this order, where the refusal's words are unknown."""


def answers_by_soap(vault: ScriptedVault) -> None:
    """A secret that the vault's user has checked out, and a vault that refuses to show it."""
    vault.on("POST", "GetCheckOutStatus", status(2))
    vault.on("POST", "WhoAmI", user(2))
    vault.on("POST", "GetSecret", refused("GetSecret", "Something else."))
    vault.on("POST", "GetTokenIsValid", result("GetTokenIsValid"))


async def still_works_by_soap(vault: ScriptedVault, source: SecretServerSource) -> None:
    answers_by_soap(vault)
    vault.on("POST", "GetSecret", with_password(out=True))
    credential(await source.fetch(HANDLE, private_key=False, purpose="p"))


@pytest.mark.parametrize("phase", PARTS)
@pytest.mark.parametrize("call", CALLS)
async def test_a_fetch_by_soap_that_hangs(call: str, phase: str) -> None:
    async with scripted_vault() as vault:
        async with opened(vault, api="soap") as source:
            answers_by_soap(vault)
            vault.on("POST", call, hang := Hang(PARTS[phase]))
            await cut_off(lambda: fetch(source), hang)
            await still_works_by_soap(vault, source)
        async with opened(vault, SHORT, api="soap") as source:
            answers_by_soap(vault)
            vault.on("POST", call, hang := Hang(PARTS[phase]))
            assert reason(await fetch(source)) == "VAULT_TIMEOUT"
            with anyio.fail_after(30):
                await hang.left.wait()


async def test_a_download_by_soap_that_hangs() -> None:
    async with scripted_vault() as vault, opened(vault, api="soap") as source:
        answers_by_soap(vault)
        vault.on("POST", "GetSecret", secret(item(1, "Private Key", "x", file=True), out=True))
        vault.on("POST", "DownloadFileAttachmentByItemId", hang := Hang())
        await cut_off(lambda: fetch(source, private_key=True), hang)
        await still_works_by_soap(vault, source)


@pytest.mark.parametrize("times", [0, 1])
async def test_a_search_by_soap_that_hangs_holds_up_nobody_else(times: int) -> None:
    async with scripted_vault() as vault, opened(vault, api="soap") as source:
        vault.on("POST", "SearchSecrets", *[found()] * times, hang := Hang())
        await cut_off(lambda: source.settle(NAME), hang)
        vault.on("POST", "SearchSecrets", found((7, "admin")))
        assert await source.settle(NAME) == SecretHandle(NAME, 7)


async def test_a_large_answer_that_is_being_read_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, read_on = threading.Event(), threading.Event()
    real = soap_answers.read_page

    def slow(answer: Answer) -> object:
        reading.set()
        read_on.wait(20)
        return real(answer)

    async def until_it_is_read() -> None:
        while not reading.is_set():
            await anyio.lowlevel.checkpoint()

    monkeypatch.setattr("appliance.vault.soap_answers.read_page", slow)
    async with scripted_vault() as vault, opened(vault, api="soap") as source:
        vault.on("POST", "SearchSecrets", found(*((number, "x" * 50) for number in range(1, 1000))))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(source.settle, NAME)
            with anyio.fail_after(30):
                await until_it_is_read()
            tasks.cancel_scope.cancel()
        assert not read_on.is_set(), "nobody has waited for the thread"
        read_on.set()


@pytest.mark.parametrize("phase", PARTS)
@pytest.mark.parametrize(("api", "call"), [("soap", "Authenticate"), ("auto", "VersionGet")])
async def test_a_grant_by_soap_that_hangs_ends_with_the_supervisor(api: Spoken, call: str, phase: str) -> None:
    async with scripted_vault() as vault:
        vault.on("GET", f"{API}/healthcheck", reply(404, b"<html>", kind="text/html"))
        vault.on("POST", call, hang := Hang(PARTS[phase]))
        async with open_grantor(vault.login(api=api)) as grantor, anyio.create_task_group() as callers:
            callers.start_soon(grantor.token)
            await hang.reached.wait()
            callers.cancel_scope.cancel()
        with anyio.fail_after(30):
            await hang.left.wait()


async def test_a_login_by_soap_that_hung_was_perhaps_judged() -> None:
    async with scripted_vault() as vault:
        vault.on("POST", "Authenticate", Hang(), Hang(), soap_grant())
        vault.on("POST", "VersionGet", result("VersionGet"))
        now = [0.0]
        async with patient_grantor(vault, now, "soap") as grantor:
            for _ in range(6):
                assert reason(await grantor.token()) == "VAULT_TIMEOUT"
                now[0] += 60
        assert vault.count("Authenticate") == 2


async def test_finding_out_what_is_spoken_has_submitted_nothing() -> None:
    async with scripted_vault() as vault:
        vault.on("GET", f"{API}/healthcheck", Hang())
        now = [0.0]
        async with patient_grantor(vault, now, "auto") as grantor:
            for _ in range(4):
                failure = await grantor.token()
                assert reason(failure) == "VAULT_TIMEOUT"
                assert isinstance(failure, Failure)
                assert "without a verdict" not in failure.text
                now[0] += 60
