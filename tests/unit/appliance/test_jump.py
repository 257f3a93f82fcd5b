"""Jump hosts: one login serves all, and what goes wrong there is never the target's fault."""

from __future__ import annotations

import socket
from collections import Counter

import anyio
import asyncssh
import pytest

from appliance.access import AccessKind
from appliance.contract import (
    AccessTerms,
    Deferred,
    HostAuthority,
    HostKeyPolicy,
    Part,
    PermitAnswer,
    PermitVerdict,
    Phase,
    Report,
    Reread,
)
from appliance.login.ssh_host_keys import key_line
from tests.cancellation.hanging import Stage, after_bytes, relay, silent_after
from tests.unit.appliance.jumping import JUMP_PASSWORD, Desk, Source, a_job, a_jump, a_world, evidence, reason
from tests.unit.login.ssh_servers import PASSWORD, Script, peer, saying, serving


def a_bastion(**changes: object) -> Script:
    return Script(password=JUMP_PASSWORD, forwards=True, **changes)  # type: ignore[arg-type]  # Script's own


async def test_one_login_serves_all_scans() -> None:
    bastion, target = a_bastion(), Script()
    async with serving(bastion) as gate, serving(target) as port, a_world() as world:
        reports = await world.scan_all([a_job(port, a_jump(gate), n) for n in range(20)])
        assert Counter(map(reason, reports)) == {"PASSED": 20}
        assert bastion.passwords == [JUMP_PASSWORD]
        assert target.passwords == [PASSWORD] * 20
        assert world.desk.jumps() == ["jump"]
        assert world.desk.jump_reasons() == ["PASSED"]
        assert all(not credential.password for credential in world.source.lent), "each is forgotten after its login"
        assert {evidence(r).facts["jump_host"] for r in reports} == {f"127.0.0.1:{gate}"}
        [made] = [evidence(r) for r in reports if "jump_host_key" in evidence(r).facts]
        assert made.facts["jump_banner"].startswith("SSH-2.0-AsyncSSH")
        assert made.facts["jump_phases_ms"].split(" ")[0] == "lease"
        assert "auth" in made.facts["jump_phases_ms"]
        assert [view.secret for view in made.views] == ["jump", ""]
        phases = [time.phase for time in made.phases]
        assert phases.index(Phase.JUMP) < phases.index(Phase.TCP) < phases.index(Phase.NEGOTIATE)
        others = [evidence(r) for r in reports if evidence(r) is not made]
        assert all([view.secret for view in other.views] == [""] for other in others)
        assert all(JUMP_PASSWORD not in report.model_dump_json() for report in reports)


async def test_a_session_that_nobody_uses_is_closed_and_made_anew_when_needed() -> None:
    bastion, target = a_bastion(), Script()
    async with serving(bastion) as gate, serving(target) as port, a_world(idle_s=0.1) as world:
        assert reason(await world.scan(a_job(port, a_jump(gate), 1))) == "PASSED"
        with anyio.fail_after(5):
            await bastion.closed.wait()
        assert reason(await world.scan(a_job(port, a_jump(gate), 2))) == "PASSED"
    assert bastion.passwords == [JUMP_PASSWORD] * 2


async def test_a_refused_password_is_sent_once_and_not_once_per_target() -> None:
    bastion, target = a_bastion(), Script()
    source = Source({"target": [PASSWORD], "jump": ["wrong"]})
    async with serving(bastion) as gate, serving(target) as port, a_world(source=source) as world:
        reports = await world.scan_all([a_job(port, a_jump(gate), n) for n in range(20)])
        reports.append(await world.scan(a_job(port, a_jump(gate), 20)))
        assert Counter(map(reason, reports)) == {"JUMP_REFUSED": 1, "JUMP_SKIPPED": 20}
        assert bastion.passwords == ["wrong"]
        assert target.passwords == []
        assert world.source.read == ["jump", "jump"], "once to log in, and once to see whether it has changed"
        assert world.desk.jump_reasons() == ["BAD_CREDENTIALS"]
        assert [r.reread for r in world.desk.released] == [Reread.UNCHANGED]
        assert not any(evidence(r).submitted for r in reports), "nothing was sent to a target"
        assert {evidence(r).facts["jump_reason"] for r in reports} == {"BAD_CREDENTIALS"}
        [refused] = [evidence(r) for r in reports if reason(r) == "JUMP_REFUSED"]
        assert refused.phase is Phase.JUMP
        assert refused.facts["jump_phase"] == "auth"
        assert f"jump host 127.0.0.1:{gate}: BAD_CREDENTIALS" in refused.text


