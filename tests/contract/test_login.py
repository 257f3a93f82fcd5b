"""The `Login` protocol, held against both implementations on real servers, the wire whole, cut and damaged."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio
import pytest
from anyio.abc import SocketStream

from appliance.contract import Failure, Phase, Technology
from appliance.login import Authenticated, Negotiated, Privileges
from appliance.login.dial import dial
from appliance.phases import PhaseLedger
from appliance.vault.credential import Credential
from tests.cancellation.hanging import listening
from tests.peers.attempt import FACTORIES, Attempt, attempt, make_job
from tests.peers.fixtures import smbds, sshd
from tests.peers.smbd import Smbd
from tests.peers.sshd import Sshd

__all__ = ["smbds", "sshd"]

pytestmark = pytest.mark.peer

WRONG = "Wr0ng-Marker-0815"


@dataclass(frozen=True, slots=True)
class Peer:
    """A server of one technology, with an account that has all rights."""

    technology: Technology
    port: int
    user: str
    password: str
    count: Callable[[], int]
    """Logons of the account that the server has counted so far."""


@pytest.fixture(params=list(Technology), ids=str)
def target(request: pytest.FixtureRequest, sshd: Sshd, smbds: dict[str, Smbd]) -> Peer:
    if request.param is Technology.UNIX:
        password = sshd.passwords["admin"]
        return Peer(Technology.UNIX, sshd.port, "admin", password, lambda: len(sshd.logons("admin")))
    smbd = smbds["plain"]
    password = smbd.passwords["smbadmin"]
    return Peer(Technology.WINDOWS, smbd.port, "smbadmin", password, lambda: len(smbd.logons("smbadmin")))


async def test_the_steps_in_order(target: Peer) -> None:
    job = make_job(target.technology, target.user, target.port, sudo=True)
    before, ledger = target.count(), PhaseLedger()
    sock = await dial("127.0.0.1", target.port, ledger)
    assert not isinstance(sock, Failure)
    async with FACTORIES[target.technology](sock, job, ledger) as login:
        negotiated = await login.negotiate()
        assert isinstance(negotiated, Negotiated)
        assert not login.submitted
        authenticated = await login.authenticate(job.candidates[0], Credential(password=target.password))
        assert isinstance(authenticated, Authenticated)
        assert login.submitted
        privileges = await login.privileges()
        assert isinstance(privileges, Privileges)
    assert sock.fileno() == -1
    assert target.count() - before == 1
    assert ledger.finish()[-1].phase is Phase.PRIVILEGE
    for facts in (negotiated.facts, authenticated.facts, privileges.facts):
        assert all(value.isprintable() for value in facts.values())


async def test_a_refused_password_is_a_value_and_counts_once(target: Peer) -> None:
    before = target.count()
    ended = await attempt(make_job(target.technology, target.user, target.port), Credential(password=WRONG))
    assert isinstance(ended.result, Failure)
    assert ended.result.phase is Phase.AUTH
    assert ended.reason == "BAD_CREDENTIALS"
    assert ended.submitted
    assert target.count() - before == 1
    assert WRONG not in repr(ended)


async def test_an_empty_secret_is_never_submitted(target: Peer) -> None:
    before = target.count()
    ended = await attempt(make_job(target.technology, target.user, target.port), Credential())
    assert ended.reason == "SECRET_FIELD_MISSING"
    assert not ended.submitted
    assert target.count() == before


async def test_leaving_after_the_negotiation_counts_nothing(target: Peer) -> None:
    """What a refused permit looks like to the server."""
    before, ledger = target.count(), PhaseLedger()
    job = make_job(target.technology, target.user, target.port)
    sock = await dial("127.0.0.1", target.port, ledger)
    assert not isinstance(sock, Failure)
    async with FACTORIES[target.technology](sock, job, ledger) as login:
        assert isinstance(await login.negotiate(), Negotiated)
    assert sock.fileno() == -1
    assert target.count() == before


CUT = {"CONNECTION_RESET", "AUTH_DROPPED", "PRIV_CHECK_FAILED", "PRIV_NO_SHELL"}


@pytest.mark.slow
async def test_a_cut_connection_is_never_a_failed_login(target: Peer) -> None:
    """Wherever it is cut, the end is a value, and says what was cut rather than that the password is wrong."""
    ends: set[str] = set()
    for limit in range(0, 4000, 97):

        def cut(said: bytes, so_far: int, limit: int = limit) -> bytes:
            return said[: max(0, limit - so_far)]

        async with _damaged(target.port, cut, limit) as port:
            ended = await _attempt_at(target, port)
        ends.add(ended.reason)
        if limit < 400:
            assert not ended.submitted, "the server had not even asked"
        if ended.reason == "PASSED":
            break
    assert "CONNECTION_RESET" in ends
    assert ends <= CUT | {"PASSED", "NOT_SSH", "NOT_SMB"}


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
async def test_damaged_answers_end_as_values(target: Peer, seed: int) -> None:
    """One byte of what the server says is another one: whatever the library makes of it, no exception comes out."""
    rng = random.Random(seed)  # noqa: S311 - the same damage in every run
    position, mask = rng.randrange(0, 900), rng.randrange(1, 256)

    def damage(said: bytes, so_far: int) -> bytes:
        at = position - so_far
        return said[:at] + bytes([said[at] ^ mask]) + said[at + 1 :] if 0 <= at < len(said) else said

    ended = None
    with anyio.move_on_after(2):  # a damaged length may well make a login wait, which is its caller's to end
        async with _damaged(target.port, damage) as port:
            ended = await _attempt_at(target, port)
    if ended is not None:
        assert ended.reason != "INTERNAL"


async def _attempt_at(target: Peer, port: int) -> Attempt:
    job = make_job(target.technology, target.user, port)
    return await attempt(job, Credential(password=target.password))


@asynccontextmanager
async def _damaged(
    server_port: int, change: Callable[[bytes, int], bytes], cut_after: int | None = None
) -> AsyncIterator[int]:
    """A wire that changes what the server says (given how much came before it), and breaks after so many bytes."""

    async def handle(client: SocketStream) -> None:
        async with (
            client,
            await anyio.connect_tcp("127.0.0.1", server_port) as server,
            anyio.create_task_group() as both,
        ):

            async def upwards() -> None:
                try:
                    while True:
                        await server.send(await client.receive())
                except (anyio.EndOfStream, anyio.BrokenResourceError):
                    both.cancel_scope.cancel()

            both.start_soon(upwards)
            so_far = 0
            try:
                while cut_after is None or so_far < cut_after:
                    said = await server.receive()
                    await client.send(change(said, so_far))
                    so_far += len(said)
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                pass
            both.cancel_scope.cancel()

    async with listening(handle) as port:
        yield port
