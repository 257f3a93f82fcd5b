"""A session on a simulated SSH host: one command and its answer, and the question on the way to root."""

from __future__ import annotations

import asyncio

import asyncssh

from targets.door import reset
from targets.estate import Host
from targets.faults import LAG_S, Manner, Stage
from targets.ssh.root import Question, question
from targets.ssh.shell import answer
from targets.world import World


class HostSession(asyncssh.SSHServerSession[str]):
    """Runs one command; a host gives out no shell and no subsystem."""

    def __init__(self, world: World, host: Host, user: str, connection: asyncssh.SSHServerConnection) -> None:
        self._world = world
        self._host = host
        self._user = user
        self._connection = connection
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
            case None:
                self._answer()
            case Manner.CUTS:
                reset(self._connection)
            case Manner.LAGS:
                self._late = asyncio.get_running_loop().call_later(LAG_S, self._answer)

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
        if self._takes(asked, line):
            self._question = None
            self._say("root", asked.run)
        elif asked.by == "sudo":
            self._write_stderr(f"Sorry, try again.\n{asked.prompt}")
        else:
            self._end("su: Authentication failure\n", 1)

    def _takes(self, asked: Question, line: str) -> bool:
        accounts = self._world.accounts
        if asked.by == "su":
            right = asked.user == "root" and accounts.root(self._host, line)
        else:
            right = accounts.password(self._host, asked.user, line if self._host.fault.right_root else f"not {line}")
        self._world.metrics.logon(self._host.address, asked.user, asked.by, ok=right)
        return right

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
