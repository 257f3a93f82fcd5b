"""`keymuster` as users run it: a command in a process of its own, its exit code, and what it wrote."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.acceptance import forked

KEYMUSTER = Path(sys.executable).parent / "keymuster"
AGAIN_S = 1.0
ENDS_WITHIN_S = 90.0
"""No command of these tests takes that long, even on a loaded machine."""


@dataclass(frozen=True, slots=True)
class Ended:
    code: int
    stdout: str
    stderr: str

    @property
    def document(self) -> dict[str, Any]:
        """The JSON on stdout."""
        assert self.stdout, f"nothing on stdout, exit {self.code}:\n{self.stderr}"
        return dict(json.loads(self.stdout))

    @property
    def targets(self) -> list[dict[str, Any]]:
        """A report's rows; one per target and technology, and totals that add up."""
        rows: list[dict[str, Any]] = self.document["targets"]
        named = Counter((row["target"], row["technology"]) for row in rows)
        totals = self.document["totals"]
        parts = ("passed", "passed_limited", "failed", "not_attempted")
        assert set(named.values()) <= {1}
        assert totals["planned"] == len(rows) == sum(totals[part] for part in parts)
        assert (totals["open"], totals["complaint"]) == (0, None)
        return rows

    @property
    def reasons(self) -> dict[str, str]:
        """By target; for campaigns of one technology."""
        return {row["target"]: row["reason"] for row in self.targets}


@dataclass(frozen=True, slots=True)
class Product:
    """A state directory, and commands on it."""

    state: Path

    def command(self, *arguments: str | Path) -> list[str]:
        return [str(KEYMUSTER), *map(str, arguments), "--state", str(self.state)]

    def __call__(self, *arguments: str | Path, env: Mapping[str, str] | None = None) -> Ended:
        """Run a command to its end; `env` is added to ours."""
        return self._ended(self.command(*arguments)[1:], env)

    def stateless(self, *arguments: str | Path, env: Mapping[str, str] | None = None) -> Ended:
        """A command that has no state directory."""
        return self._ended([*map(str, arguments)], env)

    @staticmethod
    def _ended(arguments: list[str], env: Mapping[str, str] | None) -> Ended:
        whole = {**os.environ, **(env or {})}
        if (template := forked.there()) is not None:
            done = template.run(arguments, whole, ENDS_WITHIN_S)
        else:
            done = subprocess.run(
                [str(KEYMUSTER), *arguments],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                timeout=ENDS_WITHIN_S,
                env=whole,
                start_new_session=True,
            )
        return Ended(done.returncode, done.stdout, done.stderr)

    def run(self, campaign: Path, env: Mapping[str, str] | None = None) -> Ended:
        return self("run", campaign, "--format", "json", env=env)

    def planned_runs(self) -> list[dict[str, Any]]:
        runs: list[dict[str, Any]] = self("runs", "--json").document["runs"]
        return runs


def result_lines(row: Mapping[str, Any]) -> dict[str, str]:
    """A row's RESULT, label by label."""
    return dict(line.split("\t", 1) for line in row["result"].splitlines())


def abort(run: subprocess.Popen[Any]) -> None:
    """End a run at once: told once, it would wait for what is in flight."""
    while run.poll() is None:
        run.terminate()
        with suppress(subprocess.TimeoutExpired):
            run.wait(AGAIN_S)
