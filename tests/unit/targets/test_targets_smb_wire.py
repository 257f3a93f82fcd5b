"""SMB 2 from bytes alone: what a client may send, and that nothing but `WireError` comes of what no client sends."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from targets.smb import ntlm, spnego, wire
from targets.smb.conversation import House, Verdict
from targets.smb.ntlm import Answer, Names
from targets.smb.rpc import Endpoint
from targets.smb.signing import Signer, derive
from targets.smb.status import Status
from targets.smb.wire import Command, Header, WireError
from tests.unit.targets.targets_lab import Talk

NOW = 133_000_000_000_000_000


class Host:
    """A `House` that lets nobody in."""

    names = Names("SRV1", "CORP")
    guid = bytes(16)
    signing_required = False
    encryption_required = False
    ciphers: ClassVar[Sequence[int]] = ()
    dialects = frozenset({wire.SMB_2_1, wire.SMB_3_1_1})
    shares: ClassVar[Mapping[str, int]] = {"IPC$": int(Status.SUCCESS)}

    offers_ntlm = True
    ntlm = int(Status.SUCCESS)

    def open_pipe(self, name: str) -> Endpoint | int:
        return int(Status.OBJECT_NAME_NOT_FOUND)

    def judge(self, answer: Answer, nonce: bytes) -> Verdict:
        assert len(nonce) == 8
        return Verdict(Status.LOGON_FAILURE if answer.proof else Status.SUCCESS)


def conversation(house: House | None = None) -> Talk:
    return Talk(house or Host(), lambda: NOW, lambda: b"nonce678")


def negotiate(*dialects: int, contexts: bytes = b"", count: int = 0) -> bytes:
    names = struct.pack(f"<{len(dialects)}H", *dialects)
    offset = -(-(wire.HEADER + 36 + len(names)) // 8) * 8
    fixed = struct.pack("<HHHHI16sIHH", 36, len(dialects), 1, 0, 0, bytes(16), offset if count else 0, count, 0)
    message = Header(Command.NEGOTIATE).pack() + fixed + names
    return message.ljust(offset, b"\0") + contexts if count else message


PREAUTH = struct.pack("<HHIHHH4s", 1, 10, 0, 1, 4, 1, b"salt")


def status(frame: bytes) -> int:
    return wire.read_header(frame).status


def dialect(frame: bytes) -> int:
    return int.from_bytes(frame[wire.HEADER + 4 : wire.HEADER + 6], "little")


# -- what a client sends -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "chosen"),
    [
        (negotiate(0x0202, 0x0210), 0x0210),
        (negotiate(0x0210, 0x0311), 0x0210),
        (negotiate(0x0210, 0x0311, contexts=PREAUTH, count=1), 0x0311),
    ],
    ids=["2.1", "3.1.1 without its context", "3.1.1"],
)
def test_the_newest_common_dialect_is_chosen(request_: bytes, chosen: int) -> None:
    [answer] = conversation().receive(request_)
    assert status(answer) == Status.SUCCESS
    assert dialect(answer) == chosen
    assert spnego.offer() in answer


def test_no_common_dialect() -> None:
    [answer] = conversation().receive(negotiate(0x0202))
    assert status(answer) == Status.NOT_SUPPORTED


def smb1(*names: bytes) -> bytes:
    body = b"".join(b"\x02" + name + b"\0" for name in names)
    return b"\xffSMB\x72" + bytes(27) + b"\0" + struct.pack("<H", len(body)) + body


def test_smb1_clients_that_know_better_are_told_to_begin_anew() -> None:
    [answer] = conversation().receive(smb1(b"NT LM 0.12", b"SMB 2.002", b"SMB 2.???"))
    assert dialect(answer) == wire.SMB_2_WILDCARD
    with pytest.raises(WireError):
        conversation().receive(smb1(b"NT LM 0.12"))


def test_a_host_of_smb1_alone() -> None:
    class Old(Host):
        dialects: frozenset[int] = frozenset()

    [answer] = conversation(Old()).receive(smb1(b"PC NETWORK PROGRAM 1.0", b"NT LM 0.12"))
    assert answer.startswith(wire.SMB1_PROTOCOL)
    assert struct.unpack_from("<BH", answer, 32) == (17, 1)
    with pytest.raises(WireError):
        conversation(Old()).receive(negotiate(0x0210))


def test_requests_outside_of_a_session_are_refused() -> None:
    talk = conversation()
    talk.receive(negotiate(0x0210))
    tree = Header(Command.TREE_CONNECT, session=7).pack() + bytes(8)
    [answer] = talk.receive(tree)
    assert status(answer) == Status.USER_SESSION_DELETED
    [echo] = talk.receive(Header(Command.ECHO).pack() + struct.pack("<HH", 4, 0))
    assert status(echo) == Status.SUCCESS
    with pytest.raises(WireError):
        conversation().receive(tree)


def test_a_compound_is_answered_message_by_message() -> None:
    talk = conversation()
    talk.receive(negotiate(0x0210))
    body = struct.pack("<HH", 4, 0).ljust(8, b"\0")
    first = Header(Command.ECHO, message=1, following=wire.HEADER + 8).pack() + body
    second = Header(Command.ECHO, message=2).pack() + body
    assert [wire.read_header(answer).message for answer in talk.receive(first + second)] == [1, 2]


# -- what no client sends ----------------------------------------------------------------------------------------------


def survives(frame: bytes, talk: Talk) -> None:
    try:
        for answer in talk.receive(frame):
            assert wire.read_header(answer).flags & wire.RESPONSE
    except WireError:
        return


@given(st.binary(max_size=300))
def test_any_bytes_at_first(data: bytes) -> None:
    survives(data, conversation())
    survives(wire.SMB1_PROTOCOL + data, conversation())


@given(st.integers(0, 20), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.binary(max_size=200))
def test_any_body_behind_a_good_header(command: int, flags: int, following: int, body: bytes) -> None:
    talk = conversation()
    survives(Header(Command.NEGOTIATE).pack() + body, conversation())
    talk.receive(negotiate(0x0210))
    survives(Header(command, flags=flags & ~1, following=following).pack() + body, talk)


@given(st.binary(max_size=200))
def test_any_token_in_a_session_setup(token: bytes) -> None:
    for sent in (token, b"NTLMSSP\0" + token, spnego.answer(1, b"NTLMSSP\0\3\0\0\0" + token)):
        talk = conversation()
        talk.receive(negotiate(0x0210))
        fixed = struct.pack("<HBBIIHHQ", 25, 0, 1, 0, 0, wire.HEADER + 24, len(sent), 0)
        survives(Header(Command.SESSION_SETUP).pack() + fixed + sent, talk)


@given(st.binary(max_size=250))
def test_any_answer_to_the_challenge(data: bytes) -> None:
    try:
        answer = ntlm.read_answer(b"NTLMSSP\0\3\0\0\0" + data)
    except WireError:
        return
    assert ntlm.proves(answer, b"nonce678", "password") is None


# -- against the published examples ------------------------------------------------------------------------------------


def test_ntlmv2_of_the_specification() -> None:
    """MS-NLMP 4.2.4: user, domain and password of its examples, with the proof that it gives."""
    nonce = bytes.fromhex("0123456789abcdef")
    pairs = "02000c0044006f006d00610069006e0001000c005300650072007600650072000000000000000000"
    blob = bytes.fromhex("0101000000000000" + "00" * 8 + "aa" * 8 + "00000000" + pairs)
    proof = bytes.fromhex("68cd0ab851e51c96aabc927bebef6a1c")
    answer = Answer("User", "Domain", "COMPUTER", proof + blob, b"", 0, b"", b"")
    assert ntlm.proves(answer, nonce, "Password") == bytes.fromhex("8de40ccadbc14a82f15cb0ad0de95ca3")
    assert ntlm.proves(answer, nonce, "password") is None


def test_a_signature_covers_the_message() -> None:
    for signer in (Signer(bytes(16), cmac=False), Signer(derive(bytes(16), b"x", b"y"), cmac=True)):
        signed = signer.sign(Header(Command.ECHO).pack() + b"body")
        assert signer.is_right(signed)
        assert wire.read_header(signed).signed
        assert not signer.is_right(signed[:-1] + b"Y")
        assert not Signer(b"1" * 16, cmac=signer.cmac).is_right(signed)
