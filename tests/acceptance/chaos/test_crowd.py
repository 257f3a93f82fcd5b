"""A crowd on a cluster to which something is done in the middle: one outcome for each, whatever the bus has lost."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.acceptance.chaos.estates import ROOT
from tests.bench.crowd import FAULTS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

TARGETS = 3_000


@pytest.mark.parametrize("fault", FAULTS)
def test_exact(fault: str) -> None:
    command = [sys.executable, "-m", "tests.bench.crowd", "--targets", str(TARGETS), "--fault", fault]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"{TARGETS:,} targets, {fault} in the middle: one outcome each, all passed" in done.stdout
