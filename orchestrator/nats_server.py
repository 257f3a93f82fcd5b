"""The embedded NATS server: a child on loopback, with its own users, in a state directory that this process holds.

Its configuration holds the public halves of the users' keys only; the seeds are made anew for each start and handed on
as values. There is no monitoring port. It dies with this process (`appliance/launch.py`), and after a crash `watch`
starts it again on the same port, so that every client finds it again by itself.

It is ready when its own INFO line is read from its port: the server accepts connections only after its store is
recovered, and the line carries the name that this start gave it, so a stranger on the port is not taken for it.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import anyio
import structlog
from anyio.abc import Process

from appliance.bus.users import (
    KeyPair,
    appliance_permissions,
    control_permissions,
    new_user,
    orchestrator_permissions,
)
from orchestrator.nats_binary import NatsServerError, find_binary
from orchestrator.state_dir import Held

log = structlog.get_logger(__name__)

_START = 15.0
"""Seconds in which a start must be ready; a large store is read first."""
_STOP = 5.0
_MAX_PAYLOAD = 8 * 1024 * 1024
_MIN_FREE = 64 * 1024 * 1024
_FIRST_PAUSE, _LAST_PAUSE, _TRIES = 0.1, 5.0, 10
_STEADY = 30.0
"""Seconds after which a start counts as good, and the pauses begin anew."""


@dataclass(frozen=True, slots=True)
class ApplianceUser:
    """An appliance that may connect: its name and zone, each one NATS token."""

    name: str
    zone: str


class EmbeddedServer:
    """An async context manager. Enter it in the main thread, run `watch` beside it.

    `port` 0 takes a free one and keeps it as long as the context is open. `store_limit` bounds the store, in bytes.
    """

    def __init__(
        self, held: Held, appliances: Iterable[ApplianceUser], *, port: int = 0, store_limit: int | None = None
    ) -> None:
        self._directory = held.path / "nats"
        self._port = port
        self._store_limit = store_limit
        self._name = f"keymuster-{secrets.token_hex(8)}"
        self._orchestrator = new_user()
        self._control = new_user()
        self._appliances: dict[ApplianceUser, KeyPair] = {user: new_user() for user in appliances}
        self._binary = Path()
        self._process: Process | None = None

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self._port}"

    @property
    def pid(self) -> int:
        """The server's process id. Raises LookupError outside the context."""
        if self._process is None:
            raise LookupError("the server is not running")
        return self._process.pid

    @property
    def orchestrator_seed(self) -> str:
        return self._orchestrator.seed

    @property
    def control_seed(self) -> str:
        return self._control.seed

    @property
    def appliance_seeds(self) -> Mapping[ApplianceUser, str]:
        return {user: pair.seed for user, pair in self._appliances.items()}

    async def __aenter__(self) -> Self:
        """Start it. Raises NatsServerError; RuntimeError off the main thread."""
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError(
                "the embedded server is started from the main thread: it dies with the thread it came from"
            )
        self._binary = (await find_binary()).path
        self._prepare()
        try:
            await self._start()
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stop()

    async def watch(self) -> None:
        """Start the server again whenever it ends, for ever. Raises NatsServerError when it will not stay up."""
        pause, tries = _FIRST_PAUSE, 0
        while True:
            process = self._running()
            began = anyio.current_time()
            code = await process.wait()
            if anyio.current_time() - began > _STEADY:
                pause, tries = _FIRST_PAUSE, 0
            log.warning("nats_server.ended", code=code, restart_in=pause)
            while True:
                await anyio.sleep(pause)
                pause, tries = min(pause * 2, _LAST_PAUSE), tries + 1
                try:
                    await self._start()
                    break
                except NatsServerError as failure:
                    log.warning("nats_server.not_started", text=str(failure), tries=tries)
                    if tries >= _TRIES:
                        raise

    def _running(self) -> Process:
        if self._process is None:
            raise LookupError("watch is run inside the context")
        return self._process

    def _prepare(self) -> None:
        try:
            self._directory.mkdir(mode=0o700, exist_ok=True)
            free = shutil.disk_usage(self._directory).free
            (self._directory / "probe").write_bytes(b"x")
            (self._directory / "probe").unlink()
        except OSError as error:
            raise NatsServerError(
                f"{self._directory} cannot be written ({error.strerror}): make it writable"
            ) from error
        if free < _MIN_FREE:
            raise NatsServerError(
                f"the file system of {self._directory} is full ({free // 2**20} MiB left): free at least 64 MiB"
            )

    def _configuration(self) -> dict[str, Any]:
        jetstream: dict[str, Any] = {"store_dir": str(self._directory / "store")}
        if self._store_limit is not None:
            jetstream["max_file_store"] = self._store_limit
        users = [
            {"nkey": self._orchestrator.public, "permissions": orchestrator_permissions()},
            {"nkey": self._control.public, "permissions": control_permissions()},
            *(
                {"nkey": pair.public, "permissions": appliance_permissions(user.zone, user.name)}
                for user, pair in self._appliances.items()
            ),
        ]
        return {
            "server_name": self._name,
            "host": "127.0.0.1",
            "port": self._port or -1,
            "ports_file_dir": str(self._directory),
            "max_payload": _MAX_PAYLOAD,
            "jetstream": jetstream,
            "authorization": {"users": users},
        }

    def _open_private(self, name: str) -> IO[bytes]:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        return os.fdopen(os.open(self._directory / name, flags, 0o600), "wb")

    async def _start(self) -> None:
        """Raises NatsServerError."""
        for stale in self._directory.glob("*.ports"):
            stale.unlink(missing_ok=True)
        # JSON is a subset of the server's configuration language.
        with self._open_private("server.conf") as file:
            file.write(json.dumps(self._configuration(), indent=1).encode())
        launcher = [sys.executable, "-m", "appliance.launch", str(os.getpid()), "--"]
        argv = [*launcher, str(self._binary), "-c", str(self._directory / "server.conf")]
        with self._open_private("server.log") as output:
            self._process = await anyio.open_process(
                argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=output
            )
        process = self._process
        with anyio.move_on_after(_START):
            while process.returncode is None:
                if await self._is_ready(process):
                    return
                await anyio.sleep(0.02)
        if process.returncode is None:
            await self._stop()
            raise NatsServerError(f"nats-server was not ready after {_START:.0f} s:\n{self._complaint()}")
        raise NatsServerError(self._explain(process.returncode))

    async def _is_ready(self, process: Process) -> bool:
        if not self._port:
            try:
                (written,) = self._directory.glob(f"*_{process.pid}.ports")
                self._port = int(json.loads(written.read_bytes())["nats"][0].rsplit(":", 1)[1])
            except (OSError, ValueError):
                return False  # not written yet, or half written
        try:
            with anyio.fail_after(1):
                async with await anyio.connect_tcp("127.0.0.1", self._port) as stream:
                    line = await stream.receive()
            information = json.loads(line.removeprefix(b"INFO ").split(b"\r\n", 1)[0])
        except (OSError, TimeoutError, anyio.EndOfStream, anyio.BrokenResourceError, ValueError):
            return False
        return bool(information.get("server_name") == self._name)

    def _complaint(self) -> str:
        lines = (self._directory / "server.log").read_text(errors="replace").splitlines()
        return "\n".join([line for line in lines if "[FTL]" in line or "[ERR]" in line][-3:] or lines[-3:])

    def _explain(self, code: int) -> str:
        text = self._complaint()
        if "address already in use" in text:
            return f"port {self._port} of 127.0.0.1 is in use by another program: end it, or choose another port"
        if "no space left" in text or "insufficient storage" in text:
            return f"the store in {self._directory} is full: free disk space\n{text}"
        if "permission denied" in text or "read-only file system" in text:
            return f"the store in {self._directory} cannot be written: make it writable\n{text}"
        return f"nats-server ended with code {code}:\n{text}"

    async def _stop(self) -> None:
        process = self._process
        if process is None:
            return
        with anyio.CancelScope(shield=True):
            if process.returncode is None:
                process.terminate()
                with anyio.move_on_after(_STOP):
                    await process.wait()
            if process.returncode is None:
                process.kill()
                with anyio.move_on_after(_STOP):
                    await process.wait()
        self._process = None
