"""Which of SMB's ways to say no is which reason: a simulated host, with what it says changed on the way."""

from __future__ import annotations

import errno
import socket
import struct
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from functools import partial
from itertools import count
from pathlib import Path

import anyio
import pytest
from anyio.abc import SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

from appliance.contract import Failure, Phase, Technology
from appliance.login.dial import anywhere, os_error
from appliance.login.kerberos_kdc import Kdc
from appliance.login.smb import NTLM_HINT, _SmbLogin, smb_login
from appliance.login.smb_fast import FastSmbSession
from appliance.login.smb_session import SmbSession
from appliance.phases import PhaseLedger
from appliance.vault.credential import Credential
from targets.smb.signing import Signer
from tests.peers.attempt import Attempt, attempt, make_job
from tests.unit.login.ssh_servers import peer
from tests.unit.targets.targets_lab import running
from tests.unit.test_classify_rows import SESSION_SETUP, STATUSES

Change = Callable[[bytes], bytes]
"""Of one message of a server's, without its four bytes of length."""

STATUS = slice(8, 12)
"""Of an SMB 2 header (MS-SMB2 2.2.1.2)."""
NEGOTIATE, CHALLENGE, VERDICT, IPC, ADMIN, C, SVCCTL, WINREG, *CALLS = range(12)
"""The server's messages of one login, in order; CALLS: two binds, and then two calls."""
NOTHING = -1


def refused(status: int) -> Change:
    def change(message: bytes) -> bytes:
        return message[: STATUS.start] + status.to_bytes(4, "little") + message[STATUS.stop :]

    return change


def cut_short(message: bytes) -> bytes:
    return message[:70]


def no_smb(_message: bytes) -> bytes:
    return b"HTTP/1.1 400 Bad Request"


def smb1(_message: bytes) -> bytes:
    return b"\xffSMB" + bytes(32)


@asynccontextmanager
async def between(address: str, port: int, at: int, change: Change) -> AsyncIterator[int]:
    """A port that leads to a host; its message number `at` is changed."""

    async def handle(client: SocketStream) -> None:
        async with client, await anyio.connect_tcp(address, port) as server, anyio.create_task_group() as both:

            async def upwards() -> None:
                async for data in client:
                    await server.send(data)
                both.cancel_scope.cancel()

            both.start_soon(upwards)
            answers = BufferedByteReceiveStream(server)
            number = 0
            while True:
                try:
                    length = int.from_bytes(await answers.receive_exactly(4), "big")
                    message = await answers.receive_exactly(length)
                except (anyio.IncompleteRead, anyio.EndOfStream, anyio.BrokenResourceError):
                    break
                message = change(message) if number == at else message
                number += 1
                await client.send(len(message).to_bytes(4, "big") + message)
            both.cancel_scope.cancel()

    async with peer(handle) as changed:
        yield changed


@contextmanager
def signing(sign: Callable[[int, Signer, bytes], bytes]) -> Iterator[Callable[[Signer, bytes], bytes]]:
    """Simulated hosts sign their messages so; the first of a login is number VERDICT. Gives the right way."""
    right, numbers = Signer.sign, count(VERDICT)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Signer, "sign", lambda signer, message: sign(next(numbers), signer, message))
        yield right


@contextmanager
def saying(at: int, change: Change) -> Iterator[None]:
    """A host whose message number `at` is changed before it is signed: it is the host that says so."""
    with signing(lambda number, signer, said: right(signer, change(said) if number == at else said)) as right:
        yield


async def log_in(
    directory: Path,
    at: int,
    change: Change,
    *,
    fault: str = "none",
    system: str = "server-2022",
    user: str = "scan",
    password: str | None = None,
    fast: bool = True,
) -> Attempt:
    """At a host that says something else in its message number `at`."""
    network = "127.92.0.0/24"
    text = f'[[hosts]]\ntechnology = "windows"\nnetwork = "{network}"\nfault = "{fault}"\nsystem = "{system}"\n'
    async with running(text, directory) as (ready, world):
        [(address, host)] = world.estate.hosts.items()
        right = world.estate.secrets[host.secret].material.password
        credential = Credential(password=right if password is None else password)
        # What could not be signed is changed on the way.
        signed = at >= VERDICT and change not in (no_smb, smb1)
        with saying(at, change) if signed else nullcontext():
            async with between(address, ready.smb_port, NOTHING if signed else at, change) as port:
                job = make_job(Technology.WINDOWS, user, port)
                return await attempt(job, credential, factory=partial(smb_login, fast=fast))


