"""Three servers that are one bus: what lies on it outlives any one of them."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from anyio import to_thread

from appliance.bus import Timing, subjects
from appliance.bus.claims import KeyPair
from appliance.bus.link import Link
from appliance.bus.orchestrator_side import connect_orchestrator
from appliance.bus.users import new_user
from tests.contract.test_bus import notice
from tests.peers.private import free_port

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@contextmanager
def cluster(directory: Path, user: KeyPair, servers: int) -> Iterator[dict[str, subprocess.Popen[str]]]:
    """By URL; all of them are ready."""
    binary = str(Path(sys.executable).parent / "nats-server")
    routes = [free_port() for _ in range(servers)]
    running: dict[str, subprocess.Popen[str]] = {}
    try:
        for number, route in enumerate(routes):
            port, file = free_port(), directory / f"{number}.conf"
            told = ", ".join(f'"nats://127.0.0.1:{other}"' for other in routes)
            file.write_text(f"""
server_name: "server-{number}"
listen: "127.0.0.1:{port}"
jetstream {{ store_dir: "{directory}/{number}" }}
authorization {{ users: [ {{ nkey: "{user.public}" }} ] }}
cluster {{ name: "three", listen: "127.0.0.1:{route}", no_advertise: true, routes: [{told}] }}
""")
            log = (directory / f"{number}.log").open("w")
            with log:
                running[f"nats://127.0.0.1:{port}"] = subprocess.Popen([binary, "-c", str(file)], stderr=log, text=True)
        yield running
    finally:
        for process in running.values():
            process.kill()
            process.wait()


async def test_streams_have_three_replicas_and_outlive_a_server(tmp_path: Path) -> None:
    user = new_user()
    with cluster(tmp_path, user, 3) as servers:
        first, second, _ = servers
        async with await connect_orchestrator(first, seed=user.seed) as bus:
            await bus.open_zone("z")
            await bus.open_run(notice("r"), 8)
        servers[first].send_signal(signal.SIGKILL)
        await to_thread.run_sync(servers[first].wait)
        link = await Link.open(
            second, name="raw", inbox="_INBOX.raw", seed=user.seed, token="", tls=None, timing=Timing(retry=40)
        )
        try:
            names = (subjects.jobs_stream("z"), subjects.OUTCOMES, subjects.HEARTBEATS, subjects.RUNS, subjects.LOGINS)
            found = {name: await link.api(f"STREAM.INFO.{name}") for name in names}
        finally:
            await link.close()
    assert {name: info["config"]["num_replicas"] for name, info in found.items()} == dict.fromkeys(names, 3)
    assert found[subjects.RUNS]["state"]["messages"] == 1
