"""ssh2-python (libssh2) in threads: `python -m tests.bench.engines.peers.ssh2_python PORT THREADS`."""

from __future__ import annotations

import socket
import sys

from ssh2.session import Session

from tests.bench.engines.measure import Host, hosts, measured
from tests.bench.engines.threads import each_in_threads


def log_in(port: int, host: Host) -> None:
    with socket.create_connection((host.address, port)) as sock:
        session = Session()
        session.handshake(sock)
        session.set_timeout(5000)
        session.userauth_password(host.user, host.password)
        channel = session.open_session()
        channel.execute("id -u")
        size, data = channel.read()
        assert size > 0
        assert data.strip().isdigit()
        channel.close()
        session.disconnect()


if __name__ == "__main__":
    port, count = int(sys.argv[1]), int(sys.argv[2])
    measured(lambda some: each_in_threads(some, count, lambda host: log_in(port, host)), hosts())
