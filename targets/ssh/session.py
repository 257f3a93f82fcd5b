"""A session on a simulated SSH host: one command and its answer, and the question on the way to root."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

import asyncssh

from targets.conduct import Pace
from targets.directory import Logon
from targets.door import reset
from targets.estate import Host
from targets.faults import Manner, Stage
from targets.host_world import HostWorld
from targets.ssh.root import Question, question
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
        self._terminal = False
        self._question: Question | None = None
        self._typed = ""
        self._answered = False
        self._late: asyncio.TimerHandle | None = None

    def connection_made(self, chan: asyncssh.SSHServerChannel[str]) -> None:
        self._channel = chan

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncssh's signature
        if self._late is not None:
            self._late.cancel()
        self._ended()

    def pty_requested(self, *_: object) -> bool:
        self._terminal = True
        return True

    def exec_requested(self, command: str) -> bool:
        self._command = command
        return True

    def data_received(self, data: str, datatype: asyncssh.DataType) -> None:  # noqa: ARG002 - asyncssh's signature
        if self._question is None:
            return
        self._typed += data
        line, ended, _ = self._typed.partition("\n")
        if ended:
            self._typed = ""
            self._judge(self._question, line)

    def eof_received(self) -> bool:
        if self._question is not None:
            self._end(f"{self._question.by}: no password was provided\n", 1)
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
        self._question = question(self._host, self._user, self._command)
        if self._question is not None and (self._terminal or not self._host.fault.requiretty):
            self._write_stderr(self._question.prompt)
            return
        self._question = None
        self._say(self._user, self._command)

    def _say(self, user: str, command: str) -> None:
        said = answer(self._host, user, command, terminal=self._terminal)
        if said.stdout:
            self._channel.write(self._worded(said.stdout))
        self._end(said.stderr, said.status)

    def _judge(self, asked: Question, line: str) -> None:
        if self._terminal:
            self._channel.write("\r\n")  # the terminal does not echo the line, but goes on to the next
        if self._answered or self._host.fault.root_asks:
            self._end(f"{asked.by}: 1 incorrect password attempt\n", 1)
            return
        self._answered = True
        accounts, host = self._world.accounts, self._host
        if asked.by == "su":
            self._judged(asked, right=asked.user == "root" and accounts.root(host, line))
            return
        verdict = accounts.password(host, asked.user, line if host.fault.right_root else f"not {line}")
        if isinstance(verdict, asyncio.Future):
            verdict.add_done_callback(partial(self._told, asked))
        else:
            self._judged(asked, right=verdict is Logon.OK)

    def _told(self, asked: Question, verdict: asyncio.Future[Logon]) -> None:
        if not verdict.cancelled():
            self._judged(asked, right=verdict.result() is Logon.OK)

    def _judged(self, asked: Question, *, right: bool) -> None:
        self._world.metrics.logon(self._host.address, asked.user, asked.by, ok=right)
        if self._channel.is_closing():
            return
        if right:
            self._question = None
            self._say("root", asked.run)
        elif asked.by == "sudo":
            self._write_stderr(f"Sorry, try again.\n{asked.prompt}")
        else:
            self._end("su: Authentication failure\n", 1)

    def _end(self, stderr: str, status: int) -> None:
        if self._channel.is_closing():
            return
        if stderr:
            self._write_stderr(stderr)
        self._question = None
        self._channel.exit(status)

    def _write_stderr(self, text: str) -> None:
        if self._terminal:
            self._channel.write(self._worded(text))  # it has one stream
        else:
            self._channel.write_stderr(text)

    def _worded(self, text: str) -> str:
        return text.replace("\n", "\r\n") if self._terminal else text
