"""`python -m tests.bench.herd [--supervisors 500]`: a bus that is restarted under many appliances.

Stub supervisors, each with a connection of its own, beat as real ones do. The server is killed and comes back after a
while, having forgotten all heartbeats, as they lie in its memory. Printed: how long until the orchestrator knows
everyone again, how many came back in the busiest tenth of a second, and what the server's CPU was at its busiest.

All stubs and the orchestrator share this process, and the server the machine: so the times are not those of 500
machines but longer.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from contextlib import AsyncExitStack
from itertools import pairwise
from pathlib import Path
from random import Random

import anyio
from anyio import to_thread

from appliance.bus import ApplianceBus, BusError, OrchestratorBus
from appliance.bus.appliance_side import connect_appliance
from appliance.bus.orchestrator_side import connect_orchestrator
from appliance.bus.users import new_user
from appliance.channel import HEARTBEAT_S
from appliance.contract import Heartbeat
from tests.bench.processes import cpu_of
from tests.peers.private import free_port

SUPERVISORS, AWAY_S, LOOK_S = 500, 5.0, 0.1
ZONE = "z"
FOUND_S = 120.0


class Server:
    def __init__(self, directory: Path) -> None:
        self.orchestrator, self.stub = new_user(), new_user()
        self.port, self.monitor = free_port(), free_port()
        self._file = directory / "nats.conf"
        users = ", ".join(f'{{"nkey": "{user.public}"}}' for user in (self.orchestrator, self.stub))
        self._file.write_text(
            f'host: "127.0.0.1"\nport: {self.port}\nhttp: "127.0.0.1:{self.monitor}"\n'
            f'jetstream {{ store_dir: "{directory}" }}\nauthorization {{ users: [ {users} ] }}\n'
        )
        self.process = self._started()

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def _started(self) -> subprocess.Popen[str]:
        binary = str(Path(sys.executable).parent / "nats-server")
        process = subprocess.Popen([binary, "-c", str(self._file)], stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        assert any("Server is ready" in line for line in process.stderr), "nats-server did not come up"
        return process

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def start_again(self) -> None:
        self.process = self._started()

    def connections(self) -> int:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.monitor}/varz", timeout=5) as answer:
            return int(json.load(answer)["connections"])


async def beating(bus: ApplianceBus, name: str, random: Random) -> None:
    await anyio.sleep(random.uniform(0, HEARTBEAT_S))
    while True:
        try:
            await bus.heartbeat(Heartbeat(appliance=name, zone=ZONE, capacity=8, in_flight=0, sent_at=time.time()))
        except BusError:
            continue
        await anyio.sleep(HEARTBEAT_S)


async def herd(directory: Path, supervisors: int) -> tuple[float, Sequence[int], Sequence[float]]:
    """Seconds from the server's return until all are known; connections and CPU (cores) in each LOOK_S since."""
    server, random = Server(directory), Random(1)  # noqa: S311 - it spreads the first beats
    try:
        async with AsyncExitStack() as stack, anyio.create_task_group() as tasks:
            bus = await stack.enter_async_context(await connect_orchestrator(server.url, seed=server.orchestrator.seed))
            await bus.open_zone(ZONE)
            known = Known()
            tasks.start_soon(known.follow, bus, name="herd: who is there")
            for number in range(supervisors):
                name = f"s{number}"
                stub = await connect_appliance(server.url, name=name, zone=ZONE, seed=server.stub.seed)
                tasks.start_soon(beating, await stack.enter_async_context(stub), name, random, name=f"herd: {name}")
            await known.since(0.0, supervisors)
            server.kill()
            await anyio.sleep(AWAY_S)
            await to_thread.run_sync(server.start_again)
            back = time.time()
            looks: list[tuple[int, float]] = []

            async def look() -> None:
                while True:
                    looks.append((await to_thread.run_sync(server.connections), cpu_of(server.process.pid)))
                    await anyio.sleep(LOOK_S)

            tasks.start_soon(look, name="herd: looks")
            await known.since(back, supervisors)
            took = time.time() - back
            tasks.cancel_scope.cancel()
        pairs = list(pairwise(looks))
        came = [after[0] - before[0] for before, after in pairs]
        return took, came, [(after[1] - before[1]) / LOOK_S for before, after in pairs]
    finally:
        server.kill()


class Known:
    """When the orchestrator has last heard of each."""

    def __init__(self) -> None:
        self._beats: dict[str, float] = {}

    async def follow(self, bus: OrchestratorBus) -> None:
        async with bus.appliances() as told:
            async for alive in told:
                self._beats |= {name: beat.sent_at for name, beat in alive.items()}

    async def since(self, moment: float, number: int) -> None:
        """Until so many have been heard of since."""
        with anyio.fail_after(FOUND_S):
            while sum(at > moment for at in self._beats.values()) < number:  # noqa: ASYNC110 - it has no event
                await anyio.sleep(0.02)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.herd")
    parser.add_argument("--supervisors", type=int, default=SUPERVISORS)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="keymuster-herd-") as home:
        took, came, cpu = anyio.run(herd, Path(home), given.supervisors, backend_options={"use_uvloop": True})
    print(
        f"{given.supervisors} supervisors, the server away for {AWAY_S:g} s: all known again {took:.1f} s after its "
        f"return; at most {max(came)} came back in {LOOK_S:g} s; nats-server at its busiest: {max(cpu):.2f} cores"
    )


if __name__ == "__main__":
    main()
