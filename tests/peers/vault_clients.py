"""Other people's clients of Secret Server, in a virtual environment of their own.

It is made once, below the checkout, from a lock file with hashes; a changed lock file makes it anew. The SDK's own
tests are not installed with it: they come from its source distribution, under the same hashes.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
LOCK = Path(__file__).with_name("vault_clients.lock")
PLACE = ROOT / ".venv-peers" / "vault-clients"
SDK = "python-tss-sdk"
INSTALL_S, RUN_S = 540, 120


@dataclass(frozen=True, slots=True)
class Clients:
    """`bin` has python, pytest and ansible-playbook; `sdk` is the SDK's unpacked source distribution."""

    bin: Path
    sdk: Path

    def run(
        self, command: str, *arguments: str | Path, cwd: Path, env: Mapping[str, str]
    ) -> subprocess.CompletedProcess[str]:
        """One of their programs to its end, in an environment that has nothing of ours but a PATH."""
        clean = {"PATH": f"{self.bin}:/usr/bin:/bin", "HOME": str(cwd), "LC_ALL": "C.UTF-8", **env}
        argv = [str(self.bin / command), *map(str, arguments)]
        return subprocess.run(argv, cwd=cwd, env=clean, capture_output=True, text=True, check=False, timeout=RUN_S)


def installed() -> Clients:
    """Made when it is missing. Fails the test with pip's own words where it cannot be."""
    stamp = PLACE / "made-from"
    wanted = hashlib.sha256(LOCK.read_bytes()).hexdigest()
    if not stamp.exists() or stamp.read_text() != wanted:
        shutil.rmtree(PLACE, ignore_errors=True)
        _run(sys.executable, "-m", "venv", PLACE)
        _pip("install", "--require-hashes", "-r", LOCK)
        _unpack_sdk()
        stamp.write_text(wanted)
    (sdk,) = PLACE.glob("sdk/*/")
    return Clients(PLACE / "bin", sdk)


def _unpack_sdk() -> None:
    (locked,) = re.findall(rf"^{SDK}==.*(?:\n    --hash=.*)+", LOCK.read_text(), re.MULTILINE)
    one = PLACE / "sdk.lock"
    one.write_text(locked)
    # Its metadata is made by the build backend that the lock file has.
    how = ("--no-deps", "--no-build-isolation", "--no-binary", SDK, "--require-hashes")
    _pip("download", *how, "-r", one, "-d", PLACE)
    (archive,) = PLACE.glob("python_tss_sdk-*.tar.gz")
    with tarfile.open(archive) as tar:
        tar.extractall(PLACE / "sdk", filter="data")


def _pip(*arguments: str | Path) -> None:
    quiet = ("--quiet", "--no-input", "--disable-pip-version-check")
    _run(PLACE / "bin" / "python", "-m", "pip", arguments[0], *quiet, *arguments[1:])


def _run(*command: str | Path) -> None:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, timeout=INSTALL_S)
    if done.returncode:
        pytest.fail(f"the clients cannot be installed: {done.stderr.strip()}")


@contextmanager
def served_vault(state: Path, estate: str = "") -> Iterator[dict[str, Any]]:
    """A simulated vault in a process of its own, by https, the sample where no estate is given; its ready line."""
    command = [sys.executable, "-m", "targets", "--state", str(state), "--vault-only", "--tls"]
    if estate:
        (state / "estate.toml").write_text(estate)
        command.append(str(state / "estate.toml"))
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=os.environ.copy()) as process:
        try:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline())
        finally:
            process.terminate()
            process.wait(10)
