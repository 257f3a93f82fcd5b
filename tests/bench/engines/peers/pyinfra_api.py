"""pyinfra by its API: `python -m tests.bench.engines.peers.pyinfra_api PORT IN_FLIGHT`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from pyinfra.api import Config, Inventory, State
from pyinfra.api.connect import connect_all, disconnect_all

from tests.bench.engines.measure import Host, hosts, measured


def log_in_to_all(port: int, in_flight: int, every: Sequence[Host]) -> None:
    data = {"ssh_port": port, "ssh_user": every[0].user, "ssh_password": every[0].password}
    own = {**data, "ssh_allow_agent": False, "ssh_look_for_keys": False, "ssh_strict_host_key_checking": "off"}
    inventory = Inventory(([h.address for h in every], own))
    state = State(inventory, Config(PARALLEL=in_flight))
    connect_all(state)
    try:
        for host in inventory:
            ok, output = host.run_shell_command("id -u")
            assert ok, output.stderr
    finally:
        disconnect_all(state)


if __name__ == "__main__":
    measured(lambda some: log_in_to_all(int(sys.argv[1]), int(sys.argv[2]), some), hosts())
