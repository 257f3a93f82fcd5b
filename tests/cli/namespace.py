"""Mounts that only a test sees."""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.cli.conftest import PASSWORD

mounts = pytest.mark.skipif(os.geteuid() != 0, reason="mounts something, which needs root")


def in_namespace(script: str) -> subprocess.CompletedProcess[str]:
    """A script in a mount namespace of its own."""
    return subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", script],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
        env={**os.environ, **PASSWORD},
    )