@pytest.mark.parametrize(
    ("at", "change", "phase", "reason"),
    [
        # Before there is a session, and in it: another service, or a broken one.
        (NEGOTIATE, no_smb, Phase.NEGOTIATE, "NOT_SMB"),
        (CHALLENGE, no_smb, Phase.NEGOTIATE, "SMB_PROTOCOL"),
        (NEGOTIATE, smb1, Phase.NEGOTIATE, "SMB1_ONLY"),
        (VERDICT, smb1, Phase.AUTH, "SMB_PROTOCOL"),
        (IPC, no_smb, Phase.PRIVILEGE, "PRIV_CHECK_FAILED"),
        (WINREG, smb1, Phase.PRIVILEGE, "PRIV_CHECK_FAILED"),
        (NEGOTIATE, cut_short, Phase.NEGOTIATE, "SMB_PROTOCOL"),
        (CHALLENGE, cut_short, Phase.NEGOTIATE, "SMB_PROTOCOL"),
        (VERDICT, cut_short, Phase.AUTH, "SMB_PROTOCOL"),
        (IPC, cut_short, Phase.PRIVILEGE, "PRIV_CHECK_FAILED"),
        (ADMIN, cut_short, Phase.PRIVILEGE, "PRIV_CHECK_FAILED"),
        # STATUS_NOT_SUPPORTED: no dialect in common, or no NTLM.
        (NEGOTIATE, refused(0xC00000BB), Phase.NEGOTIATE, "SMB_PROTOCOL"),
        (CHALLENGE, refused(0xC00000BB), Phase.NEGOTIATE, "NTLM_DISABLED"),
        (VERDICT, refused(0xC00000BB), Phase.AUTH, "NTLM_DISABLED"),
        # STATUS_ACCESS_DENIED: of the login, of the session that should prove it, of the right.
        (VERDICT, refused(0xC0000022), Phase.AUTH, "AUTH_REFUSED"),
        (IPC, refused(0xC0000022), Phase.PRIVILEGE, "PRIV_CHECK_FAILED"),
        # The account is in Administrators, as the host tells: it is the token that lacks.
        (ADMIN, refused(0xC0000022), Phase.PRIVILEGE, "PRIV_UAC_FILTERED"),
        (C, refused(0xC00000CC), Phase.PRIVILEGE, "ADMIN_SHARE_OFF"),
        (C, cut_short, Phase.PRIVILEGE, "PRIV_CHECK_FAILED"),
        (SVCCTL, refused(0xC0000022), Phase.PRIVILEGE, "PRIV_NO_SERVICES"),
        (SVCCTL, refused(0xC0000034), Phase.PRIVILEGE, "PRIV_CHECK_FAILED"),
        (SVCCTL, cut_short, Phase.PRIVILEGE, "PRIV_CHECK_FAILED"),
        (WINREG, refused(0xC0000022), Phase.PRIVILEGE, "PRIV_NO_REGISTRY"),
        (WINREG, refused(0xC0000034), Phase.PRIVILEGE, "REMOTE_REGISTRY_OFF"),
        (WINREG, refused(0xC0000205), Phase.PRIVILEGE, "PRIV_CHECK_FAILED"),
        # Busy or starting: asked for again, and there the next time.
        (WINREG, refused(0xC00000AC), Phase.PRIVILEGE, "PASSED"),
        (WINREG, refused(0xC00000AE), Phase.PRIVILEGE, "PASSED"),
        *((at, cut_short, Phase.PRIVILEGE, "PRIV_CHECK_FAILED") for at in CALLS),
        *((at, refused(0xC00000B0), Phase.PRIVILEGE, "PRIV_CHECK_FAILED") for at in CALLS),
    ],
)
async def test_what_a_server_may_answer(at: int, change: Change, phase: Phase, reason: str, tmp_path: Path) -> None:
    ended = await log_in(tmp_path, at, change)
    assert ended.reason == reason
    if reason != "PASSED":
        assert isinstance(ended.result, Failure)
        assert ended.result.phase is phase


@pytest.mark.parametrize("name", SESSION_SETUP)
async def test_every_status_of_the_table_on_the_wire(name: str, tmp_path: Path) -> None:
    ended = await log_in(tmp_path, VERDICT, refused(STATUSES[name]))
    assert ended.reason == SESSION_SETUP[name]
    assert ended.submitted
    assert isinstance(ended.result, Failure)
    assert ended.result.text == f"0x{STATUSES[name]:08x}"


@pytest.mark.parametrize(
    ("fault", "reason", "late"), [("wrong_password", "BAD_CREDENTIALS", True), ("none", "PASSED", False)]
)
async def test_a_host_that_takes_its_time_to_refuse(fault: str, reason: str, late: bool, tmp_path: Path) -> None:
    """Server 2025 answers a refused logon 2 s late: no time-out, and a good one is not made to wait."""
    began = time.monotonic()
    with anyio.fail_after(5):
        ended = await log_in(tmp_path, NEGOTIATE, whole, fault=fault, system="server-2025")
    assert ended.reason == reason
    assert (time.monotonic() - began >= 2.0) is late


