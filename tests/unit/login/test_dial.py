from __future__ import annotations

import errno
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import anyio
import pytest

from appliance.classify import classify
from appliance.contract import Evidence, Failure, Phase, SignalKind, Technology, named
from appliance.login.dial import MOST_ADDRESSES, Sources, dial, in_turns, os_error
from appliance.login.resolver import Resolver
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


async def test_a_name_is_resolved_in_a_phase_of_its_own(listener: socket.socket) -> None:
    ledger, facts = PhaseLedger(), dict[str, str]()
    known = _known("127.0.0.9", "127.0.0.1")
    only = "127.0.0.1"
    sock = await dial("host.test", _port(listener), ledger, allow=lambda a: a == only, facts=facts, resolver=known)
    assert not isinstance(sock, Failure)
    with sock:
        assert sock.getpeername()[0] == only
    assert [p.phase for p in ledger.finish()] == [Phase.DNS, Phase.TCP]
    assert facts == {"address": only, "addresses": "127.0.0.9 not allowed, 127.0.0.1 connected"}


async def test_a_name_may_lead_nowhere_that_is_allowed() -> None:
    facts = dict[str, str]()
    known = _known("127.0.0.9")
    failure = await dial("host.test", 1, PhaseLedger(), allow=lambda _: False, facts=facts, resolver=known)
    assert isinstance(failure, Failure)
    assert failure.signal == named("REFUSED_BY_POLICY")
    assert "127.0.0.9" in failure.text
    assert facts == {"addresses": "127.0.0.9 not allowed"}


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "::ffff:0.0.0.0", "fe80::1", "fe80::1%lo"])  # noqa: S104
async def test_addresses_that_name_no_host_are_never_dialled(listener: socket.socket, address: str) -> None:
    """By 0.0.0.0 one comes to this machine itself, though 127.0.0.1 may be excluded."""
    failure = await dial("host.test", _port(listener), PhaseLedger(), resolver=_known(address))
    assert isinstance(failure, Failure)
    assert failure.signal == named("REFUSED_BY_POLICY")
    literal = await dial(address, _port(listener), PhaseLedger())
    assert isinstance(literal, Failure)
    assert literal.signal == named("REFUSED_BY_POLICY")


async def test_the_second_address_is_tried_when_the_first_refuses(listener: socket.socket) -> None:
    facts = dict[str, str]()
    known = _known("127.0.0.2", "127.0.0.1")
    with anyio.fail_after(0.2):  # at once: nothing is waited for
        sock = await dial("host.test", _port(listener), PhaseLedger(), facts=facts, resolver=known)
    assert not isinstance(sock, Failure)
    with sock:
        assert sock.getpeername()[0] == "127.0.0.1"
    assert facts == {"address": "127.0.0.1", "addresses": "127.0.0.2 ECONNREFUSED, 127.0.0.1 connected"}


async def test_a_dead_address_is_jumped_over(listener: socket.socket) -> None:
    async with _deaf() as port:
        with _listening_on("127.0.0.3", port):
            facts = dict[str, str]()
            with anyio.fail_after(2):
                known = _known("127.0.0.1", "127.0.0.3")
                sock = await dial("host.test", port, PhaseLedger(), facts=facts, resolver=known)
            assert not isinstance(sock, Failure)
            with sock:
                assert sock.getpeername()[0] == "127.0.0.3"
    assert facts == {"address": "127.0.0.3", "addresses": "127.0.0.1 no answer, 127.0.0.3 connected"}


async def test_out_of_time_the_facts_say_who_was_silent() -> None:
    async with _deaf() as port:
        facts = dict[str, str]()
        with anyio.move_on_after(0.6) as scope:
            await dial("host.test", port, PhaseLedger(), facts=facts, resolver=_known("127.0.0.2", "127.0.0.1"))
    assert scope.cancelled_caught
    assert facts["addresses"] == "127.0.0.2 ECONNREFUSED, 127.0.0.1 no answer"
    assert facts["address"] == "127.0.0.1"


async def test_ipv6_by_literal_and_by_name() -> None:
    with socket.socket(socket.AF_INET6) as six:
        six.bind(("::1", 0))
        six.listen()
        port = _port(six)
        for target in ("::1", "host.test"):
            facts = dict[str, str]()
            known = _known("127.0.0.1", "::1")
            sock = await dial(target, port, PhaseLedger(), facts=facts, resolver=known)
            assert not isinstance(sock, Failure)
            with sock:
                assert sock.getpeername()[0] == "::1"
        assert facts["addresses"] == "127.0.0.1 ECONNREFUSED, ::1 connected"


