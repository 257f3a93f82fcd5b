"""Our login engines alone, as a scan drives them: `python -m tests.bench.engines.client KIND PORT IN_FLIGHT`.

Logs in to each host: dial, negotiate, the one answer, the look at its rights, log-off; no orchestrator, vault or bus.
On the loop that a scan process has. With `--phases`: CPU by phase, one login at a time.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from enum import StrEnum
from functools import partial
from importlib.util import find_spec
from typing import Any

import anyio

from appliance.contract import Failure, Job, Phase, Technology
from appliance.login import LoginFactory
from appliance.login.dial import dial
from appliance.login.smb import smb_login
from appliance.login.smb_requests import tree_connect
from appliance.login.smb_session import SmbSession
from appliance.login.ssh import ssh_login
from appliance.phases import PhaseLedger
from appliance.vault.credential import Credential
from tests.bench.engines.measure import WARM, Host, hosts, measured
from tests.peers.attempt import make_job


class Kind(StrEnum):
    SSH = "ssh"
    SMB = "smb"
    """IPC$ and ADMIN$, as the peers do."""
    SMB_RIGHTS = "smb-rights"
    """All that a scan looks at: C$, the service manager and the registry besides."""

    @property
    def technology(self) -> Technology:
        return Technology.UNIX if self is Kind.SSH else Technology.WINDOWS

    def factory(self, *, fast: bool) -> LoginFactory:
        return partial(ssh_login if self is Kind.SSH else smb_login, fast=fast)


def two_shares(session: SmbSession) -> None:
    [proof] = session.ask(tree_connect(session.address, "IPC$"))
    session.connected(proof)
    [admin] = session.ask(tree_connect(session.address, "ADMIN$"))
    assert (proof.status, admin.status) == (0, 0)


async def log_in(kind: Kind, factory: LoginFactory, job: Job, password: str, ledger: PhaseLedger) -> None:
    """One login to its end. Raises AssertionError where it is no success."""
    [candidate] = job.candidates
    sock = await dial(job.target.address, candidate.port, ledger)
    assert not isinstance(sock, Failure), sock
    async with factory(sock, job, ledger) as login:
        negotiated = await login.negotiate()
        assert not isinstance(negotiated, Failure), negotiated
        accepted = await login.authenticate(candidate, Credential(password=password))
        assert not isinstance(accepted, Failure), accepted
        rights: Any
        if kind is Kind.SMB:
            ledger.enter(Phase.PRIVILEGE)
            smb: Any = login
            rights = await smb._call(Phase.PRIVILEGE, partial(two_shares, smb._session))
        else:
            rights = await login.privileges()
        assert not isinstance(rights, Failure), rights
        ledger.enter(Phase.LOGOFF)


class Client:
    def __init__(
        self,
        kind: Kind,
        port: int,
        in_flight: int,
        *,
        fast: bool,
        uvloop: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._kind = kind
        self._factory = kind.factory(fast=fast)
        self._port = port
        self._in_flight = in_flight
        self._uvloop = uvloop
        self._clock = clock
        self.phases: defaultdict[str, float] = defaultdict(float)
        """Milliseconds by `clock`."""

    def run(self, every: Sequence[Host]) -> None:
        anyio.run(self._all, every, backend_options={"use_uvloop": self._uvloop})

    async def _all(self, every: Sequence[Host]) -> None:
        # A job comes off the bus ready-made.
        jobs = [make_job(self._kind.technology, h.user, self._port, address=h.address) for h in every]
        todo = iter(list(zip(jobs, every, strict=True)))

        async def work() -> None:
            for job, host in todo:
                ledger = PhaseLedger(self._clock)
                await log_in(self._kind, self._factory, job, host.password, ledger)
                for phase in ledger.finish():
                    self.phases[phase.phase] += phase.ms

        async with anyio.create_task_group() as tasks:
            for number in range(self._in_flight):
                tasks.start_soon(work, name=f"logins {number}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", type=Kind)
    parser.add_argument("port", type=int)
    parser.add_argument("in_flight", type=int)
    parser.add_argument("--phases", action="store_true")
    parser.add_argument("--no-fast-path", dest="fast", action="store_false")
    parser.add_argument("--no-uvloop", dest="uvloop", action="store_false")
    given = parser.parse_args()
    in_flight = 1 if given.phases else given.in_flight
    uvloop = given.uvloop and find_spec("uvloop") is not None
    # Where one login is made at a time, what the process spends between two moments is that login's.
    clock = time.process_time if given.phases else time.monotonic
    client = Client(given.kind, given.port, in_flight, fast=given.fast, uvloop=uvloop, clock=clock)
    if not given.phases:
        measured(client.run, hosts())
        return
    every = hosts()
    client.run(every[:WARM])
    client.phases.clear()
    client.run(every[WARM:])
    each = {name: ms / len(every[WARM:]) for name, ms in client.phases.items()}
    sys.stdout.write(json.dumps(each) + "\n")


if __name__ == "__main__":
    main()
