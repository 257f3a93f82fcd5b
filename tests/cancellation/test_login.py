"""A peer hangs in each place where a login waits: cancelling it there leaves no task, thread or socket behind.

The peers say when they hang, and when their client has hung up. What else could be left is looked for by the fixtures
of tests/conftest.py, after each test.
"""

from __future__ import annotations

import struct
from contextlib import AbstractAsyncContextManager

import anyio
import pytest

from appliance.contract import Failure, Job, Phase, Technology
from appliance.login.dial import dial
from appliance.phases import PhaseLedger
from appliance.vault.credential import Credential
from tests.cancellation.hanging import Stage, after_bytes, after_messages, flooding, relay, silent_after
from tests.peers.attempt import FACTORIES, make_job
from tests.peers.smbd import Smbd
from tests.unit.login.ssh_servers import PASSWORD, Script, serving


class Seen:
    """How far a login got before it was cancelled."""

    def __init__(self) -> None:
        self.ledger = PhaseLedger()
        self.submitted = False
        self.returned = False

    async def log_in(self, job: Job, password: str) -> None:
        candidate = job.candidates[0]
        sock = await dial(job.target.address, candidate.port, self.ledger)
        assert not isinstance(sock, Failure)
        async with FACTORIES[job.technology](sock, job, self.ledger) as login:
            try:
                step: object = await login.negotiate()
                if not isinstance(step, Failure):
                    step = await login.authenticate(candidate, Credential(password=password))
                if not isinstance(step, Failure):
                    await login.privileges()
                self.returned = True
            finally:
                self.submitted = login.submitted


async def cancel_when(reached: anyio.Event, released: anyio.Event, job: Job, password: str = PASSWORD) -> Seen:
    """Log in, cancel once the peer hangs, and wait until the peer has lost its client."""
    seen = Seen()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(seen.log_in, job, password)
        await reached.wait()
        assert not seen.returned
        tasks.cancel_scope.cancel()
    await released.wait()
    assert not seen.returned
    return seen


def unix(port: int) -> Job:
    return make_job(Technology.UNIX, "scan", port)


def windows(port: int, user: str = "scan") -> Job:
    return make_job(Technology.WINDOWS, user, port)


# -- SSH ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "phase"),
    [
        (b"", Phase.NEGOTIATE),
        (b"SS", Phase.NEGOTIATE),
        (b"please hold the line\r\n", Phase.NEGOTIATE),
        (b"SSH-2.0-x\r\n", Phase.KEX),
        (b"SSH-2.0-x\r\n\x00\x00\x01", Phase.KEX),
    ],
)
async def test_ssh_silent(said: bytes, phase: Phase) -> None:
    stage = Stage()
    async with silent_after(said, stage) as port:
        seen = Seen()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(seen.log_in, unix(port), PASSWORD)
            await stage.reached.wait()
            while seen.ledger.current is not phase:  # the words are on the wire; give our side its turns
                await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()
        await stage.released.wait()
    assert not seen.submitted


@pytest.mark.parametrize("count", [100, 700, 900])
async def test_ssh_in_the_key_exchange(count: int) -> None:
    stage, script = Stage(), Script()
    async with serving(script) as server, relay(server, after_bytes(count), stage) as port:
        seen = await cancel_when(stage.reached, stage.released, unix(port))
        await script.closed.wait()
    assert not seen.submitted
    assert script.passwords == []


async def test_ssh_while_the_password_is_judged() -> None:
    script = Script(hang_in_auth=True)
    async with serving(script) as port:
        seen = await cancel_when(script.hanging, script.closed, unix(port))
    assert seen.submitted
    assert seen.ledger.current is Phase.AUTH
    assert script.passwords == [PASSWORD]


async def test_ssh_while_the_first_command_runs() -> None:
    script = Script(hang_in_command=True)
    async with serving(script) as port:
        seen = await cancel_when(script.hanging, script.closed, unix(port))
    assert seen.submitted
    assert seen.ledger.current is Phase.PRIVILEGE


