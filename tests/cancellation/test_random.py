"""A thousand logins that are cancelled at any moment: nothing is left of them, and the next one works."""

from __future__ import annotations

import asyncio
import gc
import random
from collections import Counter
from pathlib import Path

import anyio
import pytest

from appliance.contract import Technology
from appliance.vault.credential import Credential
from tests.peers.attempt import attempt, make_job
from tests.unit.targets.targets_lab import running

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

CANCELLED = 500
"""Of each technology."""
AT_ONCE = 10
LONGEST_S = 0.25
"""Several times what a login takes here, however busy the machine."""
NETWORKS = {Technology.UNIX: "127.94.0.0/24", Technology.WINDOWS: "127.95.0.0/24"}


def held() -> Counter[str]:
    """What a login could leave behind, counted."""
    gc.collect()
    greenlets = sum(type(thing).__name__ == "greenlet" for thing in gc.get_objects())
    descriptors = sum(1 for _ in Path("/proc/self/fd").iterdir())
    return Counter(greenlets=greenlets, descriptors=descriptors, tasks=len(asyncio.all_tasks()))


@pytest.mark.parametrize("technology", Technology)
async def test_nothing_is_left_of_logins_that_are_cancelled_at_any_moment(
    technology: Technology, tmp_path: Path
) -> None:
    estate = f'[[hosts]]\ncount = {AT_ONCE}\ntechnology = "{technology}"\nnetwork = "{NETWORKS[technology]}"\n'
    rng = random.Random(11)  # noqa: S311 - the same moments every time
    cancelled = 0
    async with running(estate, tmp_path) as (ready, world):
        port = ready.ssh_port if technology is Technology.UNIX else ready.smb_port

        async def log_in(address: str) -> str:
            secret = world.estate.secrets[world.estate.hosts[address].secret].material
            job = make_job(technology, world.estate.hosts[address].user, port, address=address)
            return (await attempt(job, Credential(password=secret.password))).reason

        async def be_cancelled(address: str) -> None:
            nonlocal cancelled
            for _ in range(CANCELLED // AT_ONCE):
                with anyio.move_on_after(rng.uniform(0, LONGEST_S) ** 2 / LONGEST_S) as scope:
                    assert await log_in(address) == "PASSED"
                cancelled += scope.cancelled_caught

        first = next(iter(world.estate.hosts))
        assert await log_in(first) == "PASSED"
        before = held()
        async with anyio.create_task_group() as tasks:
            for address in world.estate.hosts:
                tasks.start_soon(be_cancelled, address)
        assert cancelled > CANCELLED // 4
        assert await log_in(first) == "PASSED"
        for _ in range(100):  # the hosts, in this process too, hear of the last cut a moment later
            if held() == before:
                break
            await anyio.sleep(0.1)
        assert held() == before
