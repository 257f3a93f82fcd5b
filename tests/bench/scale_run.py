"""One run of a benchmark of scale, in a process of its own: `python -m tests.bench.scale_run --targets N`.

This process is the orchestrator: engine, service, store and pacer as `keymuster run` has them, with the embedded
nats-server and a stand-alone appliance as its children. It prints one JSON object (`Measured`).
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from ipaddress import IPv4Address
from pathlib import Path

import anyio
from anyio.abc import Process

from appliance.bus.orchestrator_side import connect_orchestrator
from appliance.launch import launch_argv
from appliance.long_lived import settle_in
from orchestrator.assembly import Selection, prepare, run_id
from orchestrator.campaign_model import Campaign
from orchestrator.cli.arguments import Home
from orchestrator.cli.engine import Engine, campaign_networks
from orchestrator.cli.executing import Stretch
from orchestrator.cli.storing import open_in
from orchestrator.controller import RunController
from orchestrator.course import Course
from orchestrator.nats_server import ApplianceUser, EmbeddedServer
from orchestrator.plan import NothingSelected
from orchestrator.service import Service
from orchestrator.state_dir import Held, StateDir
from tests.bench.processes import cpu_of, rss_of
from tests.bench.scale_appliance import URL, VAULT

ZONE = "default"
APPLIANCE = ApplianceUser("bench", ZONE)
SAMPLE_S = 0.5


@dataclass(frozen=True, slots=True)
class Sample:
    """CPU seconds so far, by process (children of the appliance with it), and memory of the orchestrator, in KiB."""

    at: float
    done: int
    orchestrator: float
    nats: float
    appliance: float
    rss: int


@dataclass(frozen=True, slots=True)
class Measured:
    targets: int
    started_s: float
    """From the campaign to the first job on the bus."""
    samples: list[Sample]


def campaign_of(targets: int, capacity: int, deadline: float = 30.0) -> Campaign:
    last = IPv4Address("10.0.0.0") + targets - 1
    return Campaign.model_validate(
        {
            "name": "scale",
            "vaults": [
                {
                    "title": VAULT,
                    "type": "Thycotic Secret Server",
                    "url": URL,
                    "user": "svc",
                    "password": {"env": "NOT_READ"},
                }
            ],
            "records": [
                {
                    "title": "Unix",
                    "technology": "unix",
                    "user": "scan",
                    "vault": VAULT,
                    "secret": "unix-{address}",
                    "accounts": "local",
                    "host_keys": "any",
                    "ips": [f"10.0.0.0-{last}"],
                }
            ],
            "targets": {"include": [f"10.0.0.0-{last}"]},
            "pace": {"capacity": capacity, "deadline": f"{deadline:g}s"},
        }
    )


@dataclass(frozen=True, slots=True)
class Bus:
    """Where it is, and the logins there."""

    url: str
    orchestrator: str
    """Seeds of the two users; the second is APPLIANCE's."""
    appliance: str


@asynccontextmanager
async def embedded(held: Held) -> AsyncIterator[tuple[Bus, int]]:
    """The nats-server of a state directory, and its pid."""
    async with EmbeddedServer(held, [APPLIANCE]) as server, anyio.create_task_group() as tasks:
        tasks.start_soon(server.watch, name="engine: nats-server")
        yield Bus(server.url, server.orchestrator_seed, server.appliance_seeds[APPLIANCE]), server.pid
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def running(held: Held, campaign: Campaign, processes: int, at: Bus) -> AsyncIterator[tuple[Engine, int]]:
    """The engine, and the pid of the appliance."""
    store = await open_in(Home(held.path))
    bus = await connect_orchestrator(at.url, seed=at.orchestrator)
    await bus.open_zone(ZONE)
    settle_in()
    service = Service(store, bus, time.time)
    async with anyio.create_task_group() as tasks:
        await tasks.start(service.run, name="engine: service")
        told = {
            "name": APPLIANCE.name,
            "zone": ZONE,
            "url": at.url,
            "seed": at.appliance,
            "capacity": campaign.pace.capacity,
            "processes": processes,
            "networks": campaign_networks(campaign),
        }
        async with appliance(told) as child:
            yield Engine(store, service, bus, ZONE, None), child.pid
        tasks.cancel_scope.cancel()
    await bus.close()
    await store.close()


async def execute(engine: Engine, campaign: Campaign, opened: Callable[[RunController], None]) -> str:
    """Plan and run it to its end; the run's id. Every target has passed then."""
    run = run_id(time.time(), secrets.token_hex(2))
    prepared = prepare(campaign, Selection(), run=run, seed=secrets.randbits(32), now=time.time())
    assert not isinstance(prepared, NothingSelected)
    await engine.store.runs.add(prepared.record)
    course = Course(run, prepared.record.standing, engine.store.runs, time.time)
    assert await Stretch(engine, prepared, (), course).stint(opened), "the run was stopped"
    totals = await engine.store.attempts.totals(run)
    assert [(c.reason, c.number) for c in totals.counts] == [("PASSED", prepared.record.planned)], totals
    return run


@asynccontextmanager
async def appliance(told: dict[str, object]) -> AsyncIterator[Process]:
    command = launch_argv([sys.executable, "-m", "tests.bench.scale_appliance"])
    process = await anyio.open_process(command, stdin=subprocess.PIPE, stdout=None, stderr=None)
    try:
        assert process.stdin is not None
        await process.stdin.send(json.dumps(told).encode() + b"\n")
        yield process
    finally:
        with anyio.CancelScope(shield=True):
            with anyio.move_on_after(20):
                process.send_signal(signal.SIGTERM)
                await process.wait()
            if process.returncode is None:
                process.kill()
            await process.aclose()


async def measure(home: Path, targets: int, capacity: int, processes: int) -> Measured:
    held = StateDir(home / "state").acquire()
    assert isinstance(held, Held)
    campaign = campaign_of(targets, capacity)
    with held:
        async with embedded(held) as (bus, nats), running(held, campaign, processes, bus) as (engine, child):
            await engine.wait_for_appliance()
            samples: list[Sample] = []
            controllers: list[RunController] = []

            def sample() -> None:
                progress = controllers[0].progress() if controllers else None
                done = progress.done if progress else 0
                own = sum(os.times()[:2])
                samples.append(
                    Sample(time.monotonic(), done, own, cpu_of(nats), cpu_of(child, children=True), rss_of(os.getpid()))
                )

            async def watch() -> None:
                while True:
                    if controllers and (controllers[0].progress().in_flight or samples):
                        sample()
                    await anyio.sleep(SAMPLE_S if samples else 0.005)

            began = time.monotonic()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(watch, name="bench: samples")
                await execute(engine, campaign, controllers.append)
                tasks.cancel_scope.cancel()
            sample()
    return Measured(targets, samples[0].at - began, samples)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--targets", type=int, required=True)
    parser.add_argument("--capacity", type=int, default=256)
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="keymuster-scale-") as home:
        found = anyio.run(
            measure,
            Path(home),
            given.targets,
            given.capacity,
            given.processes,
            backend_options={"use_uvloop": bool(os.environ.get("UV"))},
        )
    print(json.dumps(asdict(found)))


if __name__ == "__main__":
    main()
