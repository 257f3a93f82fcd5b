"""What every test is held to, besides its own assertions: it leaves nothing behind and never blocks the event loop.

After each test nothing may be left that was not there before it: no asyncio task, no file descriptor (sockets, pipes,
files), no thread, no child process, and nothing that the loop could only complain about (an exception that nobody
retrieved, a transport that nobody closed). Warnings are errors (pyproject.toml), and with them un-awaited coroutines
and exceptions in finalizers.

Two watches, nested: the outer one looks at the process once the test's own event loop has been closed; the inner one
looks at the loop while it is still open. What a module- or session-scoped fixture opens was there before and stays. The
one way out is `@pytest.mark.keeps_open("why")`, and a reason is owed.

A watch looks again before it judges: a loop needs a few turns to finish closing transports, a thread that has been told
to end needs a moment to do so, and a garbage collection settles what only waits for one (when that closes a socket, its
ResourceWarning fails the test all the same).
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import os
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvloop
from blockbuster import BlockBuster
from hypothesis import settings

# How long an example takes is the machine's business; and what passes must not fail tomorrow for what nobody has
# changed: new examples are looked for by `make properties`.
settings.register_profile("suite", deadline=None, derandomize=True)
settings.register_profile("search", deadline=None, max_examples=1000)
settings.load_profile("suite")

# Our programs are started thousands of times: where the environment forbids byte code, each would be compiled anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

OURS = ("appliance", "orchestrator", "targets")

NOT_WATCHED = (
    # Locks: held for microseconds, everywhere in the standard library; watching costs each of them a walk of the stack.
    "threading.Lock.acquire",
    "threading.Lock.acquire_lock",
    # Neither touches a disk: the kernel knows the working directory.
    "os.getcwd",
    "os.path.abspath",
)

MAY_BLOCK = (
    # file, function in it, why anything below it may block
    ("structlog/_output.py", "msg", "a log line to the process's own stderr"),
    ("linecache.py", "checkcache", "formatting a traceback reads source files"),
    ("linecache.py", "updatecache", "as above"),
    ("orchestrator/store/migrating.py", "_apply", "runs in a loop of its own, in a thread of its own"),
    ("asyncpg/connect_utils.py", "_parse_connect_arguments", "a new connection to the store looks into ~/.pgpass"),
)
"""Where blocking inside a running loop is meant, each with its reason."""

TURNS = 20
"""Turns of the loop that closing a transport may take: a TLS close is the longest at about five."""
THREAD_GRACE_S = 2.0
"""A thread that has been told to end, ends; this only bounds the wait on a machine under load."""


@pytest.fixture(scope="session", autouse=True)
def _a_loop_of_libuvs() -> None:
    """The first in a process makes the pipe of its signals, which stays."""
    uvloop.new_event_loop().close()


@pytest.fixture(scope="session", autouse=True)
def _no_trust_of_the_machines_own(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Tests have authorities of their own. Reading the machine's hundreds took a third of the time of each context."""
    nobody = tmp_path_factory.mktemp("trust")
    (nobody / "none.pem").touch()
    os.environ.update(SSL_CERT_FILE=str(nobody / "none.pem"), SSL_CERT_DIR=str(nobody))


@pytest.fixture(scope="session", autouse=True)
def _no_blocked_loop() -> Iterator[None]:
    """A blocking call below our own code in a running loop raises."""
    buster = BlockBuster(list(OURS))
    for name in NOT_WATCHED:
        del buster.functions[name]
    for watched in buster.functions.values():
        for file, function, _why in MAY_BLOCK:
            watched.can_block_in(file, function)
    buster.activate()
    yield
    buster.deactivate()


@dataclass(frozen=True, slots=True)
class Belongings:
    """What a process holds on to: descriptors by number and what they lead to, threads, children."""

    descriptors: frozenset[str]
    threads: frozenset[threading.Thread]
    children: frozenset[str]

    @classmethod
    def now(cls) -> Belongings:
        return cls(frozenset(_descriptors()), frozenset(threading.enumerate()), frozenset(_children()))

    def left_since(self, before: Belongings) -> list[str]:
        return [
            *(f"descriptor {d}" for d in sorted(self.descriptors - before.descriptors)),
            *(f"thread {t.name}" for t in self.threads - before.threads if t.is_alive()),
            *(f"child process {c}" for c in sorted(self.children - before.children)),
        ]


def _descriptors() -> Iterator[str]:
    for number in Path("/proc/self/fd").iterdir():
        try:
            yield f"{number.name} -> {number.readlink()}"
        except FileNotFoundError:
            continue  # the one that listed the directory


def _children() -> Iterator[str]:
    for task in Path("/proc/self/task").iterdir():
        try:
            yield from (task / "children").read_text(encoding="ascii").split()
        except (FileNotFoundError, ProcessLookupError):
            continue  # the thread has ended meanwhile


def _excused(node: pytest.Item) -> bool:
    mark = node.get_closest_marker("keeps_open")
    if mark is not None and not (len(mark.args) == 1 and isinstance(mark.args[0], str) and mark.args[0].strip()):
        pytest.fail('say why: @pytest.mark.keeps_open("why")')
    return mark is not None


@pytest.fixture(autouse=True)
def _nothing_left_in_the_process(request: pytest.FixtureRequest) -> Iterator[None]:
    before = Belongings.now()
    yield
    after = Belongings.now()
    if not after.left_since(before) or _excused(request.node):
        return
    for thread in after.threads - before.threads:
        thread.join(THREAD_GRACE_S)
    gc.collect()
    left = Belongings.now().left_since(before)
    if left:
        pytest.fail("left behind: " + "; ".join(left))


@pytest.fixture(autouse=True)
def _nothing_left_in_the_loop(request: pytest.FixtureRequest, _nothing_left_in_the_process: None) -> None:
    """Asks for the loop's watch where there is a loop; before any other asynchronous fixture, so it ends after them."""
    if inspect.iscoroutinefunction(getattr(request, "function", None)):
        request.getfixturevalue("_watched_loop")


@pytest.fixture
async def _watched_loop(request: pytest.FixtureRequest) -> AsyncIterator[None]:
    loop = asyncio.get_running_loop()
    before = asyncio.all_tasks()
    complaints: list[str] = []

    def complain(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        complaints.append(f"{context['message']} ({context.get('exception')!r})")

    loop.set_exception_handler(complain)
    yield
    # The task that runs this half is another one than the task that ran the first.
    settled = before | {asyncio.current_task()}
    turns = 0
    while (left := asyncio.all_tasks() - settled) and turns < TURNS:
        turns += 1
        await asyncio.sleep(0)
    if left and not _excused(request.node):
        complaints.extend(f"task left behind: {task!r}" for task in left)
    if complaints:
        pytest.fail("\n".join(complaints))
