"""asyncssh as its documentation has it: `python -m tests.bench.engines.library_ssh PORT IN_FLIGHT`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import anyio
import asyncssh

from tests.bench.engines.measure import Host, hosts, measured


async def log_in_to_all(port: int, in_flight: int, every: Sequence[Host]) -> None:
    todo = iter(every)

    async def work() -> None:
        for host in todo:
            connection = asyncssh.connect(
                host.address, port, username=host.user, password=host.password, known_hosts=None
            )
            async with connection as connected:
                done = await connected.run("id -u", check=True)
                assert str(done.stdout).strip().isdigit()

    async with anyio.create_task_group() as tasks:
        for number in range(in_flight):
            tasks.start_soon(work, name=f"logins {number}")


def main() -> None:
    port, in_flight = int(sys.argv[1]), int(sys.argv[2])
    measured(lambda some: anyio.run(log_in_to_all, port, in_flight, some), hosts())


if __name__ == "__main__":
    main()
