"""What the fast path leaves out, a server and a scan cannot see: the same messages, the same outcomes and evidence."""

from __future__ import annotations

import random
import shlex
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from asyncssh.connection import SSHConnection
from asyncssh.constants import MSG_DISCONNECT, MSG_IGNORE, MSG_KEXINIT
from asyncssh.packet import SSHPacket, SSHPacketLogger
from hypothesis import given
from hypothesis import strategies as st
from impacket import nmb, ntlm
from impacket.smb3structs import SMB2Negotiate_Response

from appliance.contract import Failure, Technology
from appliance.login import LoginFactory, smb_fast, ssh_fast
from appliance.login.bridge import StreamSession, open_session, run_blocking
from appliance.login.dial import dial
from appliance.login.smb import smb_login
from appliance.login.smb_fast import FastSmbSession
from appliance.login.smb_hash import nt_hash
from appliance.login.smb_requests import tree_connect
from appliance.login.smb_session import SmbSession
from appliance.login.ssh import ssh_login
from appliance.login.ssh_survey import _unquoted
from appliance.phases import PhaseLedger
from appliance.vault.credential import Credential
from tests.peers.attempt import Attempt, attempt, make_job
from tests.unit.login.ssh_servers import PASSWORD, Script, serving
from tests.unit.login.test_simulated_hosts import faults
from tests.unit.targets.targets_lab import running

NETWORK = {Technology.UNIX: "127.92.0.0/24", Technology.WINDOWS: "127.93.0.0/24"}


def factory(technology: Technology, *, fast: bool) -> LoginFactory:
    return partial(ssh_login if technology is Technology.UNIX else smb_login, fast=fast)


def test_the_libraries_are_those_that_it_was_written_for() -> None:
    """A new version: hold its inside against the two modules, then add it to their VERSIONS."""
    assert (ssh_fast.USABLE, smb_fast.USABLE) == (True, True)


