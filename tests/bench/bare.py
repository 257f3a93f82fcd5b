"""The libraries by themselves, as a careful user would drive them: `python -m tests.bench.bare ssh|smb PORT N`.

Reads `address user password` lines from standard input, logs in to each, CONCURRENCY at a time, and looks (`id`, IPC$).
Prints logins, seconds and CPU seconds of the loop, start-up excluded.
"""

from __future__ import annotations

import queue
import resource
import sys
import threading
import time
from collections.abc import Sequence

import anyio
import asyncssh
from impacket.smbconnection import SMBConnection

CONCURRENCY = 64
THREADS = 16
"""What impacket's threads bring the most with."""

Host = tuple[str, str, str]


async def ssh(port: int, hosts: Sequence[Host]) -> None:
    options = asyncssh.SSHClientConnectionOptions(
        config=None,
        known_hosts=None,
        client_keys=None,
        agent_path=None,
        gss_host=None,
        kex_algs=["curve25519-sha256"],
        encryption_algs=["aes128-gcm@openssh.com"],
        compression_algs=["none"],
    )
    limiter = anyio.CapacityLimiter(CONCURRENCY)

    async def one(address: str, user: str, password: str) -> None:
        async with limiter:
            connection = asyncssh.connect(address, port, options=options, username=user, password=password)
            async with connection as connected:
                done = await connected.run("id", check=True)
                assert "uid=" in str(done.stdout)

    async with anyio.create_task_group() as tasks:
        for address, user, password in hosts:
            tasks.start_soon(one, address, user, password)


def smb(port: int, hosts: Sequence[Host]) -> None:
    todo: queue.SimpleQueue[Host] = queue.SimpleQueue()
    for host in hosts:
        todo.put(host)

    def work() -> None:
        while True:
            try:
                address, user, password = todo.get_nowait()
            except queue.Empty:
                return
            connection = SMBConnection(address, address, sess_port=port, timeout=20)
            connection.login(user, password)
            connection.connectTree("IPC$")
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def main() -> None:
    kind, port = sys.argv[1], int(sys.argv[2])
    hosts = [(a, u, p) for a, u, p in (line.split() for line in sys.stdin)]
    before, began = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
    if kind == "ssh":
        anyio.run(ssh, port, hosts)
    else:
        smb(port, hosts)
    spent, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    sys.stdout.write(f"{len(hosts)} {spent} {cpu}\n")


if __name__ == "__main__":
    main()