async def test_a_password_that_has_just_changed_is_tried_anew_later() -> None:
    bastion, target = a_bastion(), Script()
    source = Source({"target": [PASSWORD], "jump": ["old", JUMP_PASSWORD]})
    async with serving(bastion) as gate, serving(target) as port, a_world(source=source) as world:
        first = await world.scan(a_job(port, a_jump(gate), 1))
        assert isinstance(first, Deferred)
        assert first.reason == "ROTATED_MID_SCAN"
        assert [r.reread for r in world.desk.released] == [Reread.CHANGED]
        assert reason(await world.scan(a_job(port, a_jump(gate), 2))) == "PASSED"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (PermitAnswer(verdict=PermitVerdict.SKIP, cause="BAD_CREDENTIALS", text="stopped"), "JUMP_SKIPPED"),
        (PermitAnswer(verdict=PermitVerdict.SKIP, cause="STOPPED", text="by an admin"), "STOPPED"),
        (PermitAnswer(verdict=PermitVerdict.DUPLICATE, text="not an open attempt"), "APPLIANCE_LOST"),
    ],
)
async def test_without_a_permit_no_password(answer: PermitAnswer, expected: str) -> None:
    bastion, target = a_bastion(), Script()
    desk = Desk(answer)
    async with serving(bastion) as gate, serving(target) as port, a_world(desk=desk) as world:
        report = await world.scan(a_job(port, a_jump(gate)))
        assert reason(report) == expected
        assert evidence(report).phase is Phase.JUMP
        assert "jump host 127.0.0.1" in evidence(report).text
        assert (bastion.passwords, world.source.read) == ([], [])


async def test_without_a_pacer_no_password() -> None:
    bastion = a_bastion()
    desk = Desk(away=True)
    async with serving(bastion) as gate, a_world(desk=desk) as world:
        report = await world.scan(a_job(1, a_jump(gate)))
        assert isinstance(report, Deferred)
        assert report.reason == "NO_PACER"
        assert report.text.startswith("jump host 127.0.0.1")
        assert bastion.passwords == []


async def test_a_secret_that_is_not_there() -> None:
    async with a_world(source=Source({"target": [PASSWORD]})) as world:
        report = await world.scan(a_job(1, a_jump(1)))
        assert reason(report) == "SECRET_NOT_FOUND"
        assert evidence(report).text.startswith("jump host 127.0.0.1:1: SECRET_NOT_FOUND")


async def test_a_jump_host_that_this_appliance_may_not_dial() -> None:
    """A target behind it is judged by the campaign's list, out of which the job comes."""
    bastion, target = a_bastion(), Script()
    async with serving(bastion) as gate, serving(target) as port:
        async with a_world(networks=["10.0.0.0/8"]) as world:
            assert reason(await world.scan(a_job(port, a_jump(gate)))) == "REFUSED_BY_POLICY"
        async with a_world(networks=["127.0.0.1/32"]) as world:
            elsewhere = a_job(port, a_jump(gate))
            candidates = elsewhere.candidates
            target_at = elsewhere.target.model_copy(update={"address": "localhost"})
            report = await world.scan(elsewhere.model_copy(update={"target": target_at, "candidates": candidates}))
            assert reason(report) == "PASSED"


