"""A real PostgreSQL server in a directory of its own, on a free loopback port and a Unix socket, as a user that is not
root (which it refuses). It need not survive a power cut: `fsync` is off.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import asyncpg
import pytest

from tests.peers.private import children, free_port

START_S = STOP_S = 20.0
USER, PASSWORD = "keymuster", "Store-Pw-1"
UNPRIVILEGED = ("postgres", "nobody")
TEMPLATE = "keymuster_template"
"""A database that a test's own is copied from, once something is in it."""


@dataclass(slots=True)
class Postgres:
    directory: Path
    port: int
    settings: Sequence[str] = ()
    process: subprocess.Popen[bytes] | None = None
    _numbers: Iterator[int] = field(default_factory=count)

    @property
    def pids(self) -> list[int]:
        """The server's process, and those that it has made."""
        assert self.process is not None
        return [self.process.pid, *children(self.process.pid)]

    def url(self, database: str = "postgres", *, user: str = USER) -> str:
        """Over loopback, where a password is asked for."""
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def socket_url(self, database: str) -> str:
        """Over the Unix socket, where none is."""
        return f"postgresql://{USER}@:{self.port}/{database}?host={self.directory}"

    def start(self) -> None:
        command = [
            *_as_somebody(), _binary("postgres"), "-D", str(self.directory / "data"), "-p", str(self.port),
            "-k", str(self.directory), "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off",
            "-c", "shared_buffers=32MB", "-c", "max_connections=50", "-c", "autovacuum=off", *self.settings,
        ]  # fmt: skip
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, cwd="/")
        until = time.monotonic() + START_S
        ready = [_binary("pg_isready"), "-q", "-h", str(self.directory), "-p", str(self.port)]
        while subprocess.run(ready, check=False, cwd="/").returncode:
            if self.process.poll() is not None or time.monotonic() > until:
                pytest.fail(f"no PostgreSQL server: {(self.directory / 'log').read_text()}", pytrace=False)
            time.sleep(0.05)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT ends it and every session; SIGQUIT likewise, at once, as a crash would."""
        assert self.process is not None
        self.process.send_signal(how)
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def restart(self, how: signal.Signals = signal.SIGQUIT, away_s: float = 0.0) -> None:
        self.stop(how)
        time.sleep(away_s)
        self.start()

    async def new_database(self, template: str = "template0") -> str:
        """Its name."""
        name = f"t{next(self._numbers)}"
        await self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    async def execute(self, statement: str, database: str = "postgres") -> list[tuple[object, ...]]:
        connection = await asyncpg.connect(
            host=str(self.directory), port=self.port, user=USER, database=database, password=PASSWORD, ssl=False
        )
        try:
            return [tuple(row) for row in await connection.fetch(statement)]
        finally:
            await connection.close()


@contextmanager
def running_postgres(*settings: str) -> Iterator[Postgres]:
    """Skips where no PostgreSQL can be had; fails where it only is not installed."""
    for name in ("initdb", "postgres", "pg_isready"):
        if _found(name) is None:
            if os.geteuid() == 0 and shutil.which("apt-get"):
                pytest.fail(f"{name} not found: `make test` installs what the tests need", pytrace=False)
            pytest.skip(f"no PostgreSQL here: {name} not found (Debian's package `postgresql`)")
    directory = Path(tempfile.mkdtemp(prefix="km-postgres-"))
    try:
        password = directory / "password"
        password.write_text(PASSWORD)
        if os.geteuid() == 0:
            who = _somebody()
            os.chown(directory, who.pw_uid, who.pw_gid)
            os.chown(password, who.pw_uid, who.pw_gid)
        command = [
            *_as_somebody(), _binary("initdb"), "-D", str(directory / "data"), "-U", USER, "--pwfile", str(password),
            "--no-sync", "--auth-local=trust", "--auth-host=scram-sha-256", "-E", "UTF8", "--locale=C.UTF-8",
        ]  # fmt: skip
        made = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
        assert made.returncode == 0, made.stderr
        server = Postgres(directory, free_port(), settings)
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _found(name: str) -> str | None:
    places = [os.environ.get("PATH", ""), *sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")), reverse=True)]
    return shutil.which(name, path=":".join(places))


def _binary(name: str) -> str:
    found = _found(name)
    assert found is not None
    return found


def _as_somebody() -> list[str]:
    if os.geteuid() != 0:
        return []
    who = _somebody()
    return ["setpriv", f"--reuid={who.pw_uid}", f"--regid={who.pw_gid}", "--clear-groups", "--"]


def _somebody() -> pwd.struct_passwd:
    for name in UNPRIVILEGED:
        with suppress(KeyError):
            return pwd.getpwnam(name)
    pytest.skip(f"no user that PostgreSQL could run as: {', '.join(UNPRIVILEGED)}")
