"""Names to addresses, by the system's own resolver (hosts file, DNS, whatever else it is set up for).

getaddrinfo cannot be cancelled, and a DNS server that hangs holds it for as long as the C library likes. So it runs in
threads of our own: at most THREADS, none without work, none ever waited for. Whoever asks waits PATIENCE_S at most,
time in the queue included; a thread that hangs on ends by itself, and holds up neither the loop nor the end of the
process. Addresses that are literals never come here, so that no DNS server can keep them from being scanned.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import threading
from collections import deque
from collections.abc import Callable

import anyio

from appliance.contract import NO_DESCRIPTOR, Failure, Phase, named, raised

PATIENCE_S = 5.0
THREADS = 32

_OPTIONS = "timeout:1 attempts:3"

Lookup = Callable[[str], list[str]]
"""Blocks. Raises OSError (gaierror), or UnicodeError for a label that no DNS name can have."""


def be_brisk() -> None:
    """Have this process's C library ask the next DNS server after a second. By itself it gives the first one five, and
    a name would be given up before the second is asked. What the appliance's own environment says goes first.
    """
    os.environ.setdefault("RES_OPTIONS", _OPTIONS)


def system_lookup(name: str) -> list[str]:
    """The name's addresses in the resolver's order (RFC 6724), each once."""
    found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class _Question:
    def __init__(self, name: str) -> None:
        self.name = name
        self.answer: list[str] | Exception | None = None
        self.answered = anyio.Event()
        self._loop = asyncio.get_running_loop()

    def settle(self, answer: list[str] | Exception) -> None:
        """Called in a thread."""
        try:
            self._loop.call_soon_threadsafe(self._settled, answer)
        except RuntimeError:
            return  # the loop is closed: nobody waits any more

    def _settled(self, answer: list[str] | Exception) -> None:
        self.answer = answer
        self.answered.set()


class Resolver:
    """Resolves names within `patience` seconds each."""

    def __init__(
        self, look_up: Lookup = system_lookup, *, threads: int = THREADS, patience: float = PATIENCE_S
    ) -> None:
        self._look_up = look_up
        self._threads = threads
        self._patience = patience
        self._lock = threading.Lock()
        self._running = 0
        self._waiting: deque[_Question] = deque()

    async def addresses(self, name: str) -> list[str] | Failure:
        """The name's addresses. Fails in phase DNS: with the resolver's exception where the name has none, and as
        DNS_NO_ANSWER where no DNS server has told, or none in time.
        """
        question = _Question(name)
        if not self._ask(question):
            return Failure(Phase.DNS, named("OWN_OVERLOAD"), "no thread can be started to resolve the name")
        try:
            with anyio.move_on_after(self._patience):
                await question.answered.wait()
        finally:
            self._withdraw(question)
        match question.answer:
            case None:
                return Failure(Phase.DNS, named("DNS_NO_ANSWER"), f"no answer within {self._patience:g} s")
            case socket.gaierror() as error if error.errno == socket.EAI_AGAIN:
                return Failure(Phase.DNS, named("DNS_NO_ANSWER"), error.strerror or "")
            case UnicodeError():
                return Failure(Phase.DNS, named("DNS_FAILED"), "is no name that DNS could know")
            case OSError(errno=errno.EMFILE | errno.ENFILE) as error if not isinstance(error, socket.gaierror):
                return Failure(Phase.DNS, named("OWN_OVERLOAD"), f"{NO_DESCRIPTOR} to resolve the name")
            case Exception() as error:
                return Failure(Phase.DNS, raised(error), str(error))
            case addresses:
                return addresses

    def _ask(self, question: _Question) -> bool:
        """To a new thread, or, where there are enough of them, to the first that is free."""
        with self._lock:
            if self._running >= self._threads:
                self._waiting.append(question)
                return True
            self._running += 1
        try:
            threading.Thread(target=self._work, args=(question,), name=f"resolve {question.name}", daemon=True).start()
        except RuntimeError:
            with self._lock:
                self._running -= 1
            return False
        return True

    def _withdraw(self, question: _Question) -> None:
        with self._lock:
            if question in self._waiting:
                self._waiting.remove(question)

    def _work(self, first: _Question) -> None:
        question: _Question | None = first
        while question is not None:
            try:
                question.settle(self._look_up(question.name))
            except (OSError, UnicodeError) as error:
                question.settle(error)
            with self._lock:
                question = self._waiting.popleft() if self._waiting else None
                if question is None:
                    self._running -= 1