async def test_an_appliance_may_demand_a_stricter_host_key_policy() -> None:
    async with a_world(host_keys="pinned") as world:
        job = a_job(1, a_jump(1, host_keys=HostKeyPolicy.ANY))
        pinned = job.candidates[0].model_copy(update={"host_keys": HostKeyPolicy.PINNED})
        report = await world.scan(job.model_copy(update={"candidates": (pinned,)}))
        assert reason(report) == "REFUSED_BY_POLICY"
        assert "weaker" in evidence(report).text


async def test_host_keys_of_the_jump_host() -> None:
    bastion, target = a_bastion(), Script()
    key = asyncssh.generate_private_key("ssh-ed25519")
    mine, another = key_line(key), key_line(asyncssh.generate_private_key("ssh-ed25519"))
    async with serving(bastion, server_host_keys=[key]) as gate, serving(target) as port:
        for policy, known, expected in (
            (HostKeyPolicy.PINNED, (), "JUMP_HOST_KEY"),
            (HostKeyPolicy.TOFU, (another,), "JUMP_HOST_KEY"),
            (HostKeyPolicy.PINNED, (mine,), "PASSED"),
        ):
            async with a_world() as world:
                report = await world.scan(a_job(port, a_jump(gate, host_keys=policy), keys=known))
                assert reason(report) == expected
                if expected == "JUMP_HOST_KEY":
                    assert "jump_host_key_refused_fingerprint" in evidence(report).facts
    assert len(bastion.passwords) == 1


async def test_certificates_and_revoked_keys_of_the_jump_host() -> None:
    """What is said of the target's host key is not said of the jump host's."""
    bastion, target = a_bastion(), Script()
    key, ca = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
    certified = (key, ca.generate_host_certificate(key, "bastion", principals=["gate"]))
    vouches = (HostAuthority(key=key_line(ca), names=("gate",)),)
    revoked, known = (key.get_fingerprint(),), (key_line(key),)
    async with serving(bastion, server_host_keys=[certified]) as gate, serving(target) as port:
        for changes, expected in (
            ({"jump_authorities": vouches}, "PASSED"),
            ({"host_authorities": vouches}, "JUMP_HOST_KEY"),
            ({"known_jump_keys": known, "revoked_host_keys": revoked}, "PASSED"),
            ({"known_jump_keys": known, "revoked_jump_keys": revoked}, "JUMP_HOST_KEY"),
        ):
            job = a_job(port, a_jump(gate, host_keys=HostKeyPolicy.PINNED))
            async with a_world() as world:
                report = await world.scan(job.model_copy(update=changes))
                assert reason(report) == expected, changes
                assert ("jump_host_certificate" in evidence(report).facts) == ("jump_authorities" in changes)
    assert len(bastion.passwords) == 2


async def test_the_jump_hosts_secret_is_asked_for_on_its_own_terms_and_checked_out() -> None:
    bastion, target = a_bastion(), Script()
    source = Source(refuses={"jump": "SECRET_NEEDS_CHECKOUT"})
    async with serving(bastion) as gate, serving(target) as port, a_world(source=source) as world:
        job = a_job(port, a_jump(gate))
        [candidate] = job.candidates
        parts = {"target": Part.LOGIN, "jump": Part.JUMP}
        terms = [AccessTerms(record=candidate.record, comment=c, part=part) for c, part in parts.items()]
        assert reason(await world.scan(job.model_copy(update={"terms": tuple(terms)}))) == "PASSED"
    assert {key: told.comment for key, told in source.told.items()} == {"target": "target", "jump": "jump"}
    [wanted] = world.desk.wanted
    assert candidate.jump is not None
    assert (wanted.kind, wanted.record) == (AccessKind.CHECK_OUT, candidate.record)
    assert (wanted.secret, wanted.secret_id) == (candidate.jump.secret, 2)


