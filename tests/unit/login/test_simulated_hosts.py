"""Logins to a simulated host of every fault that a login meets by itself: each gets the reason that a score expects.

What takes a vault or a deadline to be seen is in the campaigns of tests/cli and tests/acceptance.
"""

from __future__ import annotations

import gc
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from socket import socket
from typing import Self

import anyio
import anyio.to_thread
import pytest

from appliance.contract import Job, Target, Technology
from appliance.login import Login
from appliance.phases import PhaseLedger
from appliance.vault.credential import Credential
from orchestrator.known_hosts import HostMarks, KnownHosts
from orchestrator.score import EXPECTED
from targets.estate import Host
from targets.faults import FREE, HOST_FAULTS
from targets.lab import Ready
from targets.world import World
from tests.peers.attempt import FACTORIES, attempt, make_job
from tests.unit.targets.targets_lab import running

WAITED_FOR = (
    *("silent", "drip", "drip_kex", "stalled_kex", "stalled_login", "stalled_command"),
    *("keepalive_login", "pending_login", "pending_command", "throttled"),
)

REFUSED_BY_A_TASK = (
    *("old_kex", "old_cipher", "sha1_host_key", "changed_host_key", "revoked_host_key"),
    *("certificate_expired", "certificate_of_another", "certificate_unknown_ca", "certificate_missing"),
)
"""asyncssh reads a key exchange in a task, which holds its exception, whose traceback holds the task."""


def faults(technology: Technology) -> list[str]:
    return [
        name
        for name, fault in HOST_FAULTS.items()
        if FREE in fault.roots
        and technology in fault.technologies
        and not name.startswith("secret_")
        and name not in WAITED_FOR
    ]


@dataclass(slots=True)
class Logins:
    """A login to one host of each fault, all at once."""

    technology: Technology
    reasons: dict[str, str] = field(default_factory=dict)
    """By fault."""
    left: dict[str, weakref.ref[object]] = field(default_factory=dict)
    """What each had: its login and its connection."""

    async def made(self, place: Path) -> Self:
        technology = self.technology
        network = {Technology.UNIX: "127.90.0.0/24", Technology.WINDOWS: "127.91.0.0/24"}[technology]
        text = "".join(
            f'[[hosts]]\ntechnology = "{technology}"\nnetwork = "{network}"\nfault = "{fault}"\n'
            for fault in faults(technology)
        )
        async with running(text, place) as (ready, world), anyio.create_task_group() as logins:
            known = await anyio.to_thread.run_sync(KnownHosts.read, Path(ready.known_hosts))
            for host in world.estate.hosts.values():
                logins.start_soon(self._one, ready, world, known, host)
        return self

    async def _one(self, ready: Ready, world: World, known: KnownHosts, host: Host) -> None:
        technology, name = self.technology, host.fault.name
        port = ready.ssh_port if technology is Technology.UNIX else ready.smb_port
        target = Target(address=host.address)
        keys, marked = known.of(target, port), HostMarks(known.marks).of(target, port)
        job = make_job(
            technology,
            host.user,
            ready.closed_port if name == "closed" else port,
            address=host.address,
            sudo=technology is Technology.UNIX,
            known=tuple(keys),
            authorities=marked.authorities,
            revoked=marked.revoked,
        )

        @asynccontextmanager
        async def noted(sock: socket, job: Job, ledger: PhaseLedger) -> AsyncIterator[Login]:
            async with FACTORIES[technology](sock, job, ledger) as login:
                yield login
                parts = (login, *(getattr(login, name, None) for name in ("_connection", "_stream", "_session")))
                for part in parts:
                    if part is not None:
                        self.left[f"{name}: {type(part).__name__}"] = weakref.ref(part)

        password = world.estate.secrets[host.secret].material.password
        self.reasons[name] = (await attempt(job, Credential(password=password), factory=noted)).reason


@pytest.mark.parametrize("technology", Technology)
async def test_each_fault_gets_its_reason(technology: Technology, tmp_path: Path) -> None:
    logins = await Logins(technology).made(tmp_path)
    assert logins.reasons == {fault: EXPECTED[technology][fault] for fault in faults(technology)}


@pytest.mark.parametrize("technology", Technology)
async def test_what_a_login_held_is_freed_with_it(technology: Technology, tmp_path: Path) -> None:
    """Else it waits for the garbage collector, and a process that logs in to thousands grows meanwhile."""
    gc.collect()
    gc.disable()
    try:
        logins = await Logins(technology).made(tmp_path)
        await anyio.sleep(0.2)
        kept = {what for what, part in logins.left.items() if part() is not None}
    finally:
        gc.enable()
    assert len(logins.left) >= len(faults(technology)) - 1  # the closed one has nothing
    assert kept <= {f"{fault}: FastConnection" for fault in REFUSED_BY_A_TASK}, kept
