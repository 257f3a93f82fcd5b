"""Our login engines alone, as a scan drives them: `python -m tests.bench.engines.client KIND PORT IN_FLIGHT`.

Reads `address user password` lines from standard input and logs in to each: dial, negotiate, the one answer, the look
at its rights, log-off; no orchestrator, vault or bus. On the loop that a scan process has.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from enum import StrEnum
from importlib.util import find_spec

import anyio

from appliance.contract import Failure, Job, Phase, Technology
from appliance.login.dial import dial
from appliance.phases import PhaseLedger
from appliance.vault.credential import Credential
from tests.bench.engines.measure import Host, hosts, measured
from tests.peers.attempt import FACTORIES, make_job


class Kind(StrEnum):
    SSH = "ssh"
    SMB_RIGHTS = "smb-rights"

    @property
    def technology(self) -> Technology:
        return Technology.UNIX if self is Kind.SSH else Technology.WINDOWS


Ledgers = Callable[[], PhaseLedger]


async def log_in(kind: Kind, port: int, job: Job, host: Host, ledger: PhaseLedger) -> None:
    """One login to its end. Raises AssertionError where it is no success."""
    candidate = job.candidates[0]
    sock = await dial(host.address, port, ledger)
    assert not isinstance(sock, Failure), sock
    async with FACTORIES[kind.technology](sock, job, ledger) as login:
        negotiated = await login.negotiate()
        assert not isinstance(negotiated, Failure), negotiated
        accepted = await login.authenticate(candidate, Credential(password=host.password))
        assert not isinstance(accepted, Failure), accepted
        rights = await login.privileges()
        assert not isinstance(rights, Failure), rights
        ledger.enter(Phase.LOGOFF)
    ledger.finish()


async def log_in_to_all(kind: Kind, port: int, in_flight: int, every: Sequence[Host], ledgers: Ledgers) -> None:
    todo = iter([(host, make_job(kind.technology, host.user, port, address=host.address)) for host in every])

    async def work() -> None:
        for host, job in todo:
            await log_in(kind, port, job, host, ledgers())

    async with anyio.create_task_group() as tasks:
        for number in range(in_flight):
            tasks.start_soon(work, name=f"logins {number}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", type=Kind)
    parser.add_argument("port", type=int)
    parser.add_argument("in_flight", type=int)
    parser.add_argument("--no-uvloop", action="store_true")
    given = parser.parse_args()

    def run(some: Sequence[Host]) -> None:
        backend = {"use_uvloop": not given.no_uvloop and find_spec("uvloop") is not None}
        anyio.run(log_in_to_all, given.kind, given.port, given.in_flight, some, PhaseLedger, backend_options=backend)

    measured(run, hosts())


if __name__ == "__main__":
    main()