async def test_approval_of_the_jump_hosts_secret_is_the_reason_where_it_lacks() -> None:
    source = Source(refuses={"jump": "SECRET_NEEDS_APPROVAL"})
    async with serving(a_bastion()) as gate, a_world(source=source) as world:
        job = a_job(1, a_jump(gate))
        terms = (AccessTerms(record=job.candidates[0].record, part=Part.JUMP),)
        report = await world.scan(job.model_copy(update={"terms": terms}))
        assert reason(report) == "SECRET_NEEDS_APPROVAL"
        assert evidence(report).text.startswith("jump host 127.0.0.1")
        assert world.desk.wanted == []


async def test_a_jump_host_that_cannot_be_reached_is_not_dialled_by_every_scan() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        gate = closed.getsockname()[1]
        async with a_world() as world:
            reports = await world.scan_all([a_job(1, a_jump(gate), n) for n in range(5)])
    assert Counter(map(reason, reports)) == {"JUMP_UNREACHABLE": 5}
    assert {evidence(r).facts["jump_reason"] for r in reports} == {"PORT_CLOSED"}
    assert [evidence(r).facts.get("jump_phase") for r in reports].count("tcp") == 1


async def test_a_jump_host_that_is_none() -> None:
    async with peer(saying(b"220 mail.example ESMTP\r\n")) as gate, a_world() as world:
        report = await world.scan(a_job(1, a_jump(gate)))
    assert reason(report) == "JUMP_SSH"
    assert evidence(report).facts["jump_reason"] == "NOT_SSH"


async def test_a_jump_host_that_forwards_nothing() -> None:
    bastion = a_bastion()
    bastion.forwards = False
    async with serving(bastion) as gate, a_world() as world:
        report = await world.scan(a_job(1, a_jump(gate)))
        assert reason(report) == "JUMP_FORBIDS"
        assert evidence(report).text.startswith(f"through jump host 127.0.0.1:{gate}: the jump host says: ")


async def test_a_jump_host_that_hangs_has_half_of_the_time() -> None:
    """So that the others that wait for it are told, before they run out of theirs."""
    stage = Stage()
    async with silent_after(b"", stage) as gate, a_world() as world:
        with anyio.fail_after(4):
            reports = await world.scan_all([a_job(1, a_jump(gate), n, deadline=2.0) for n in range(5)])
        await stage.released.wait()
    assert Counter(map(reason, reports)) == {"JUMP_UNREACHABLE": 5}
    assert {evidence(r).facts["jump_reason"] for r in reports} == {"BANNER_TIMEOUT"}


async def test_a_verdict_that_does_not_come_counts() -> None:
    bastion = a_bastion(hang_in_auth=True)
    async with serving(bastion) as gate, a_world() as world:
        report = await world.scan(a_job(1, a_jump(gate), deadline=2.0))
        assert reason(report) == "JUMP_REFUSED"
        assert evidence(report).facts["jump_reason"] == "AUTH_TIMEOUT"
        assert world.desk.jump_reasons() == ["AUTH_TIMEOUT"]
        assert [r.submitted for r in world.desk.released] == [True]


async def test_a_jump_host_that_is_lost_is_to_blame_and_logged_in_to_anew() -> None:
    bastion, target = a_bastion(), Script(hang_in_auth=True)
    async with serving(bastion) as gate, serving(target) as port, a_world() as world:
        reports = []

        async def one() -> None:
            reports.append(await world.scan(a_job(port, a_jump(gate), 1)))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(one)
            await target.hanging.wait()
            bastion.connections[0].abort()
        [lost] = reports
        assert reason(lost) == "JUMP_LOST"
        assert evidence(lost).phase is Phase.AUTH
        assert evidence(lost).submitted, "the target may have judged it"
        target.hang_in_auth = False
        assert reason(await world.scan(a_job(port, a_jump(gate), 2))) == "PASSED"
        assert bastion.passwords == [JUMP_PASSWORD] * 2
        assert world.desk.jumps() == ["jump", "jump"]


