from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Iterator
from typing import Any

import anyio
import pytest

from appliance.contract import Failure, Phase, SignalKind, named
from appliance.login.dial import dial, os_error
from appliance.phases import PhaseLedger


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        yield sock


def _port(sock: socket.socket) -> int:
    port: int = sock.getsockname()[1]
    return port


async def test_a_literal_skips_dns(listener: socket.socket) -> None:
    ledger = PhaseLedger()
    sock = await dial("127.0.0.1", _port(listener), ledger)
    assert not isinstance(sock, Failure)
    with sock:
        assert sock.getpeername() == listener.getsockname()
        assert not sock.getblocking()
    assert [p.phase for p in ledger.finish()] == [Phase.TCP]


async def test_a_name_is_resolved_in_a_phase_of_its_own(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    _resolve_to(monkeypatch, ["127.0.0.9", "127.0.0.1", "127.0.0.1"])
    ledger = PhaseLedger()
    sock = await dial("host.test", _port(listener), ledger, allow=lambda address: address == "127.0.0.1")
    assert not isinstance(sock, Failure)
    with sock:
        assert sock.getpeername()[0] == "127.0.0.1"
    assert [p.phase for p in ledger.finish()] == [Phase.DNS, Phase.TCP]


async def test_a_name_may_lead_nowhere_that_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    _resolve_to(monkeypatch, ["127.0.0.9"])
    failure = await dial("host.test", 1, PhaseLedger(), allow=lambda _: False)
    assert isinstance(failure, Failure)
    assert failure.signal == named("REFUSED_BY_POLICY")
    assert "127.0.0.9" in failure.text


async def test_the_second_address_is_tried_when_the_first_refuses(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    _resolve_to(monkeypatch, ["127.0.0.2", "127.0.0.1"])
    sock = await dial("host.test", _port(listener), PhaseLedger())
    assert not isinstance(sock, Failure)
    with sock:
        assert sock.getpeername()[0] == "127.0.0.1"


async def test_a_name_that_does_not_resolve(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_args: Any, **_kwargs: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", fail)
    failure = await dial("no-such-host.invalid", 1, PhaseLedger())
    assert isinstance(failure, Failure)
    assert failure.phase is Phase.DNS
    assert failure.signal.name == "socket.gaierror"


async def test_a_refused_connection_has_its_errno() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        failure = await dial("127.0.0.1", _port(closed), PhaseLedger())
    assert isinstance(failure, Failure)
    assert (failure.phase, failure.signal.kind, failure.signal.name) == (Phase.TCP, SignalKind.ERRNO, "ECONNREFUSED")


async def test_the_source_address_is_used_and_keeps_no_port_to_itself(listener: socket.socket) -> None:
    """Many connections from one source may share a port only if it is chosen at connect."""
    sock = await dial("127.0.0.1", _port(listener), PhaseLedger(), source="127.0.0.77")
    assert not isinstance(sock, Failure)
    with sock:
        assert sock.getsockname()[0] == "127.0.0.77"
        option = sock.getsockopt(socket.IPPROTO_IP, 24)
        assert option == 1


async def test_a_source_address_that_is_not_ours() -> None:
    failure = await dial("127.0.0.1", 1, PhaseLedger(), source="192.0.2.1")
    assert isinstance(failure, Failure)
    assert failure.signal.name == "EADDRNOTAVAIL"


async def test_cancelled_while_connecting(listener: socket.socket) -> None:
    """A full backlog answers no SYN: the dial hangs until its caller's scope ends it, and leaves no socket."""
    listener.listen(0)
    fillers = []
    try:
        with anyio.move_on_after(0.2) as scope:
            while True:
                sock = await dial("127.0.0.1", _port(listener), PhaseLedger())
                assert not isinstance(sock, Failure)
                fillers.append(sock)
        assert scope.cancelled_caught
        assert fillers
    finally:
        for sock in fillers:
            sock.close()


def _resolve_to(monkeypatch: pytest.MonkeyPatch, addresses: list[str]) -> None:
    async def resolve(*_args: Any, **_kwargs: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in addresses]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), "ECONNREFUSED"),
        (OSError(errno.EHOSTUNREACH, "no route"), "EHOSTUNREACH"),
        (OSError("in words only"), "builtins.OSError"),
        (OSError(98765, "a number of nobody's"), "builtins.OSError"),
        (socket.gaierror(errno.ENOENT, "the resolver's own numbers"), "socket.gaierror"),
    ],
)
def test_an_error_of_the_system_is_told_by_its_errno_where_it_has_one(error: OSError, name: str) -> None:
    assert os_error(error).name == name
