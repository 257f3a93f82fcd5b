"""The embedded appliance: a supervisor that is our child, and hears from us through its standard input.

Vault logins go down that pipe, so it is the one place outside the appliance's memory where they pass. The messages are
plain JSON here, since the orchestrator does not import the appliance; `tests/contract` holds both ends to one form.
A supervisor that ends is started again, and told everything anew.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import anyio
from anyio.abc import Process, SocketStream

from appliance.contract import processes_for
from appliance.launch import launch_argv
from appliance.logs import get_logger

RESTART_S = 0.5
STOP_S = 20.0

log = get_logger()


@dataclass(frozen=True, slots=True)
class Login:
    """A vault's login on its way to the supervisor."""

    access: Mapping[str, Any]
    """Title, url, user, tls and requests, in the form of `VaultAccess`."""
    domain: str
    password: str = field(repr=False)
    client_key: str = field(default="", repr=False)
    """Of the certificate in `access`, PEM text; empty where the vault is shown none."""

    def message(self) -> dict[str, Any]:
        access = dict(self.access)
        if self.client_key:
            access["tls"] = {**access["tls"], "client_key": self.client_key}
        return {"access": access, "password": self.password, "domain": self.domain, "version": "1"}

    @classmethod
    def of(cls, message: Mapping[str, Any]) -> Self:
        """The other way round."""
        access = dict(message["access"])
        key = ""
        if "client_key" in access.get("tls", ()):
            access["tls"] = dict(access["tls"])
            key = access["tls"].pop("client_key")
        return cls(access, message["domain"], message["password"], key)


@dataclass(frozen=True, slots=True)
class Admission:
    """What a run may use: the networks it may dial, the weakest host-key policy, its vaults."""

    run: str
    networks: tuple[str, ...]
    host_keys: str
    logins: tuple[Login, ...]

    def message(self) -> dict[str, Any]:
        logins = [login.message() for login in self.logins]
        return {
            "kind": "admit",
            "run": self.run,
            "networks": self.networks,
            "host_keys": self.host_keys,
            "logins": logins,
        }


def scan_processes(capacity: int) -> int:
    """How many the embedded appliance has on this machine."""
    return min(os.cpu_count() or 1, capacity)


class ApplianceChild:
    """Keeps one supervisor process running."""

    def __init__(
        self,
        *,
        name: str,
        zone: str,
        bus_url: str,
        bus_seed: str,
        capacity: int,
        log_file: Path,
        fast_path: bool = True,
    ) -> None:
        self._capacity, self._processes = capacity, scan_processes(capacity)
        self._identity = {
            "kind": "identity",
            "appliance": name,
            "zone": zone,
            "bus": {"url": bus_url, "seed": bus_seed},
            "capacity": capacity,
            "processes": self._processes,
            "fast_path": fast_path,
        }
        self._log_file = log_file
        self._admissions: dict[str, Admission] = {}
        self._pipe: SocketStream | None = None
        self._telling = anyio.Lock()
        self._process: Process | None = None

    def processes_for(self, targets: int) -> int:
        """Scan processes that it keeps for a run of so many targets."""
        return processes_for(targets, self._capacity, self._processes)

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    async def admit(self, admission: Admission) -> None:
        self._admissions[admission.run] = admission
        await self._tell(admission.message())

    async def dismiss(self, run: str) -> None:
        if self._admissions.pop(run, None) is not None:
            await self._tell({"kind": "dismiss", "run": run})

    async def run(self) -> None:
        """Until cancelled; then drained, and ended if it does not drain in STOP_S."""
        try:
            while True:
                await self._start()
                assert self._process is not None  # noqa: S101 - `_start` has set it
                code = await self._process.wait()
                await self._drop_pipe()
                log.warning("appliance ended; starting it again", code=code)
                await anyio.sleep(RESTART_S)
        finally:
            with anyio.CancelScope(shield=True):
                await self._stop()

    async def _start(self) -> None:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        argv = launch_argv([sys.executable, "-m", "appliance", "--embedded"])
        with theirs, self._log_file.open("ab") as output:
            # A session of its own: Ctrl-C is for us; we tell the appliance what it means.
            self._process = await anyio.open_process(
                argv, stdin=theirs.fileno(), stdout=subprocess.DEVNULL, stderr=output, start_new_session=True
            )
        async with self._telling:  # a run that is admitted meanwhile comes after the identity
            self._pipe = await SocketStream.from_socket(ours)
            for message in [self._identity, *(admission.message() for admission in self._admissions.values())]:
                await self._send(message)

    async def _stop(self) -> None:
        process = self._process
        if process is not None and process.returncode is None:
            with anyio.move_on_after(STOP_S):
                await self._tell({"kind": "drain"})
                await process.wait()
            if process.returncode is None:
                process.kill()
                await process.wait()
        await self._drop_pipe()

    async def _tell(self, message: Mapping[str, Any]) -> None:
        async with self._telling:
            await self._send(message)

    async def _send(self, message: Mapping[str, Any]) -> None:
        """A message that a dead supervisor does not hear is told again to the next one."""
        if self._pipe is None:
            return
        try:
            await self._pipe.send(json.dumps(message).encode() + b"\n")
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            log.info("the appliance is not listening")

    async def _drop_pipe(self) -> None:
        pipe, self._pipe = self._pipe, None
        if pipe is not None:
            await pipe.aclose()