async def test_lost_before_the_target_is_reached_it_is_made_anew_once() -> None:
    bastion, target = a_bastion(hang_in_forward=True), Script()
    async with serving(bastion) as gate, serving(target) as port, a_world() as world:
        for cures, expected in ((True, "PASSED"), (False, "JUMP_LOST")):
            reports: list[Report] = []

            async def one(number: int, into: list[Report] = reports) -> None:
                into.append(await world.scan(a_job(port, a_jump(gate), number)))

            async with anyio.create_task_group() as tasks:
                bastion.hang_in_forward, bastion.hanging = True, anyio.Event()
                tasks.start_soon(one, int(cures))
                await bastion.hanging.wait()
                bastion.hang_in_forward, bastion.hanging = not cures, anyio.Event()
                bastion.connections[-1].abort()
                if not cures:
                    await bastion.hanging.wait()
                    bastion.connections[-1].abort()
            assert [reason(r) for r in reports] == [expected]
    assert world.desk.jumps() == ["jump", "jump again", "jump again"]


async def test_a_target_that_refuses_is_told_apart_from_the_jump_host() -> None:
    bastion, target = a_bastion(), Script(password="another")
    async with serving(bastion) as gate, serving(target) as port, a_world() as world:
        report = await world.scan(a_job(port, a_jump(gate)))
        assert reason(report) == "BAD_CREDENTIALS"
        assert evidence(report).phase is Phase.AUTH


# -- cancelled at each phase -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 10, 700, 1500])
async def test_cancelled_while_the_jump_host_is_logged_in_to(count: int) -> None:
    bastion, stage = a_bastion(), Stage()
    async with serving(bastion) as server, relay(server, after_bytes(count), stage) as gate, a_world() as world:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(world.scan, a_job(1, a_jump(gate)))
            await stage.reached.wait()
            tasks.cancel_scope.cancel()
        await stage.released.wait()
    assert bastion.passwords == []
    assert len(world.desk.released) == len(world.desk.jumps()), "what was granted is given back"


@pytest.mark.parametrize("where", ["hang_in_auth", "hang_in_forward"])
async def test_cancelled_while_the_jump_host_thinks(where: str) -> None:
    bastion = a_bastion(**{where: True})
    async with serving(bastion) as gate, a_world() as world:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(world.scan, a_job(1, a_jump(gate)))
            await bastion.hanging.wait()
            tasks.cancel_scope.cancel()
        assert len(world.desk.released) == 1
        assert world.desk.released[0].submitted


@pytest.mark.parametrize("where", ["hang_in_auth", "hang_in_command"])
async def test_cancelled_while_the_target_thinks(where: str) -> None:
    """The session with the jump host stays, for the others."""
    bastion, target = a_bastion(), Script(**{where: True})  # type: ignore[arg-type]  # Script's own
    async with serving(bastion) as gate, serving(target) as port, a_world() as world:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(world.scan, a_job(port, a_jump(gate), 1))
            await target.hanging.wait()
            tasks.cancel_scope.cancel()
        await target.closed.wait()
        setattr(target, where, False)
        assert reason(await world.scan(a_job(port, a_jump(gate), 2))) == "PASSED"
    assert bastion.passwords == [JUMP_PASSWORD]


async def test_whoever_waits_for_the_session_may_be_cancelled_without_harm() -> None:
    bastion, target = a_bastion(hang_in_auth=True), Script()
    async with serving(bastion) as gate, serving(target) as port, a_world() as world:
        reports = []

        async def first() -> None:
            reports.append(await world.scan(a_job(port, a_jump(gate), 1, deadline=4.0)))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(first)
            await bastion.hanging.wait()
            with anyio.move_on_after(0.1):
                await world.scan(a_job(port, a_jump(gate), 2))
        assert [reason(r) for r in reports] == ["JUMP_REFUSED"]
    assert bastion.passwords == [JUMP_PASSWORD]