async def test_where_all_fail_the_most_telling_failure_is_told() -> None:
    """An appliance without a way to IPv6 has still learnt that the host is there, and refuses."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        facts = dict[str, str]()
        known = _known("2001:db8::1", "127.0.0.1")
        sources = Sources(v6="2001:db8::99")  # none of ours, so that the test does not depend on the machine's routes
        failure = await dial("h.test", _port(closed), PhaseLedger(), facts=facts, resolver=known, sources=sources)
    assert isinstance(failure, Failure)
    assert failure.signal.name == "ECONNREFUSED"
    assert "2001:db8::99" in failure.text
    assert facts["address"] == "127.0.0.1"
    assert facts["addresses"] == "2001:db8::1 SOURCE_ADDRESS, 127.0.0.1 ECONNREFUSED"


async def test_a_name_with_thousands_of_addresses() -> None:
    asked: list[str] = []

    def allow(address: str) -> bool:
        asked.append(address)
        return False

    known = _known(*(f"127.1.{n // 250}.{n % 250}" for n in range(4000)))
    await dial("host.test", 1, PhaseLedger(), allow=allow, resolver=known)
    assert len(asked) == MOST_ADDRESSES


def test_the_families_take_turns() -> None:
    assert in_turns(["::1", "::2", "::3", "10.0.0.1"]) == ["::1", "10.0.0.1", "::2", "::3"]
    assert in_turns(["10.0.0.1", "10.0.0.2"]) == ["10.0.0.1", "10.0.0.2"]


async def test_a_name_that_does_not_resolve() -> None:
    def fail(_name: str) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    failure = await dial("no-such-host.invalid", 1, PhaseLedger(), resolver=Resolver(fail))
    assert isinstance(failure, Failure)
    assert failure.phase is Phase.DNS
    assert failure.signal.name == "socket.gaierror"


async def test_cancelled_with_several_connections_on_the_way() -> None:
    async with _deaf() as port:
        for patience in (0.05, 0.3, 0.55):
            with anyio.move_on_after(patience) as scope:
                await dial("host.test", port, PhaseLedger(), resolver=_known("127.0.0.1", "127.0.0.1"))
            assert scope.cancelled_caught


async def test_a_refused_connection_has_its_errno() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        failure = await dial("127.0.0.1", _port(closed), PhaseLedger())
    assert isinstance(failure, Failure)
    assert (failure.phase, failure.signal.kind, failure.signal.name) == (Phase.TCP, SignalKind.ERRNO, "ECONNREFUSED")


async def test_the_source_address_is_used_and_keeps_no_port_to_itself(listener: socket.socket) -> None:
    """Many connections from one source may share a port only if it is chosen at connect."""
    sock = await dial("127.0.0.1", _port(listener), PhaseLedger(), sources=Sources(v4="127.0.0.77"))
    assert not isinstance(sock, Failure)
    with sock:
        assert sock.getsockname()[0] == "127.0.0.77"
        option = sock.getsockopt(socket.IPPROTO_IP, 24)
        assert option == 1


async def test_each_family_has_its_own_source_address() -> None:
    with socket.socket(socket.AF_INET6) as six:
        six.bind(("::1", 0))
        six.listen()
        sock = await dial("::1", _port(six), PhaseLedger(), sources=Sources(v4="192.0.2.1", v6="::1"))
        assert not isinstance(sock, Failure)
        with sock:
            assert sock.getsockname()[0] == "::1"


@pytest.mark.parametrize(
    ("target", "sources"),
    [("127.0.0.1", Sources(v4="192.0.2.1")), ("::1", Sources(v6="2001:db8::1")), ("::1", Sources(v6="fe80::1"))],
)
async def test_a_source_address_that_is_not_ours(target: str, sources: Sources) -> None:
    failure = await dial(target, 1, PhaseLedger(), sources=sources)
    assert isinstance(failure, Failure)
    evidence = Evidence(phase=failure.phase, signal=failure.signal)
    assert classify(Technology.UNIX, evidence).code == "SOURCE_ADDRESS"
    assert str(sources.towards(target)) in failure.text
    assert "correct `source`" in failure.text


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


def _known(*addresses: str) -> Resolver:
    """A resolver to which every name has these addresses."""
    return Resolver(lambda _name: list(addresses))


@asynccontextmanager
async def _deaf() -> AsyncIterator[int]:
    """A port of 127.0.0.1 that answers no SYN any more: its backlog is full."""
    fillers: list[socket.socket] = []
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = _port(listener)
        try:
            with anyio.move_on_after(0.2):
                while True:
                    sock = await dial("127.0.0.1", port, PhaseLedger())
                    assert not isinstance(sock, Failure)
                    fillers.append(sock)
            yield port
        finally:
            for sock in fillers:
                sock.close()


@contextmanager
def _listening_on(address: str, port: int) -> Iterator[None]:
    with socket.socket() as sock:
        sock.bind((address, port))
        sock.listen()
        yield


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
