"""The real command line under test: started as a user starts it, and what it leaves."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.acceptance.chaos.estates import HOSTS
from tests.acceptance.chaos.processes import until

KEYMUSTER = Path(sys.executable).parent / "keymuster"
_RUN_ID = re.compile(r"^run (\d{8}-\d{6}-[0-9a-f]{4}):", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Report:
    """A run's report, as `--format json` writes it."""

    document: dict[str, Any]

    @property
    def reasons(self) -> Counter[str]:
        return Counter(target["reason"] for target in self.document["targets"])

    def texts(self, reason: str) -> set[str]:
        return {t["evidence"]["text"] for t in self.document["targets"] if t["reason"] == reason}

    def is_exact(self, planned: int = HOSTS) -> None:
        """One outcome per target, and totals that add up."""
        totals = self.document["totals"]
        named = Counter(target["target"] for target in self.document["targets"])
        assert len(named) == planned
        assert set(named.values()) == {1}
        parts = ("passed", "passed_limited", "failed", "not_attempted")
        assert totals["planned"] == planned == sum(totals[part] for part in parts)
        assert (totals["open"], totals["complaint"]) == (0, None)


class Command:
    """A `keymuster` process in a session of its own, with its output in files."""

    _started = 0

    def __init__(self, state: Path, *arguments: str) -> None:
        Command._started += 1
        name = state.parent / f"command-{Command._started}"
        self._stdout, self._stderr = name.with_suffix(".out"), name.with_suffix(".err")
        with self._stdout.open("wb") as out, self._stderr.open("wb") as err:
            self.process = subprocess.Popen(
                [str(KEYMUSTER), "-v", *arguments, "--state", str(state), "--format", "json"],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def said(self) -> str:
        return self._stderr.read_text(encoding="utf-8")

    @property
    def run(self) -> str:
        """The run's id, once it has been said."""
        until(lambda: bool(_RUN_ID.search(self.said)) or self.process.poll() is not None, "the run's id")
        found = _RUN_ID.search(self.said)
        assert found, self.said
        return found[1]

    def interrupt(self, number: signal.Signals = signal.SIGINT) -> None:
        """As a terminal does it: to the whole foreground process group."""
        os.killpg(self.pid, number)

    def wait(self, within: float = 90.0) -> int:
        try:
            return self.process.wait(within)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still at work after {within:g} s:\n{self.said}") from None

    def report(self) -> Report:
        try:
            return Report(json.loads(self._stdout.read_text(encoding="utf-8")))
        except ValueError:
            raise AssertionError(f"no report:\n{self.said}") from None

    def end(self) -> None:
        """For a test that has failed."""
        if self.process.poll() is None:
            with suppress(ProcessLookupError):
                self.process.kill()
            self.process.wait()
