"""What the embedded server keeps on disk, beside its store. Blocking: called from worker threads."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from orchestrator.nats_binary import NatsServerError

_MIN_FREE = 64 * 1024 * 1024


class ServerFiles:
    """The server's directory: configuration, store, log of the present start, the file in which it names its port."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @property
    def configuration(self) -> Path:
        return self.directory / "server.conf"

    @property
    def store(self) -> Path:
        return self.directory / "store"

    def prepare(self) -> None:
        """Make the directory and see that it can be written. Raises NatsServerError."""
        probe = self.directory / "probe"
        try:
            self.directory.mkdir(mode=0o700, exist_ok=True)
            probe.write_bytes(b"x")
            probe.unlink()
            free = shutil.disk_usage(self.directory).free
        except OSError as error:
            raise NatsServerError(f"{self.directory} cannot be written ({error.strerror}): make it writable") from error
        if free < _MIN_FREE:
            raise NatsServerError(
                f"the file system of {self.directory} is full ({free // 2**20} MiB left): free at least 64 MiB"
            )

    def begin(self, configuration: Mapping[str, Any]) -> IO[bytes]:
        """Write the configuration of a start; a fresh log, open for its output. Raises NatsServerError."""
        try:
            for stale in self.directory.glob("*.ports"):
                stale.unlink(missing_ok=True)
            with _private(self.configuration) as file:
                # JSON is a subset of the server's configuration language.
                file.write(json.dumps(configuration, indent=1).encode())
            return _private(self.directory / "server.log")
        except OSError as error:
            raise NatsServerError(f"{self.directory} cannot be written ({error.strerror}): make it writable") from error

    def port(self, pid: int) -> int | None:
        """The port that the server has taken; None as long as it has not said so."""
        try:
            (written,) = self.directory.glob(f"*_{pid}.ports")
            return int(json.loads(written.read_bytes())["nats"][0].rsplit(":", 1)[1])
        except (OSError, ValueError, LookupError):
            return None  # not written yet, or half written

    def complaint(self) -> str:
        """What the present start said last; its errors, if it said any."""
        lines = (self.directory / "server.log").read_text(errors="replace").splitlines()
        return "\n".join([line for line in lines if "[FTL]" in line or "[ERR]" in line][-3:] or lines[-3:])

    def explain(self, code: int, port: int) -> str:
        """Why the server ended, and what to do."""
        text = self.complaint()
        lowered = text.lower()
        if "address already in use" in lowered:
            taken = f"port {port} of 127.0.0.1 is in use by another program"
            return f"{taken}: end it, or start again, which takes another port"
        if "no space left" in lowered or "insufficient storage" in lowered:
            return f"the store in {self.directory} is full: free disk space\n{text}"
        if "permission denied" in lowered or "read-only file system" in lowered:
            return f"the store in {self.directory} cannot be written: make it writable\n{text}"
        return f"nats-server ended with code {code}:\n{text}"


def _private(path: Path) -> IO[bytes]:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")
