"""parallel-ssh as its documentation has it: `python -m tests.bench.engines.peers.parallel_ssh PORT IN_FLIGHT`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from pssh.clients import ParallelSSHClient
from pssh.config import HostConfig

from tests.bench.engines.measure import Host, hosts, measured


def log_in_to_all(port: int, in_flight: int, every: Sequence[Host]) -> None:
    own = [HostConfig(user=h.user, password=h.password, port=port) for h in every]
    client = ParallelSSHClient(
        [h.address for h in every],
        host_config=own,
        pool_size=in_flight,
        num_retries=1,
        allow_agent=False,
        identity_auth=False,
    )
    answers = client.run_command("id -u", stop_on_errors=True)
    client.join(answers)
    for answer in answers:
        assert next(iter(answer.stdout)).strip().isdigit()


if __name__ == "__main__":
    measured(lambda some: log_in_to_all(int(sys.argv[1]), int(sys.argv[2]), some), hosts())
