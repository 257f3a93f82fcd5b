"""Virtual environments of their own for other people's programs, so that what they need never meets what we need.

Each is made from a lock file with hashes beside this module when it is missing, or when that file has changed.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
PLACE = ROOT / ".venv-peers"
INSTALL_S = 540.0


def environment(name: str, complete: Callable[[Path], None] = lambda _: None) -> Path:
    """The directory of the environment that `name`.lock describes; `complete` adds to it when it is made.

    Fails the test with pip's own words when it cannot be made.
    """
    described = hashlib.sha256((HERE / f"{name}.lock").read_bytes()).hexdigest()
    where = PLACE / name
    stamp = where / "made-from"
    PLACE.mkdir(exist_ok=True)
    with (PLACE / f"{name}.busy").open("w") as busy:
        fcntl.flock(busy, fcntl.LOCK_EX)
        if not stamp.is_file() or stamp.read_text() != described:
            shutil.rmtree(where, ignore_errors=True)
            _run(sys.executable, "-m", "venv", where)
            pip(where, "install", "--require-hashes", "-r", HERE / f"{name}.lock")
            complete(where)
            stamp.write_text(described)
    return where


def pip(where: Path, command: str, *arguments: str | Path) -> None:
    _run(where / "bin" / "python", "-m", "pip", command, "-qq", "--no-input", "--disable-pip-version-check", *arguments)


def _run(*command: str | Path) -> None:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, timeout=INSTALL_S)
    if done.returncode:
        pytest.fail(f"{' '.join(map(str, command))}: {done.stderr.strip()}", pytrace=False)
