"""`keymuster serve` as a service manager starts it: its log lines, its pages, its end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.acceptance.chaos.processes import until
from tests.acceptance.product import KEYMUSTER

HTTP_S = 20


@dataclass(frozen=True, slots=True)
class Served:
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Its log lines so far: each is a JSON object."""
        return [json.loads(line) for line in self.log.read_text(encoding="utf-8").splitlines() if line.startswith("{")]

    def said(self, event: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["event"] == event]

    def hears(self, event: str) -> dict[str, Any]:
        """Waits for a line."""
        until(lambda: bool(self.said(event)) or self.process.poll() is not None, f"the line {event!r}")
        found = self.said(event)
        assert found, self.log.read_text(encoding="utf-8")
        return found[0]

    def page(self, path: str, method: str = "GET") -> tuple[int, str]:
        """Status and text."""
        url = self.hears("serving")["url"] + path
        request = urllib.request.Request(url, method=method)  # noqa: S310 - our own loopback URL
        try:
            with urllib.request.urlopen(request, timeout=HTTP_S) as answer:  # noqa: S310 - as above
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def end(self, number: signal.Signals = signal.SIGTERM, within: float = 60.0) -> int:
        self.process.send_signal(number)
        return self.process.wait(within)


@contextmanager
def serving(state: Path, *arguments: str | Path, env: Mapping[str, str] | None = None) -> Iterator[Served]:
    """On a free port, until the context is left."""
    log = state.parent / f"serve-{len(list(state.parent.glob('serve-*')))}.log"
    command = [str(KEYMUSTER), "serve", "--state", str(state), "--listen", "127.0.0.1:0", *map(str, arguments)]
    with (
        log.open("wb") as stderr,
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stderr=stderr,
            env={**os.environ, **(env or {})},
            start_new_session=True,
        ) as process,
    ):
        try:
            yield Served(process, log)
        finally:
            process.kill()
