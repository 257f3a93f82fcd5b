"""Half a minute of `make fuzz`: other cases each day, so that a year sees many."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from appliance.contract import Technology
from tests.fuzz.cases import peer_of, search

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

CASES = {Technology.UNIX: 500, Technology.WINDOWS: 500}


@pytest.mark.parametrize("technology", Technology)
async def test_whatever_a_server_sends_an_attempt_ends_in_evidence(technology: Technology, tmp_path: Path) -> None:
    seed = dt.datetime.now(dt.UTC).date().toordinal()
    async with peer_of(technology, tmp_path) as peer:
        found = await search(peer, seed, range(CASES[technology]))
    assert not found.wrong, "\n".join(found.wrong)
    assert found.ended.total() == CASES[technology]
    # The changes come at every step: before the login, at it, and after it.
    assert len(found.ended) >= 8, found.ended
