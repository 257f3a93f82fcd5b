"""Logins to a simulated host of every fault that a login meets by itself: each gets the reason that a score expects.

What takes a vault or a deadline to be seen is in the campaigns of tests/cli and tests/acceptance.
"""

from __future__ import annotations

from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from appliance.contract import Target, Technology
from appliance.vault.credential import Credential
from orchestrator.known_hosts import HostMarks, KnownHosts
from orchestrator.score import EXPECTED
from targets.faults import FREE, HOST_FAULTS
from tests.peers.attempt import attempt, make_job
from tests.unit.targets.targets_lab import running

WAITED_FOR = (
    *("silent", "drip", "drip_kex", "stalled_kex", "stalled_login", "stalled_command"),
    *("keepalive_login", "pending_login", "pending_command", "throttled"),
)


def faults(technology: Technology) -> list[str]:
    return [
        name
        for name, fault in HOST_FAULTS.items()
        if FREE in fault.roots
        and technology in fault.technologies
        and not name.startswith("secret_")
        and name not in WAITED_FOR
    ]


@pytest.mark.parametrize("technology", Technology)
async def test_each_fault_gets_its_reason(technology: Technology, tmp_path: Path) -> None:
    network = {Technology.UNIX: "127.90.0.0/24", Technology.WINDOWS: "127.91.0.0/24"}[technology]
    text = "".join(
        f'[[hosts]]\ntechnology = "{technology}"\nnetwork = "{network}"\nfault = "{fault}"\n'
        for fault in faults(technology)
    )
    found: dict[str, str] = {}
    async with running(text, tmp_path) as (ready, world), anyio.create_task_group() as logins:
        known = await anyio.to_thread.run_sync(KnownHosts.read, Path(ready.known_hosts))
        marks = HostMarks(known.marks)

        async def log_in(address: str) -> None:
            host = world.estate.hosts[address]
            port = ready.ssh_port if technology is Technology.UNIX else ready.smb_port
            target = Target(address=address)
            keys, marked = known.of(target, port), marks.of(target, port)
            port = ready.closed_port if host.fault.name == "closed" else port
            job = make_job(
                technology,
                host.user,
                port,
                address=address,
                sudo=technology is Technology.UNIX,
                known=tuple(keys),
                authorities=marked.authorities,
                revoked=marked.revoked,
            )
            password = world.estate.secrets[host.secret].material.password
            found[host.fault.name] = (await attempt(job, Credential(password=password))).reason

        for address in world.estate.hosts:
            logins.start_soon(log_in, address)
    assert found == {fault: EXPECTED[technology][fault] for fault in faults(technology)}
