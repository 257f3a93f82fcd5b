"""What only a cluster of real servers shows: copies, and that the loss of a server is survived by all sides."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import pytest
from structlog.testing import capture_logs

from appliance.bus import ApplianceBus, OrchestratorBus, Timing, subjects
from appliance.bus.appliance_side import connect_appliance
from appliance.bus.orchestrator_side import connect_orchestrator
from appliance.bus.users import appliance_permissions, new_user
from tests.contract.test_bus import job, notice, outcome
from tests.peers.cluster import Cluster, running_cluster

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

ORCHESTRATOR, ALPHA = new_user(), new_user()
MANY = 40
JOBS = subjects.jobs_stream("z")


def users() -> str:
    allowed = json.dumps(appliance_permissions("z", "alpha"))
    known = f'{{"nkey": "{ORCHESTRATOR.public}"}}, {{"nkey": "{ALPHA.public}", "permissions": {allowed}}}'
    return f"authorization {{ users: [ {known} ] }}\n"


@dataclass(slots=True)
class Sides:
    cluster: Cluster
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def orchestrator(self) -> OrchestratorBus:
        bus = await connect_orchestrator(self.cluster.url, seed=ORCHESTRATOR.seed, timing=Timing())
        return await self.stack.enter_async_context(bus)

    async def appliance(self) -> ApplianceBus:
        bus = await connect_appliance(self.cluster.url, name="alpha", zone="z", seed=ALPHA.seed, timing=Timing())
        return await self.stack.enter_async_context(bus)


@asynccontextmanager
async def sides(directory: Path, servers: int = 3) -> AsyncIterator[Sides]:
    with running_cluster(directory, users(), hosts=("127.0.0.1",) * servers) as cluster:
        both = Sides(cluster)
        async with both.stack:
            yield both


async def test_every_stream_has_three_copies(tmp_path: Path) -> None:
    async with sides(tmp_path) as both:
        bus = await both.orchestrator()
        await bus.open_zone("z")
        await bus.open_run(notice(), 10)
        named = {JOBS, subjects.OUTCOMES, subjects.HEARTBEATS, subjects.RUNS, subjects.LOGINS}
        assert {name: both.cluster.copies(name) for name in both.cluster.streams()} == dict.fromkeys(named, 3)


async def test_fewer_servers_than_copies(tmp_path: Path) -> None:
    async with sides(tmp_path, servers=2) as both:
        bus = await both.orchestrator()
        with capture_logs() as logs:
            await bus.open_zone("z")
        assert {both.cluster.copies(name) for name in both.cluster.streams()} == {1}
        assert JOBS in {line["stream"] for line in logs if line["event"] == "bus.not_replicated"}


@pytest.mark.skipif(os.name != "posix", reason="ends a server by a signal")
@pytest.mark.parametrize("which", ["leader", "own"])
async def test_a_server_dies_and_all_jobs_get_through(tmp_path: Path, which: str) -> None:
    async with sides(tmp_path) as both:
        bus, appliance = await both.orchestrator(), await both.appliance()
        await bus.open_zone("z")
        await bus.open_run(notice(), MANY)
        jobs = [job(f"j{number}") for number in range(MANY)]
        placed = await bus.put(jobs[: MANY // 2])
        assert None not in placed
        cluster = both.cluster
        victim = cluster.leader(JOBS) if which == "leader" else cluster.nodes[0]
        assert victim is not None
        victim.signal(signal.SIGKILL)
        assert None not in await bus.put(jobs[MANY // 2 :])
        seen: set[str] = set()
        with anyio.fail_after(60):
            while len(seen) < MANY:
                if not (leases := await appliance.lease("r1", MANY, 1.0)):
                    continue
                await appliance.publish(*(outcome(lease.job) for lease in leases))
                await appliance.done(*leases)
                seen |= {lease.job.job for lease in leases}
        assert seen == {one.job for one in jobs}
