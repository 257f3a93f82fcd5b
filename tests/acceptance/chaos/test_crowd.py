"""A crowd on a cluster to which something is done in the middle: one outcome for each, whatever the bus has lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench.crowd import FAULTS, crowd

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

TARGETS = 4_000


@pytest.mark.parametrize("fault", FAULTS)
async def test_exact(tmp_path: Path, fault: str) -> None:
    await crowd(tmp_path, TARGETS, fault)