async def test_with_another_version_of_a_library_the_login_is_plain(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(ssh_fast, "USABLE", False)
    monkeypatch.setattr(smb_fast, "USABLE", False)

    def never(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(ssh_fast.FastConnection, "__init__", never)
    monkeypatch.setattr(FastSmbSession, "__init__", never)
    for technology in Technology:
        assert (await at_simulated_hosts(technology, ["none"], tmp_path, fast=True))["none"].reason == "PASSED"


# -- outcomes and evidence ---------------------------------------------------------------------------------------------


async def at_simulated_hosts(
    technology: Technology, names: list[str], state: Path, *, fast: bool
) -> dict[str, Attempt]:
    """By fault, an attempt at a host of an estate that is the same each time."""
    text = "".join(
        f'[[hosts]]\ntechnology = "{technology}"\nnetwork = "{NETWORK[technology]}"\nfault = "{name}"\n'
        for name in names
    )
    found: dict[str, Attempt] = {}
    async with running(text, state / f"{technology}-{fast}") as (ready, world), anyio.create_task_group() as logins:
        port = ready.ssh_port if technology is Technology.UNIX else ready.smb_port

        async def log_in(address: str) -> None:
            host = world.estate.hosts[address]
            job = make_job(technology, host.user, port, address=address, sudo=technology is Technology.UNIX)
            credential = Credential(password=world.estate.secrets[host.secret].material.password)
            found[host.fault.name] = await attempt(job, credential, factory=factory(technology, fast=fast))

        for address in world.estate.hosts:
            logins.start_soon(log_in, address)
    return found


@pytest.mark.parametrize("technology", Technology)
async def test_each_fault_is_seen_as_without_it(technology: Technology, tmp_path: Path) -> None:
    names = list(dict.fromkeys(["none", *faults(technology)]))
    plain = await at_simulated_hosts(technology, names, tmp_path, fast=False)
    fast = await at_simulated_hosts(technology, names, tmp_path, fast=True)
    assert {a.reason for a in plain.values()} > {"PASSED"}
    for name, seen in plain.items():
        job = fast[name].job  # names a port, which is another one each time
        assert replace(seen, job=job) == fast[name], name


# -- SSH ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, bytes]]:
    """What SSH servers of this process receive: types and payloads, without what is random in them."""
    received: list[tuple[int, bytes]] = []
    log = SSHPacketLogger.log_received_packet

    def logged(self: Any, pkttype: int, pktid: int, packet: SSHPacket, note: str = "") -> None:
        connection = self if isinstance(self, SSHConnection) else self._conn
        if connection.is_server():
            payload = packet.get_full_payload()
            kept = payload[17:] if pkttype == MSG_KEXINIT else payload
            received.append((pkttype, kept if connection._recv_encryption or pkttype == MSG_KEXINIT else b""))
        log(self, pkttype, pktid, packet, note)

    monkeypatch.setattr(SSHPacketLogger, "log_received_packet", logged)
    return received


@pytest.mark.parametrize("version", ["OpenSSH_9.2p1", "dropbear_2022.83"])
@pytest.mark.parametrize("cipher", ["aes128-gcm@openssh.com", "chacha20-poly1305@openssh.com", "aes128-ctr"])
async def test_an_ssh_server_hears_the_same_packets(heard: list[tuple[int, bytes]], cipher: str, version: str) -> None:
    by_way: dict[bool, list[tuple[int, bytes]]] = {}
    for fast in (False, True):
        script = Script()
        async with serving(script, encryption_algs=[cipher], server_version=version) as port:
            job = make_job(Technology.UNIX, "scan", port)
            ended = await attempt(job, Credential(password=PASSWORD), factory=factory(Technology.UNIX, fast=fast))
            assert ended.reason == "PASSED"
            await script.closed.wait()
        by_way[fast] = heard.copy()
        heard.clear()
    assert by_way[True][-1][0] == MSG_DISCONNECT, "its goodbye is not lost with what was held back"
    fillers = [packet for packet in by_way[False] if packet[0] == MSG_IGNORE]
    assert fillers
    if cipher == "aes128-ctr":
        assert by_way[True] == by_way[False]
    else:
        assert by_way[True] == [packet for packet in by_way[False] if packet[0] != MSG_IGNORE]


async def test_packets_of_one_turn_leave_in_one_write(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[int] = []
    flush = ssh_fast.FastConnection._flush

    def counted(self: ssh_fast.FastConnection) -> None:
        if self._unsent:
            written.append(len(self._unsent))
        flush(self)

    monkeypatch.setattr(ssh_fast.FastConnection, "_flush", counted)
    async with serving(Script()) as port:
        ended = await attempt(make_job(Technology.UNIX, "scan", port), Credential(password=PASSWORD))
    assert ended.reason == "PASSED"
    # The new keys' message goes with the request for a service behind it, the channel's end with the goodbye.
    assert max(written) > 1
    assert len(written) < sum(written)


@given(st.one_of(st.text("ab \"'\\$`#=.", max_size=12), st.text(max_size=12)))
def test_values_of_os_release_are_read_as_a_shell_does(value: str) -> None:
    try:
        words = shlex.split(value)
    except ValueError:
        words = [value]
    assert _unquoted(value) == (words[0] if words else "")


# -- SMB ---------------------------------------------------------------------------------------------------------------


class Recorded(StreamSession):
    """Another session's answers, over again."""

    def __init__(self, answers: list[bytes]) -> None:
        self._answers = iter(answers)
        self._held = None
        self.sent: list[bytes] = []

    def send_packet(self, data: bytes) -> None:
        self.sent.append(data)

    def recv_packet(self, timeout: float | None = None) -> nmb.NetBIOSSessionPacket:
        return nmb.NetBIOSSessionPacket(next(self._answers))

    @contextmanager
    def together(self) -> Iterator[None]:
        yield


@pytest.fixture
def nothing_random(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways draw the same: impacket letters, we bytes."""
    monkeypatch.setattr(random, "choice", lambda _: "A")
    monkeypatch.setattr("impacket.smb3.rand.choice", lambda _: "A")
    monkeypatch.setattr("os.urandom", lambda count: b"A" * count)


def talk(session: SmbSession, password: str) -> Iterator[Any]:
    """A login, a look, and a log-off; what it comes to."""
    yield session.facts()
    yield session.offers_ntlm
    yield session.challenge()
    yield session.answer("scan", nt_hash(password), "")
    yield session.facts()
    [share] = session.ask(tree_connect(session.address, "IPC$"))
    yield session.connected(share)
    yield session.ask(tree_connect(session.address, "ADMIN$"), tree_connect(session.address, "C$"))
    yield session.logoff()


@pytest.mark.usefixtures("nothing_random")
@pytest.mark.parametrize(
    ("system", "more"),
    [
        ("server-2022", ""),
        ("server-2022", 'fault = "encryption"'),
        ("server-2012-r2", ""),
        ("server-2012-r2", 'fault = "encryption"'),
        ("server-2008-r2", ""),
    ],
)
async def test_an_smb_server_hears_the_same_bytes(
    system: str, more: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = f'[[hosts]]\ntechnology = "windows"\nnetwork = "127.94.0.0/24"\nsystem = "{system}"\n{more}\n'
    sent: list[bytes] = []
    answers: list[bytes] = []
    receive, send = StreamSession.receive, StreamSession.send_packet

    async def received(self: StreamSession) -> nmb.NetBIOSSessionPacket:
        packet = await receive(self)
        answers.append(packet.rawData())
        return packet

    def sending(self: StreamSession, data: bytes) -> None:
        sent.append(data)
        send(self, data)

    monkeypatch.setattr(StreamSession, "receive", received)
    monkeypatch.setattr(StreamSession, "send_packet", sending)
    async with running(text, tmp_path) as (ready, world):
        [(address, host)] = world.estate.hosts.items()
        password = world.estate.secrets[host.secret].material.password
        sock = await dial(address, ready.smb_port, PhaseLedger())
        assert not isinstance(sock, Failure)
        stream = await open_session(sock)
        plain = await run_blocking(lambda: list(talk(SmbSession(stream, address), password)))
        await stream.abandon()
    again = Recorded(answers)
    fast = list(talk(FastSmbSession(again, address), password))
    assert fast == plain
    assert again.sent == sent


Outcome = tuple[Any, type[Exception] | None]


def outcome(read: Callable[[], Any]) -> Outcome:
    """What is read, or the class of what is raised, which is what evidence keeps of it."""
    try:
        return read(), None
    except Exception as error:  # noqa: BLE001 - whatever it is
        return None, type(error)


def damaged(*whole: bytes) -> st.SearchStrategy[bytes]:
    """One of these with a few other bytes in it, cut off, or with more behind it."""

    def damage(data: bytes, changes: list[tuple[int, int]], cut: int, more: bytes) -> bytes:
        changed = bytearray(data)
        for at, byte in changes:
            changed[at % len(data)] = byte
        return bytes(changed[: len(data) - cut]) + more

    changes = st.lists(st.tuples(st.integers(0, 80), st.integers(0, 255)), max_size=3)
    return st.builds(damage, st.sampled_from(whole), changes, st.integers(0, 6), st.binary(max_size=3))


def bare() -> tuple[SmbSession, SmbSession]:
    """A plain session and a fast one that have spoken to nobody."""
    sessions = SmbSession.__new__(SmbSession), FastSmbSession.__new__(FastSmbSession)
    for session in sessions:
        session._Connection = {"SupportsEncryption": False}
    return sessions


SET_UP = struct.pack("<HHHH", 9, 4, 72, 5) + b"token"


@given(damaged(SET_UP, SET_UP[:8]))
def test_an_answer_to_a_session_set_up_is_read_as_impacket_does(body: bytes) -> None:
    plain, fast = bare()
    assert outcome(lambda: fast.read_set_up(body)) == outcome(lambda: plain.read_set_up(body))


CONTEXTS = struct.pack("<HHIHHH32s2x", 1, 38, 0, 1, 32, 1, b"salt") + struct.pack("<HHIHH", 2, 4, 0, 1, 1)


@given(st.integers(0, 4), damaged(CONTEXTS, CONTEXTS[:48], b"\0" * 60))
def test_contexts_of_a_negotiation_are_read_as_impacket_does(count: int, data: bytes) -> None:
    plain, fast = bare()
    ended = [outcome(partial(session.processContextList, count, data))[1] for session in (fast, plain)]
    assert ended[0] == ended[1]
    if ended[0] is None:
        assert fast._Connection["SupportsEncryption"] == plain._Connection["SupportsEncryption"]


def negotiated(*, dialect: int = 0x311, contexts: bytes = CONTEXTS) -> bytes:
    at = 64 + 64 + 8 if contexts else 0
    head = struct.pack("<HHHH16sIIIIQQHHI", 65, 1, dialect, 2, b"guid", 0x7F, 1, 1, 1, 0, 0, 128, 5, at)
    return head + b"token" + (b"\0\0\0" + contexts if contexts else b"")


@given(damaged(negotiated(), negotiated(dialect=0x302, contexts=b"")))
def test_an_answer_to_a_negotiation_is_read_as_impacket_does(body: bytes) -> None:
    names = (
        "DialectRevision",
        "SecurityMode",
        "Capabilities",
        "Buffer",
        "NegotiateContextCount",
        "NegotiateContextList",
    )

    def read(by: Callable[[bytes], Any]) -> Outcome:
        return outcome(lambda: [found[name] for found in (by(body),) for name in names])

    assert read(smb_fast._read_negotiated) == read(SMB2Negotiate_Response)


INFO = b"".join(struct.pack("<HH", kind, 4) + b"H\0O\0" for kind in (1, 2, 3, 4)) + bytes(4)
FLAGS = ntlm.NTLMSSP_NEGOTIATE_KEY_EXCH | ntlm.NTLMSSP_NEGOTIATE_128 | ntlm.NTLMSSP_NEGOTIATE_SIGN


def challenged(flags: int = FLAGS) -> bytes:
    head = (b"NTLMSSP\0", 2, 0, 0, 56, flags, b"nonce...", bytes(8), len(INFO), len(INFO), 56, bytes(8))
    return struct.pack("<8sIHHII8s8sHHI8s", *head) + INFO


@given(damaged(challenged(), challenged(ntlm.NTLMSSP_NEGOTIATE_VERSION), challenged()[:48]))
def test_a_challenge_is_read_as_impacket_does(challenge: bytes) -> None:
    plain, fast = bare()
    assert outcome(lambda: fast.target_info(challenge)) == outcome(lambda: plain.target_info(challenge))


@pytest.mark.usefixtures("nothing_random")
@pytest.mark.parametrize("flags", [0, FLAGS, 0xFFFFFFFF & ~ntlm.NTLMSSP_NEGOTIATE_VERSION])
@pytest.mark.parametrize(("user", "domain"), [("scan", ""), ("J\xfcrgen", "CORP"), ("\ud800", "")])
def test_a_challenge_is_answered_as_impacket_does(
    flags: int, user: str, domain: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("impacket.ntlm.time.gmtime", lambda: (2026, 1, 1, 0, 0, 0, 0, 0, 0))
    plain, fast = bare()
    answers = []
    for session in (plain, fast):
        type1, token = session.ntlm_offer()
        answer = partial(session.ntlm_answer, type1, challenged(flags), user, bytes(16), domain)
        answers.append((token, outcome(answer)))
    assert answers[0] == answers[1]
