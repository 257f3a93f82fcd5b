"""A process as a service manager keeps it: started again a moment after it has died."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.acceptance.chaos.processes import descendants

AGAIN_S = 1.0
END_S = 20.0


@dataclass(slots=True)
class Service:
    name: str
    command: Sequence[str]
    log: Path
    env: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    starts: int = 0
    _died: float | None = None

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self.env},
                start_new_session=True,
            )
        self.starts += 1
        self._died = None

    def keep(self) -> None:
        """Call often: it starts the process again AGAIN_S after its death."""
        if self.alive:
            return
        now = time.monotonic()
        if self._died is None:
            self._died = now
        elif now - self._died >= AGAIN_S:
            self.start()

    def signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def family(self) -> list[int]:
        return [self.pid, *descendants(self.pid)] if self.alive else []

    def end(self) -> None:
        """Asked to, and killed if it does not."""
        if self.process is None:
            return
        family = self.family()
        for pid in family:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        self.signal(signal.SIGTERM)
        try:
            self.process.wait(END_S)
        except subprocess.TimeoutExpired:
            for pid in family:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.process.wait()
