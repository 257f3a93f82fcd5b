"""Greeting: the target shows what it is before anything costs us CPU, and a silent one keeps nobody from working."""

from __future__ import annotations

import socket

import anyio
import pytest
from anyio.abc import SocketStream

from appliance.classify import classify
from appliance.contract import Evidence, Failure, Phase, Technology, named
from appliance.login.dial import dial
from appliance.phases import PhaseLedger
from tests.peers.attempt import FACTORIES, make_job
from tests.unit.login.ssh_servers import cut

HTTP_ANSWER = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize(
    ("technology", "reason"), [(Technology.UNIX, "NOT_SSH"), (Technology.WINDOWS, "NOT_SMB")], ids=str
)
async def test_a_server_that_waits_for_the_client_to_speak_is_told_from_a_silent_one(
    technology: Technology, reason: str
) -> None:
    """An HTTP server says nothing until something is said to it."""

    async def answer(stream: SocketStream) -> None:
        async with stream:
            await stream.receive(64)
            await stream.send(HTTP_ANSWER)

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, answer, name="http")
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        ledger = PhaseLedger()
        job = make_job(technology, "scan", port)
        sock = await dial("127.0.0.1", port, ledger)
        assert not isinstance(sock, Failure)
        async with FACTORIES[technology](sock, job, ledger) as login:
            with anyio.fail_after(10):
                ended = await login.greet()
            assert isinstance(ended, Failure)
            evidence = Evidence(phase=ended.phase, signal=ended.signal, submitted=login.submitted)
            assert reason == classify(technology, evidence).code
            assert not login.submitted
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize("technology", Technology)
async def test_a_connection_that_is_cut_before_anybody_speaks(technology: Technology) -> None:
    """The socket has no peer any more, at which both libraries would stumble."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port, ledger = listener.getsockname()[1], PhaseLedger()
        sock = await dial("127.0.0.1", port, ledger)
        assert not isinstance(sock, Failure)
        cut(listener.accept()[0])
        async with FACTORIES[technology](sock, make_job(technology, "scan", port), ledger) as login:
            ended = await login.greet()
    assert isinstance(ended, Failure)
    assert (ended.phase, ended.signal) == (Phase.NEGOTIATE, named("CONNECTION_RESET"))


async def test_the_key_exchange_waits_for_its_turn() -> None:
    """After the greeting nothing more is sent until `negotiate`, however much the server has sent by then."""
    received = bytearray()
    heard = anyio.Event()

    async def ssh_server(stream: SocketStream) -> None:
        async with stream:
            await stream.send(b"SSH-2.0-Test\r\n" + b"\x00" * 64)
            while True:
                try:
                    received.extend(await stream.receive())
                except (anyio.EndOfStream, anyio.BrokenResourceError):
                    return
                if received.endswith(b"\r\n"):
                    heard.set()

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, ssh_server, name="ssh")
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        ledger = PhaseLedger()
        sock = await dial("127.0.0.1", port, ledger)
        assert not isinstance(sock, Failure)
        async with FACTORIES[Technology.UNIX](sock, make_job(Technology.UNIX, "scan", port), ledger) as login:
            with anyio.fail_after(10):
                assert await login.greet() is None
                await heard.wait()
            assert received.startswith(b"SSH-2.0-")
            assert received.count(b"\r\n") == 1, "the identification alone"
            assert ledger.current is Phase.NEGOTIATE
            with anyio.fail_after(10):
                assert isinstance(await login.negotiate(), Failure)  # sixty-four zeros are no key exchange
        tasks.cancel_scope.cancel()
