"""impacket in threads: `python -m tests.bench.engines.library_smb PORT THREADS`. Its `close` logs off by itself."""

from __future__ import annotations

import sys

from impacket.smbconnection import SMBConnection

from tests.bench.engines.measure import Host, hosts, measured
from tests.bench.engines.threads import each_in_threads


def log_in(port: int, host: Host) -> None:
    connection = SMBConnection(host.address, host.address, sess_port=port, timeout=60)
    try:
        connection.login(host.user, host.password)
        for share in ("IPC$", "ADMIN$"):
            connection.connectTree(share)
    finally:
        connection.close()


if __name__ == "__main__":
    port, count = int(sys.argv[1]), int(sys.argv[2])
    measured(lambda some: each_in_threads(some, count, lambda host: log_in(port, host)), hosts())
