"""The embedded NATS server: a child on loopback, with its own users, in a state directory that this process holds.

Its configuration holds the public halves of the users' keys only; the seeds are made anew for each start and handed on
as values. There is no monitoring port. It dies with this process (`appliance/launch.py`), and after a crash `watch`
starts it again on the same port, so that every client finds it again by itself.

It is ready when its own INFO line is read from its port: the server accepts connections only after its store is
recovered, and the line carries the name that this start gave it, so a stranger on the port is not taken for it.
"""

from __future__ import annotations

import json
import secrets
import subprocess
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import anyio
from anyio import to_thread
from anyio.abc import Process

from appliance.bus.claims import KeyPair
from appliance.bus.users import (
    appliance_permissions,
    control_permissions,
    new_user,
    orchestrator_permissions,
)
from appliance.launch import launch_argv
from appliance.logs import get_logger
from orchestrator.nats_binary import NatsServerError, find_binary
from orchestrator.nats_files import ServerFiles
from orchestrator.state_dir import Held

log = get_logger(__name__)

_START = 15.0
"""Seconds in which a start must be ready; a large store is read first."""
_STOP = 5.0
_MAX_PAYLOAD = 8 * 1024 * 1024
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
        self._files = ServerFiles(held.path / "nats")
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
        await to_thread.run_sync(self._files.prepare)
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

    def _configuration(self) -> dict[str, Any]:
        jetstream: dict[str, Any] = {"store_dir": str(self._files.store)}
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
            "ports_file_dir": str(self._files.directory),
            "max_payload": _MAX_PAYLOAD,
            "jetstream": jetstream,
            "authorization": {"users": users},
        }

    async def _start(self) -> None:
        """Raises NatsServerError."""
        output = await to_thread.run_sync(self._files.begin, self._configuration())
        try:
            # A session of its own: Ctrl-C is for us, who still need the bus to end in order.
            self._process = await anyio.open_process(
                launch_argv([str(self._binary), "-c", str(self._files.configuration)]),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=output,
                start_new_session=True,
            )
        finally:
            output.close()
        process = self._process
        with anyio.move_on_after(_START):
            while process.returncode is None:
                if await self._is_ready(process):
                    return
                await anyio.sleep(0.02)
        code = process.returncode
        if code is None:
            await self._stop()
            complaint = await to_thread.run_sync(self._files.complaint)
            raise NatsServerError(f"nats-server was not ready after {_START:.0f} s:\n{complaint}")
        raise NatsServerError(await to_thread.run_sync(self._files.explain, code, self._port))

    async def _is_ready(self, process: Process) -> bool:
        if not self._port:
            written: int | None = await to_thread.run_sync(self._files.port, process.pid)
            self._port = written or 0
            return False
        try:
            with anyio.fail_after(1):
                async with await anyio.connect_tcp("127.0.0.1", self._port) as stream:
                    line = await stream.receive()
            information = json.loads(line.removeprefix(b"INFO ").split(b"\r\n", 1)[0])
        except (OSError, TimeoutError, anyio.EndOfStream, anyio.BrokenResourceError, ValueError):
            return False
        return bool(information.get("server_name") == self._name)

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
