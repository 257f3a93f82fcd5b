"""`python -m tests.bench.crowd [--targets 100000] [--fault leader]`: is a crowd counted exactly, whatever the bus does?

The whole product with logins that answer at once (tests.bench.scale says what that leaves out), on a cluster of three
nats-servers. In the middle of the run one of these is done to it:

 leader    the server that leads the reports is killed, and stays dead
 truncate  a server is killed, half of its newest block file is cut off, and it comes back
 flip      the same, with one byte of it turned over
 wipe      all three are killed, lose all that they have stored, and come back

The run must end with one outcome for every target: the store is the truth, and what the bus loses is done again.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
from anyio import to_thread

from appliance.bus import subjects
from appliance.bus.users import appliance_permissions, new_user
from orchestrator.controller import RunController
from orchestrator.state_dir import Held, StateDir
from tests.bench.scale_run import APPLIANCE, ZONE, Bus, campaign_of, execute, running
from tests.peers.cluster import Cluster, running_cluster

TARGETS = 100_000
CAPACITY, PROCESSES = 256, 2
LOOK_S = 0.02
DEADLINE_S = 5.0
"""What may still be in an appliance's hands when the bus has lost its report is waited for so long."""


def kill_leader(cluster: Cluster) -> None:
    leader = cluster.leader(subjects.OUTCOMES)
    assert leader is not None
    leader.kill()


def truncate(cluster: Cluster) -> None:
    _damage(cluster, lambda content: content[: len(content) // 2])


def flip(cluster: Cluster) -> None:
    def turned(content: bytes) -> bytes:
        at = len(content) * 2 // 3
        return content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :]

    _damage(cluster, turned)


def wipe(cluster: Cluster) -> None:
    for node in cluster.nodes:
        node.kill()
    for node in cluster.nodes:
        node.wipe()
        node.start()


def _damage(cluster: Cluster, change: Callable[[bytes], bytes]) -> None:
    """Whoever leads the jobs: its copy is the one that is read from."""
    node = cluster.leader(subjects.jobs_stream(ZONE))
    assert node is not None
    node.kill()
    blocks = sorted(
        node.store.rglob(f"{subjects.jobs_stream(ZONE)}/msgs/*.blk"), key=lambda block: block.stat().st_size
    )
    assert blocks, "the stream lies in block files"
    assert blocks[-1].stat().st_size, "and there is something in them"
    blocks[-1].write_bytes(change(blocks[-1].read_bytes()))
    node.start()


FAULTS: dict[str, Callable[[Cluster], None]] = {
    "leader": kill_leader,
    "truncate": truncate,
    "flip": flip,
    "wipe": wipe,
}


@asynccontextmanager
async def clustered(home: Path) -> AsyncIterator[tuple[Cluster, Bus]]:
    """Three servers, and the two users' logins there."""
    orchestrator, appliance = new_user(), new_user()
    allowed = json.dumps(appliance_permissions(APPLIANCE.zone, APPLIANCE.name))
    known = f'{{"nkey": "{orchestrator.public}"}}, {{"nkey": "{appliance.public}", "permissions": {allowed}}}'
    with running_cluster(home, f"authorization {{ users: [ {known} ] }}\n") as cluster:
        yield cluster, Bus(cluster.url, orchestrator.seed, appliance.seed)


async def crowd(home: Path, targets: int, fault: str) -> tuple[float, float]:
    """Seconds that the run took, and of them those after the fault. Raises AssertionError when it was not exact."""
    held = StateDir(home / "state").acquire()
    assert isinstance(held, Held)
    campaign, controllers = campaign_of(targets, CAPACITY, DEADLINE_S), list[RunController]()
    struck = 0.0
    with held:
        async with clustered(home) as (cluster, bus), running(held, campaign, PROCESSES, bus) as (engine, _):
            await engine.wait_for_appliance()

            async def strike() -> None:
                nonlocal struck
                while not controllers or controllers[0].progress().done < targets // 2:  # noqa: ASYNC110 - it has none
                    await anyio.sleep(LOOK_S)
                await to_thread.run_sync(FAULTS[fault], cluster)
                struck = time.monotonic()

            began = time.monotonic()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(strike, name=f"crowd: {fault}")
                await execute(engine, campaign, controllers.append)
            ended = time.monotonic()
    assert struck, "the run was over before anything happened to it"
    return ended - began, ended - struck


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.crowd")
    parser.add_argument("--targets", type=int, default=TARGETS)
    parser.add_argument("--fault", choices=FAULTS, default="leader")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="keymuster-crowd-") as home:
        took, after = anyio.run(crowd, Path(home), given.targets, given.fault, backend_options={"use_uvloop": True})
    print(
        f"{given.targets:,} targets, {given.fault} in the middle: one outcome each, all passed; "
        f"{took:.1f} s, {after:.1f} of them after the fault"
    )


if __name__ == "__main__":
    main()