async def test_ssh_between_the_steps() -> None:
    """Permit and vault are awaited with the server's question open; to be cancelled there must end the session."""
    script = Script()
    asked = anyio.Event()

    async def wait_for_permit(port: int) -> None:
        ledger = PhaseLedger()
        sock = await dial("127.0.0.1", port, ledger)
        assert not isinstance(sock, Failure)
        async with FACTORIES[Technology.UNIX](sock, unix(port), ledger) as login:
            assert not isinstance(await login.negotiate(), Failure)
            asked.set()
            await anyio.sleep_forever()

    async with serving(script) as port, anyio.create_task_group() as tasks:
        tasks.start_soon(wait_for_permit, port)
        await asked.wait()
        tasks.cancel_scope.cancel()
        with anyio.CancelScope(shield=True):
            await script.closed.wait()
    assert script.passwords == []


async def test_ssh_flood_of_lines() -> None:
    stage = Stage()
    async with flooding(b"wait\r\n", stage) as port:
        seen = Seen()
        with anyio.fail_after(20):  # it ends by itself: a server that goes on and on is not SSH
            await seen.log_in(unix(port), PASSWORD)
        await stage.released.wait()
    assert seen.returned
    assert not seen.submitted


async def test_a_login_that_is_never_begun_closes_its_socket() -> None:
    stage = Stage()
    for technology in Technology:
        async with silent_after(b"", stage) as port:
            ledger = PhaseLedger()
            sock = await dial("127.0.0.1", port, ledger)
            assert not isinstance(sock, Failure)
            async with FACTORIES[technology](sock, make_job(technology, "scan", port), ledger):
                pass
            await stage.released.wait()


@pytest.mark.slow
async def test_hundreds_of_silent_hosts_are_released_together() -> None:
    """No thread and no task waits for any of them; one deadline ends them all."""
    stage = Stage()
    ended: list[Technology] = []

    async def one(technology: Technology, port: int) -> None:
        with anyio.move_on_after(1.0) as scope:
            await Seen().log_in(make_job(technology, "scan", port), PASSWORD)
        assert scope.cancelled_caught
        ended.append(technology)

    async with silent_after(b"", stage) as port, anyio.create_task_group() as tasks:
        for number in range(400):
            tasks.start_soon(one, list(Technology)[number % 2], port)
    assert len(ended) == 400


# -- SMB ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("said", [b"", b"\x00\x00", b"\x00\x00\x00\x40\xfeSMB"])
async def test_smb_silent(said: bytes) -> None:
    stage = Stage()
    async with silent_after(said, stage) as port:
        seen = await cancel_when(stage.reached, stage.released, windows(port))
    assert not seen.submitted
    assert seen.ledger.current in (Phase.TCP, Phase.NEGOTIATE)


PENDING = struct.pack("<4sHHLHHLLQLLQ16s", b"\xfeSMB", 64, 0, 0x103, 0, 1, 1, 0, 0, 0, 0, 0, b"") + bytes(9)
"""An SMB 2 answer with STATUS_PENDING: impacket then waits for the next, however many come."""


@pytest.mark.parametrize("data", [b"\x85\x00\x00\x00", len(PENDING).to_bytes(4, "big") + PENDING])
async def test_smb_floods(data: bytes) -> None:
    stage = Stage()
    async with flooding(data, stage) as port:
        seen = await cancel_when(stage.reached, stage.released, windows(port))
    assert not seen.submitted


@pytest.mark.peer
@pytest.mark.parametrize(
    ("messages", "phase", "submitted"),
    [
        (0, Phase.NEGOTIATE, False),
        (1, Phase.NEGOTIATE, False),  # the challenge does not come
        (2, Phase.AUTH, True),  # the verdict does not come
        (3, Phase.PRIVILEGE, True),  # the tree connect hangs
        (4, Phase.PRIVILEGE, True),
    ],
)
async def test_smb_after_each_message(smbds: dict[str, Smbd], messages: int, phase: Phase, submitted: bool) -> None:
    smbd, stage = smbds["plain"], Stage()
    before = len(smbd.logons("smbadmin"))
    async with relay(smbd.port, after_messages(messages), stage) as port:
        job = windows(port, "smbadmin")
        seen = await cancel_when(stage.reached, stage.released, job, smbd.passwords["smbadmin"])
    assert seen.ledger.current is phase
    assert seen.submitted is submitted
    assert len(smbd.logons("smbadmin")) - before == int(submitted)


def test_the_relay_counts_whole_messages() -> None:
    hold = after_messages(2)
    assert hold(b"\x00\x00\x00\x01a\x00\x00\x00\x01b") is None
    assert hold(b"\x00\x00\x00\x01a\x00\x00\x00\x01b\x00") == 10
    assert isinstance(relay(0, hold, Stage()), AbstractAsyncContextManager)
