"""A host that lets us in has to show that it knows the password: nothing else proves the account."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path

import anyio
import pytest
from anyio.abc import SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream
from impacket import nmb

from appliance.classify import classify
from appliance.contract import Evidence, Failure, Phase, Technology
from appliance.login.bridge import StreamSession
from appliance.login.smb import smb_login
from appliance.reasons import Lockout
from appliance.vault.credential import Credential
from targets.smb.sealing import Sealer
from targets.smb.signing import Signer
from tests.peers.attempt import Attempt, attempt, make_job
from tests.unit.login.ssh_servers import peer
from tests.unit.login.test_smb_causes import ADMIN, CHALLENGE, IPC, VERDICT, log_in, signing, whole

Sign = Callable[[int, Signer, bytes], bytes]
SIGN = Signer.sign

TEXT = "the host accepts the login and cannot prove that it knows the password: "
OLDER, SMB_311 = ("server-2008-r2", "server-2012-r2"), "server-2022"
"""Of SMB 2.1 and 3.0.2; and of 3.1.1."""
each_path = pytest.mark.parametrize("fast", [True, False], ids=["fast", "plain"])
each_system = pytest.mark.parametrize("system", [*OLDER, SMB_311])


async def at_host(directory: Path, system: str, *, fault: str = "none", fast: bool = True) -> Attempt:
    return await log_in(directory, CHALLENGE, whole, fault=fault, system=system, fast=fast)


def unproven(ended: Attempt, why: str) -> None:
    """Submitted, no success, and nothing that the pacer would take for a proof of the account."""
    assert (ended.reason, ended.submitted, ended.proven) == ("AUTH_NOT_REQUIRED", True, False)
    assert isinstance(ended.result, Failure)
    assert (ended.result.phase, ended.result.text) == (Phase.AUTH, TEXT + why)
    evidence = Evidence(phase=ended.result.phase, signal=ended.result.signal, submitted=True)
    assert classify(Technology.WINDOWS, evidence).lockout is Lockout.IF_SUBMITTED


def unsigned(_number: int, _signer: Signer, message: bytes) -> bytes:
    return message


def with_another_key(_number: int, signer: Signer, message: bytes) -> bytes:
    return SIGN(replace(signer, key=b"nobody's key 123"), message)


def but_for(kind: Sign, *numbers: int) -> Sign:
    """Rightly, but for the messages of these numbers."""
    return lambda number, signer, message: (kind if number in numbers else rightly)(number, signer, message)


def rightly(_number: int, signer: Signer, message: bytes) -> bytes:
    return SIGN(signer, message)


@asynccontextmanager
async def repeating(messages: list[bytes]) -> AsyncIterator[int]:
    """The port of a host that knows nothing: to each request it says what another one has said, and then sends back
    what it hears.
    """

    async def handle(stream: SocketStream) -> None:
        async with stream:
            requests = BufferedByteReceiveStream(stream)
            try:
                for number in count():
                    head = await requests.receive_exactly(4)
                    heard = await requests.receive_exactly(int.from_bytes(head, "big"))
                    message = messages[number] if number < len(messages) else heard
                    await stream.send(len(message).to_bytes(4, "big") + message)
            except (anyio.IncompleteRead, anyio.BrokenResourceError, anyio.EndOfStream):
                return

    async with peer(handle) as port:
        yield port


async def recorded(directory: Path, system: str) -> list[bytes]:
    """What a host has said to who knew the password."""
    heard: list[bytes] = []
    receive = StreamSession.receive

    async def noting(stream: StreamSession) -> nmb.NetBIOSSessionPacket:
        packet = await receive(stream)
        heard.append(packet.get_trailer())
        return packet

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StreamSession, "receive", noting)
        assert (await at_host(directory, system)).reason == "PASSED"
    return heard


@each_path
@each_system
async def test_a_host_that_repeats_what_another_has_said(system: str, fast: bool, tmp_path: Path) -> None:
    async with repeating(await recorded(tmp_path, system)) as port:
        job = make_job(Technology.WINDOWS, "scan", port)
        ended = await attempt(job, Credential(password="anything at all"), factory=partial(smb_login, fast=fast))
    unproven(ended, "an answer is signed with another key")


@each_path
@pytest.mark.parametrize("system", OLDER)
async def test_a_host_that_sends_back_what_we_have_signed(system: str, fast: bool, tmp_path: Path) -> None:
    """The key is one for both directions."""
    messages = (await recorded(tmp_path, system))[: VERDICT + 1]
    messages[VERDICT] = messages[VERDICT][:16] + b"\1\0\0\0" + messages[VERDICT][20:]
    async with repeating(messages) as port:
        job = make_job(Technology.WINDOWS, "scan", port)
        ended = await attempt(job, Credential(password="anything at all"), factory=partial(smb_login, fast=fast))
    unproven(ended, "an answer is our own request, sent back")


@each_path
@each_system
async def test_a_host_that_signs_with_another_key(system: str, fast: bool, tmp_path: Path) -> None:
    with signing(with_another_key):
        unproven(await at_host(tmp_path, system, fast=fast), "an answer is signed with another key")


@each_path
@each_system
async def test_a_host_that_signs_nothing(system: str, fast: bool, tmp_path: Path) -> None:
    why = "its answer to the login is not signed" if system == SMB_311 else "an answer (0x00000000) is not signed"
    with signing(unsigned):
        unproven(await at_host(tmp_path, system, fast=fast), why)


@each_path
@pytest.mark.parametrize("system", OLDER)
async def test_before_smb_311_a_host_may_prove_itself_by_its_first_answer(
    system: str, fast: bool, tmp_path: Path
) -> None:
    """Which is asked for before the account counts as proven, and once."""
    asked: list[bytes] = []
    send = StreamSession.send_packet

    def noting(stream: StreamSession, data: bytes) -> None:
        asked.append(data)
        send(stream, data)

    with pytest.MonkeyPatch.context() as patch, signing(but_for(unsigned, VERDICT)):
        patch.setattr(StreamSession, "send_packet", noting)
        assert (await at_host(tmp_path, system, fast=fast)).reason == "PASSED"
    assert sum("IPC$".encode("utf-16-le") in data for data in asked) == 1
    with signing(but_for(unsigned, VERDICT, IPC)):
        unproven(await at_host(tmp_path, system, fast=fast), "an answer (0x00000000) is not signed")
    with signing(lambda *message: (unsigned if message[0] == VERDICT else with_another_key)(*message)):
        unproven(await at_host(tmp_path, system, fast=fast), "an answer is signed with another key")


@each_path
@pytest.mark.parametrize("says", [unsigned, with_another_key])
async def test_who_has_proven_itself_goes_on_signing(says: Sign, fast: bool, tmp_path: Path) -> None:
    with signing(but_for(says, ADMIN)):
        ended = await at_host(tmp_path, SMB_311, fast=fast)
    assert ended.reason == "PRIV_CHECK_FAILED"
    assert isinstance(ended.result, Failure)
    assert "signed" in ended.result.text


@each_path
async def test_what_is_encrypted_proves_the_host(fast: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seal = Sealer.seal
    encrypted = partial(at_host, tmp_path, "server-2012-r2", fault="encryption", fast=fast)
    with signing(unsigned):
        assert (await encrypted()).reason == "PASSED"
    monkeypatch.setattr(Sealer, "seal", lambda sealer, said: seal(replace(sealer, outgoing=bytes(16)), said))
    with signing(unsigned):
        unproven(await encrypted(), "an answer is encrypted with another key")
    monkeypatch.setattr(Sealer, "seal", lambda _sealer, said: said)
    with signing(unsigned):
        unproven(await encrypted(), "an answer (0x00000000) is not signed")
    assert (await encrypted()).reason == "PRIV_CHECK_FAILED"


@pytest.mark.parametrize("fault", ["guest", "anonymous"])
@each_system
async def test_a_session_without_a_key_keeps_its_own_reason(fault: str, system: str, tmp_path: Path) -> None:
    ended = await log_in(tmp_path, CHALLENGE, whole, fault=fault, system=system, password="wrong")
    assert ended.reason == f"{fault.upper()}_SESSION"