@pytest.mark.parametrize("fault", ["ntlm_disabled", "ntlm_blocked", "ntlm_refused", "kerberos_only"])
async def test_a_host_without_ntlm_counts_no_logon(fault: str, tmp_path: Path) -> None:
    text = f'[[hosts]]\ntechnology = "windows"\nnetwork = "127.92.0.0/24"\nfault = "{fault}"\n'
    async with running(text, tmp_path) as (ready, world):
        [(address, host)] = world.estate.hosts.items()
        credential = Credential(password=world.estate.secrets[host.secret].material.password)
        job = make_job(Technology.WINDOWS, "scan", ready.smb_port, address=address)
        ended = await attempt(job, credential)
        assert ended.reason == "NTLM_DISABLED"
        assert ended.submitted is (fault in ("ntlm_disabled", "ntlm_blocked"))
        assert world.metrics.hosts[address].logons == []


async def test_a_connection_that_is_cut_at_the_first_ntlm_message_says_what_it_may_be(tmp_path: Path) -> None:
    """Server 2025 does so where it does not accept NTLM; but so does any host that fails just then."""
    ended = await log_in(tmp_path, NEGOTIATE, whole, fault="reset_after_banner")
    assert ended.reason == "CONNECTION_RESET"
    assert isinstance(ended.result, Failure)
    assert ended.result.text.endswith(NTLM_HINT)


def whole(message: bytes) -> bytes:
    return message


async def test_a_wrong_password_where_nothing_could_be_encrypted(tmp_path: Path) -> None:
    """SMB 2.1 knows no encryption: a refusal is none for want of a cipher."""
    ended = await log_in(tmp_path, NEGOTIATE, whole, fault="wrong_password", system="server-2008-r2")
    assert ended.reason == "BAD_CREDENTIALS"


@pytest.mark.parametrize(("user", "password"), [("", None), ("scan", "")])
async def test_no_anonymous_login_is_made_for_want_of_a_user_or_password(
    user: str, password: str | None, tmp_path: Path
) -> None:
    ended = await log_in(tmp_path, NEGOTIATE, whole, user=user, password=password)
    assert ended.reason == "SECRET_FIELD_MISSING"
    assert not ended.submitted


@pytest.mark.parametrize(
    ("error", "text"),
    [(ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"), "Connection reset by peer"), (OSError(), "")],
)
async def test_an_error_of_the_system_is_told_in_its_own_words(error: OSError, text: str) -> None:
    def fail() -> None:
        raise error

    controllers = partial(Kdc, allow=anywhere)
    with socket.socket() as sock:
        login = _SmbLogin(sock, make_job(Technology.WINDOWS, "scan", 445), PhaseLedger(), controllers, time.time)
        assert await login._call(Phase.AUTH, fail) == Failure(Phase.AUTH, os_error(error), text)


# -- challenges that say less ------------------------------------------------------------------------------------------


def target_info(message: bytes) -> tuple[int, int]:
    """Where the eight bytes stand that place it in a message with an NTLM challenge, and where it begins."""
    challenge = message.index(b"NTLMSSP\0")
    return challenge + 40, challenge + int.from_bytes(message[challenge + 44 : challenge + 48], "little")


def without_target_info(message: bytes) -> bytes:
    at, _ = target_info(message)
    return message[:at] + bytes(8) + message[at + 8 :]


def without_pair(kind: int) -> Change:
    """Its place is another's, which nobody asks for."""

    def change(message: bytes) -> bytes:
        _, at = target_info(message)
        while message[at] != kind:
            at += 4 + int.from_bytes(message[at + 2 : at + 4], "little")
        return message[:at] + b"\x05" + message[at + 1 :]

    return change


@pytest.mark.parametrize("fast", [True, False], ids=["fast", "plain"])
@pytest.mark.parametrize(
    ("change", "lacks"),
    [
        (without_target_info, {"netbios_host", "netbios_domain", "dns_host", "dns_domain"}),
        (without_pair(1), {"netbios_host"}),
        (without_pair(3), {"dns_host"}),
        (without_pair(7), set()),  # the time
    ],
    ids=["nothing", "no NetBIOS name", "no DNS name", "no time"],
)
async def test_a_challenge_that_does_not_say_all_is_answered(
    change: Change, lacks: set[str], fast: bool, tmp_path: Path
) -> None:
    """Of a server before SMB 3.1.1, which has its messages hashed: that one would not be taken in."""
    ended = await log_in(tmp_path, CHALLENGE, change, system="server-2008-r2", fast=fast)
    assert ended.reason == "PASSED"
    assert {"netbios_host", "netbios_domain", "dns_host", "dns_domain"} - ended.facts.keys() == lacks
    ended = await log_in(tmp_path, CHALLENGE, change, system="server-2008-r2", fast=fast, password="wrong")
    assert ended.reason == "BAD_CREDENTIALS"
    assert ended.submitted


@pytest.mark.parametrize("kind", [FastSmbSession, SmbSession])
async def test_an_answer_that_cannot_be_made_was_not_submitted(
    kind: type[SmbSession], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> tuple[bytes, bytes]:
        raise struct.error("what does not fit")

    monkeypatch.setattr(kind, "ntlm_answer", fail)
    ended = await log_in(tmp_path, CHALLENGE, whole, fast=kind is FastSmbSession)
    assert ended.reason == "SMB_PROTOCOL"
    assert not ended.submitted
