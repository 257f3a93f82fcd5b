"""smbprotocol in threads: `python -m tests.bench.engines.peers.smbprotocol_threads PORT THREADS`."""

from __future__ import annotations

import sys
import uuid

from smbprotocol.connection import Connection
from smbprotocol.session import Session
from smbprotocol.tree import TreeConnect

from tests.bench.engines.measure import Host, hosts, measured
from tests.bench.engines.threads import each_in_threads


def log_in(port: int, host: Host) -> None:
    connection = Connection(uuid.uuid4(), host.address, port)
    connection.connect(timeout=60)
    try:
        session = Session(connection, host.user, host.password, require_encryption=False, auth_protocol="ntlm")
        session.connect()
        for share in ("IPC$", "ADMIN$"):
            TreeConnect(session, rf"\\{host.address}\{share}").connect()
        session.disconnect()
    finally:
        connection.disconnect()


if __name__ == "__main__":
    port, count = int(sys.argv[1]), int(sys.argv[2])
    measured(lambda some: each_in_threads(some, count, lambda host: log_in(port, host)), hosts())
