"""Network namespaces that last as long as we do, and wires between them.

A namespace belongs to a process that waits for its standard input to close: it ends with us, whatever happens, and
nothing is left under /run/netns.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

_CLONE_NEWNET = 0x40000000
_MADE_S = 10.0


@dataclass(frozen=True, slots=True)
class Namespace:
    holder: int
    """The process that keeps it."""

    @property
    def prefix(self) -> Sequence[str]:
        """What runs a command in it."""
        return ("nsenter", f"--net=/proc/{self.holder}/ns/net", "--")

    def _enter(self) -> None:
        """For the calling thread, and for good. Python has `os.setns` from 3.12 on."""
        with Path(f"/proc/{self.holder}/ns/net").open("rb") as net:
            if ctypes.CDLL(None, use_errno=True).setns(net.fileno(), _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")

    def run(self, *command: str) -> None:
        subprocess.run([*self.prefix, *command], check=True, stdin=subprocess.DEVNULL)

    def call(self, function: Callable[[], T]) -> T:
        """Call it in a thread that is in the namespace; whatever it raises is raised here."""
        answers: list[T] = []
        errors: list[BaseException] = []

        def inside() -> None:
            try:
                self._enter()
                answers.append(function())
            except BaseException as error:  # noqa: BLE001 - it is raised again below
                errors.append(error)

        thread = threading.Thread(target=inside, name=f"in namespace {self.holder}")
        thread.start()
        thread.join()
        if errors:
            raise errors[0]
        return answers[0]


@contextmanager
def namespace() -> Iterator[Namespace]:
    """A new one, with its loopback device up. Needs root."""
    ours = Path("/proc/self/ns/net").readlink()
    with subprocess.Popen(["unshare", "--net", "cat"], stdin=subprocess.PIPE, start_new_session=True) as holder:
        until = time.monotonic() + _MADE_S
        while Path(f"/proc/{holder.pid}/ns/net").readlink() == ours:
            assert time.monotonic() < until, "no network namespace can be made here"
            time.sleep(0.01)
        made = Namespace(holder.pid)
        made.run("ip", "link", "set", "lo", "up")
        yield made


def wire(core: Namespace, zone: Namespace, name: str, network: str) -> None:
    """Join them: the core is `network`.1 at the device `name`, the zone is `network`.2, and its way out is the core."""
    core.run("ip", "link", "add", name, "type", "veth", "peer", "name", "core", "netns", str(zone.holder))
    core.run("ip", "address", "add", f"{network}.1/24", "dev", name)
    core.run("ip", "link", "set", name, "up")
    zone.run("ip", "address", "add", f"{network}.2/24", "dev", "core")
    zone.run("ip", "link", "set", "core", "up")
    zone.run("ip", "route", "add", "default", "via", f"{network}.1")


def cut(core: Namespace, name: str) -> None:
    core.run("ip", "link", "set", name, "down")


def mend(core: Namespace, name: str) -> None:
    core.run("ip", "link", "set", name, "up")


def may_make_namespaces() -> bool:
    return os.geteuid() == 0
