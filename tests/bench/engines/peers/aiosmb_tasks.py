"""aiosmb in tasks: `python -m tests.bench.engines.peers.aiosmb_tasks PORT IN_FLIGHT`. It negotiates SMB 2.1."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence

from aiosmb.commons.connection.factory import SMBConnectionFactory

from tests.bench.engines.measure import Host, hosts, measured


async def log_in(port: int, host: Host) -> None:
    url = f"smb2+ntlm-password://WORKGROUP\\{host.user}:{host.password}@{host.address}:{port}/?timeout=60"
    connection = SMBConnectionFactory.from_url(url).get_connection()
    try:
        _, error = await connection.login()
        assert error is None, error
        for share in ("IPC$", "ADMIN$"):
            _, error = await connection.tree_connect(rf"\\{host.address}\{share}")
            assert error is None, error
    finally:
        await connection.disconnect()


async def log_in_to_all(port: int, in_flight: int, every: Sequence[Host]) -> None:
    todo = iter(every)

    async def work() -> None:
        for host in todo:
            await log_in(port, host)

    await asyncio.gather(*(work() for _ in range(in_flight)))


if __name__ == "__main__":
    port, in_flight = int(sys.argv[1]), int(sys.argv[2])
    measured(lambda some: asyncio.run(log_in_to_all(port, in_flight, some)), hosts())
