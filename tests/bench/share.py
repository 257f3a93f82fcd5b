"""`python -m tests.bench.share [--rounds 2]`: what a second orchestrator takes from the first.

Two campaigns over the same 500 simulated hosts at once, by two appliances, on one nats-server and one PostgreSQL: both
runs in one of two orchestrators, then one in each; alternating. CPU is that of each `keymuster serve` while its runs
last, user and system, by the targets of all runs: dispatching, pacing, collecting reports and writing them down.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests.acceptance.chaos.estates import HOSTS, Estate, estate
from tests.acceptance.chaos.fleets import Fleet, fleet
from tests.acceptance.chaos.processes import adopting
from tests.bench.processes import cpu_of
from tests.peers.postgres import running_postgres

ROUNDS, RUNS, CAPACITY = 2, 2, 64
RECORD = 'secret = "unix-{address}"\naccounts = "local"'


def spent(running: Fleet, hosts: Estate, *at: int) -> list[float]:
    """ms of CPU a target, of each orchestrator; a run is given to each of those in `at`."""
    file = hosts.campaign(record=RECORD)
    before = [cpu_of(one.process.pid) for one in running.orchestrators]
    commands = [running.begin(file, one) for one in at]
    for command in commands:
        assert command.wait() == 0, command.said
        command.report().is_exact()
    after = [cpu_of(one.process.pid) for one in running.orchestrators]
    return [(b - a) / (len(at) * HOSTS) * 1000 for a, b in zip(before, after, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.share")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    given = parser.parse_args()
    together, spread = list[list[float]](), list[list[float]]()
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="keymuster-share-")))
        stack.enter_context(adopting())
        server = stack.enter_context(running_postgres())
        hosts = stack.enter_context(estate(home, 'account = "local"\nsecret = "per-host"\nfault = "none"'))
        running = stack.enter_context(fleet(home, hosts, server, CAPACITY))
        spent(running, hosts, 0, 1)  # what is loaded and prepared once
        for _ in range(given.rounds):
            together.append(spent(running, hosts, *[0] * RUNS))
            spread.append(spent(running, hosts, *range(RUNS)))
    print(f"{RUNS} runs of {HOSTS} targets at once; ms of CPU a target, of the first and the second orchestrator:")
    for name, rounds in (("both in the first", together), ("one in each", spread)):
        first, second = (statistics.median(one[n] for one in rounds) for n in (0, 1))
        print(f"  {name:18} {first:.2f} + {second:.2f} = {first + second:.2f}")


if __name__ == "__main__":
    main()
