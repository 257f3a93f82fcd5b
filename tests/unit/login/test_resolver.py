from __future__ import annotations

import errno
import os
import socket
import threading
import time

import anyio
import pytest

from appliance.classify import classify
from appliance.contract import Evidence, Failure, Technology, named
from appliance.login.resolver import Resolver, be_brisk, system_lookup


class Hanging:
    """A DNS server that answers for no name but `there`, until it is told to let go."""

    def __init__(self) -> None:
        self.released = threading.Event()
        self.asked: list[str] = []

    def __call__(self, name: str) -> list[str]:
        self.asked.append(name)
        if name != "there":
            self.released.wait()
        return ["127.0.0.1"]


def _code(failure: Failure) -> str:
    return classify(Technology.UNIX, Evidence(phase=failure.phase, signal=failure.signal)).code


async def test_a_server_that_hangs_ends_within_the_budget_and_holds_up_nobody_else() -> None:
    dns = Hanging()
    resolver = Resolver(dns, threads=3, patience=0.3)
    ended: list[list[str] | Failure] = []

    async def ask(name: str) -> None:
        ended.append(await resolver.addresses(name))

    began, turns = time.monotonic(), 0
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask, "gone-1")
            tasks.start_soon(ask, "gone-2")
            await anyio.wait_all_tasks_blocked()
            assert await resolver.addresses("there") == ["127.0.0.1"]
            while len(ended) < 2:
                await anyio.sleep(0.01)
                turns += 1
        assert 0.25 < time.monotonic() - began < 20
        assert turns > 5
        assert [_code(e) for e in ended if isinstance(e, Failure)] == ["DNS_NO_ANSWER"] * 2
    finally:
        dns.released.set()


async def test_threads_are_bounded_and_what_waits_in_vain_is_never_asked() -> None:
    dns = Hanging()
    resolver = Resolver(dns, threads=2, patience=0.2)
    try:
        async with anyio.create_task_group() as tasks:
            for number in range(50):
                tasks.start_soon(resolver.addresses, f"gone-{number}")
            await anyio.sleep(0.1)
            assert sum(t.name.startswith("resolve gone") for t in threading.enumerate()) == 2
        late = await resolver.addresses("there")
        assert isinstance(late, Failure)
        assert late.signal == named("DNS_NO_ANSWER")
    finally:
        dns.released.set()
    while any(t.name.startswith("resolve ") for t in threading.enumerate()):  # noqa: ASYNC110 - threads tell nobody
        await anyio.sleep(0.01)
    assert dns.asked == ["gone-0", "gone-1"]
    assert await resolver.addresses("there") == ["127.0.0.1"]


async def test_cancelled_it_is_gone_at_once() -> None:
    dns = Hanging()
    try:
        with anyio.move_on_after(0.05) as scope:
            await Resolver(dns, patience=30).addresses("gone")
        assert scope.cancelled_caught
    finally:
        dns.released.set()


def test_an_answer_that_comes_after_the_loop_is_closed() -> None:
    dns = Hanging()

    async def ask() -> None:
        await Resolver(dns, patience=0.01).addresses("gone")

    anyio.run(ask)
    dns.released.set()


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "DNS_FAILED"),
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"), "DNS_NO_ANSWER"),
        (UnicodeError("label too long"), "DNS_FAILED"),
        (OSError(errno.EMFILE, "Too many open files"), "OWN_OVERLOAD"),
        (OSError(errno.EIO, "I/O error"), "DNS_FAILED"),
    ],
)
async def test_what_the_resolver_says(error: Exception, reason: str) -> None:
    def fail(_name: str) -> list[str]:
        raise error

    failure = await Resolver(fail).addresses("host.test")
    assert isinstance(failure, Failure)
    assert _code(failure) == reason


async def test_no_thread_to_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    resolver = Resolver(system_lookup, threads=1)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        failure = await resolver.addresses("localhost")
    assert isinstance(failure, Failure)
    assert _code(failure) == "OWN_OVERLOAD"
    assert isinstance(await resolver.addresses("localhost"), list)


async def test_the_systems_resolver_knows_this_machine() -> None:
    addresses = await Resolver().addresses("localhost")
    assert isinstance(addresses, list)
    assert set(addresses) <= {"127.0.0.1", "::1"}
    assert addresses


def test_what_the_operator_has_set_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RES_OPTIONS", "timeout:9")
    be_brisk()
    assert os.environ["RES_OPTIONS"] == "timeout:9"
    monkeypatch.delenv("RES_OPTIONS")
    be_brisk()
    assert os.environ["RES_OPTIONS"] == "timeout:1 attempts:3"
