"""Other people's REST clients of Secret Server, in an environment of their own.

The SDK's own tests are not installed with it: they come from its source distribution, under the same hashes.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.peers.environments import HERE, ROOT, environment, pip

SDK = "python-tss-sdk"
RUN_S = 120


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
    """Made when they are missing. Fails the test with pip's own words where they cannot be."""
    where = environment("vault_clients", _unpack_sdk)
    (sdk,) = where.glob("sdk/*/")
    return Clients(where / "bin", sdk)


def _unpack_sdk(where: Path) -> None:
    (locked,) = re.findall(rf"^{SDK}==.*(?:\n    --hash=.*)+", (HERE / "vault_clients.lock").read_text(), re.MULTILINE)
    one = where / "sdk.lock"
    one.write_text(locked)
    how = ("--no-deps", "--no-build-isolation", "--no-binary", SDK, "--require-hashes")
    pip(where, "download", *how, "-r", one, "-d", where)
    (archive,) = where.glob("python_tss_sdk-*.tar.gz")
    with tarfile.open(archive) as tar:
        tar.extractall(where / "sdk", filter="data")


@contextmanager
def served_vault(state: Path, estate: str = "", *, tls: bool = True) -> Iterator[dict[str, Any]]:
    """A simulated vault in a process of its own, by https, the sample where no estate is given; its ready line."""
    command = [sys.executable, "-m", "targets", "--state", str(state), "--vault-only", *(["--tls"] if tls else [])]
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
