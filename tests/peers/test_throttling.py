"""Hosts that turn a scanner away before it has said anything: told apart, not counted, and let be for a while.

sshd's own log is the witness that no logon was tried meanwhile, and its own clock says when the penalty is over.
"""

from __future__ import annotations

import time

import anyio
import pytest

from appliance.contract import Failure, Phase, Technology
from appliance.vault.credential import Credential
from orchestrator.collect import TURNED_AWAY
from tests.peers.attempt import Attempt, attempt, make_job
from tests.peers.rows import WRONG
from tests.peers.sshd import Sshd

pytestmark = [pytest.mark.peer, pytest.mark.slow]

PATIENCE_S = 30.0


async def log_in(sshd: Sshd, server: str, password: str) -> Attempt:
    job = make_job(Technology.UNIX, "good", sshd.other_ports[server])
    return await attempt(job, Credential(password=password))


async def let_in(sshd: Sshd, server: str) -> Attempt:
    """The first attempt that is not turned away."""
    until = time.monotonic() + PATIENCE_S
    ended = await log_in(sshd, server, sshd.passwords["good"])
    while ended.reason in TURNED_AWAY and time.monotonic() < until:
        await anyio.sleep(0.3)
        ended = await log_in(sshd, server, sshd.passwords["good"])
    return ended


def turned_away(ended: Attempt, reason: str, words: str) -> None:
    assert isinstance(ended.result, Failure)
    assert (ended.reason, ended.result.text, ended.submitted) == (reason, words, False)
    assert (ended.result.phase, ended.facts) == (Phase.NEGOTIATE, {})


async def test_a_penalty_is_no_refused_login_and_ends(newer_sshd: Sshd) -> None:
    since = newer_sshd.now()
    ended = await log_in(newer_sshd, "penalties", WRONG)
    assert ended.reason == "BAD_CREDENTIALS"
    assert [logon.ok for logon in newer_sshd.logons("good", since=since)] == [False]  # it has reckoned, too
    right = newer_sshd.passwords["good"]
    turned_away(await log_in(newer_sshd, "penalties", right), "SSH_PENALTY", "Not allowed at this time")
    ended = await let_in(newer_sshd, "penalties")
    assert ended.reason == "PASSED", "asking often has prolonged the penalty"
    assert [logon.ok for logon in newer_sshd.logons("good", since=since)] == [False, True]


async def test_a_crowd_at_the_door(sshd: Sshd, newer_sshd: Sshd) -> None:
    """MaxStartups: one that has not logged in yet is enough; when it has gone there is room again. From 9.8 on sshd has
    the same words for it as for a penalty.
    """
    for server, reason, words in (
        (sshd, "SSH_THROTTLED", "Exceeded MaxStartups"),
        (newer_sshd, "SSH_PENALTY", "Not allowed at this time"),
    ):
        since = server.now()
        right = server.passwords["good"]
        async with await anyio.connect_tcp("127.0.0.1", server.other_ports["crowded"]) as waiting:
            assert (await waiting.receive()).startswith(b"SSH-2.0-OpenSSH_")
            turned_away(await log_in(server, "crowded", right), reason, words)
        ended = await let_in(server, "crowded")
        assert ended.reason == "PASSED"
        assert [logon.ok for logon in server.logons("good", since=since)] == [True]
