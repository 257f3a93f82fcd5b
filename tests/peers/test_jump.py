"""A real sshd as jump host: what it says of targets, of its own users, and how often it is logged in to."""

from __future__ import annotations

import os
import signal
from collections import Counter
from contextlib import suppress

import anyio
import pytest

from appliance.contract import Job, Phase
from tests.peers.private import children, wait_for
from tests.peers.sshd import Sshd
from tests.unit.appliance.jumping import Desk, Source, a_job, a_jump, a_world, evidence, reason
from tests.unit.login.ssh_servers import PASSWORD, Script, serving

pytestmark = pytest.mark.peer


def secrets(sshd: Sshd, user: str, *, right: bool = True) -> Source:
    return Source({"target": [PASSWORD], "jump": [sshd.passwords[user] if right else "Wr0ng-Marker-0816"]})


def at(job: Job, address: str) -> Job:
    return job.model_copy(update={"target": job.target.model_copy(update={"address": address})})


@pytest.mark.parametrize("key", [False, True], ids=["password", "key"])
async def test_simulated_hosts_behind_a_real_jump_host(sshd: Sshd, key: bool) -> None:
    since = sshd.now()
    source = secrets(sshd, "jumper")
    source.keys["jump"] = sshd.key("plain")
    target = Script()
    async with serving(target) as port, a_world(source=source) as world:
        jump = a_jump(sshd.port, user="jumper", private_key=key)
        reports = await world.scan_all([a_job(port, jump, n) for n in range(30)])
        assert Counter(map(reason, reports)) == {"PASSED": 30}
        assert {evidence(r).phase for r in reports} == {Phase.LOGOFF}
        [made] = [evidence(r) for r in reports if "jump_host_key" in evidence(r).facts]
        assert made.facts["jump_host_key"] == sshd.host_key()
    assert [(v.method, v.ok) for v in sshd.logons("jumper", since=since)] == [
        ("publickey" if key else "password", True)
    ]


@pytest.mark.parametrize(
    ("address", "port", "expected", "phase"),
    [
        ("127.0.0.1", 1, "PORT_CLOSED", Phase.TCP),
        ("no-such-host.invalid", 22, "DNS_FAILED", Phase.TCP),
        ("255.255.255.255", 22, "HOST_UNREACHABLE", Phase.TCP),
    ],
)
async def test_what_a_real_jump_host_says_of_targets(
    sshd: Sshd, address: str, port: int, expected: str, phase: Phase
) -> None:
    async with a_world(source=secrets(sshd, "jumper")) as world:
        report = await world.scan(at(a_job(port, a_jump(sshd.port, user="jumper")), address))
        assert (reason(report), evidence(report).phase) == (expected, phase), evidence(report).text
        assert f"through jump host 127.0.0.1:{sshd.port}: the jump host says: " in evidence(report).text


async def test_a_user_who_may_not_forward(sshd: Sshd) -> None:
    async with a_world(source=secrets(sshd, "walled")) as world:
        report = await world.scan(a_job(1, a_jump(sshd.port, user="walled")))
        assert (reason(report), evidence(report).phase) == ("JUMP_FORBIDS", Phase.JUMP), evidence(report).text


async def test_a_wrong_password_is_counted_once_by_a_real_jump_host(sshd: Sshd) -> None:
    since = sshd.now()
    desk = Desk()
    async with a_world(source=secrets(sshd, "jumper", right=False), desk=desk) as world:
        reports = await world.scan_all([a_job(1, a_jump(sshd.port, user="jumper"), n) for n in range(25)])
        assert Counter(map(reason, reports)) == {"JUMP_REFUSED": 1, "JUMP_SKIPPED": 24}
    assert [v.ok for v in sshd.logons("jumper", since=since)] == [False]
    assert desk.jump_reasons() == ["BAD_CREDENTIALS"]


async def test_a_real_jump_host_that_ends_our_session(sshd: Sshd) -> None:
    target = Script(hang_in_auth=True)
    async with serving(target) as port, a_world(source=secrets(sshd, "jumper")) as world:
        reports = []

        async def one() -> None:
            reports.append(await world.scan(a_job(port, a_jump(sshd.port, user="jumper"), 1)))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(one)
            await target.hanging.wait()
            for child in children(sshd.pids[0]):
                for process in (*children(child), child):  # the one that serves the user is the other's child
                    with suppress(ProcessLookupError):  # the other one ends by itself, too
                        os.kill(process, signal.SIGKILL)
        assert [reason(r) for r in reports] == ["JUMP_LOST"]
        target.hang_in_auth = False
        assert reason(await world.scan(a_job(port, a_jump(sshd.port, user="jumper"), 2))) == "PASSED"
    wait_for(lambda: not children(sshd.pids[0]), "sshd to end all connections")
