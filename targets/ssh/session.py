"""A session on a simulated SSH host: one command and its answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import asyncssh

from targets.conduct import Pace
from targets.door import reset
from targets.estate import Host
from targets.faults import Manner, Stage
from targets.host_world import HostWorld
from targets.ssh.shell import answer


class HostSession(asyncssh.SSHServerSession[str]):
    """Runs one command; a host gives out no shell and no subsystem."""

    def __init__(
        self,
        world: HostWorld,
        host: Host,
        user: str,
        connection: asyncssh.SSHServerConnection,
        pace: Pace,
        ended: Callable[[], None],
    ) -> None:
        self._world = world
        self._host = host
        self._user = user
        self._connection = connection
        self._pace = pace
        self._ended = ended
        self._command = ""
        self._late: asyncio.TimerHandle | None = None

    def connection_made(self, chan: asyncssh.SSHServerChannel[str]) -> None:
        self._channel = chan

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncssh's signature
        if self._late is not None:
            self._late.cancel()
        self._ended()

    def exec_requested(self, command: str) -> bool:
        self._command = command
        return True

    def eof_received(self) -> bool:
        return True  # who has nothing to say may still listen

    def session_started(self) -> None:
        self._world.metrics.hosts[self._host.address].commands += 1
        trouble = self._host.fault.trouble
        match trouble.manner if trouble is not None and trouble.stage is Stage.COMMAND else None:
            case None | Manner.LAGS:
                if delay := self._pace.take(Stage.COMMAND):
                    self._late = asyncio.get_running_loop().call_later(delay, self._answer)
                else:
                    self._answer()
            case Manner.CUTS:
                reset(self._connection)

    def _answer(self) -> None:
        if self._channel.is_closing():
            return
        said = answer(self._host, self._user, self._command)
        if said.stdout:
            self._channel.write(said.stdout)
        if said.stderr:
            self._channel.write_stderr(said.stderr)
        self._channel.exit(said.status)
