"""Bytes that no client sends, given to each reader of SMB, SPNEGO, NTLM and encrypted frames: a value or a `WireError`.

Three kinds: any bytes; fixed parts of the right size with anything in them; and good messages with a byte changed, or
cut off.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from impacket import ntlm as independent

from targets.smb import ntlm, spnego, wire, wire_tree
from targets.smb.conversation import Verdict
from targets.smb.ntlm import Answer, Names
from targets.smb.sealing import AES_128_CCM, AES_128_GCM, TRANSFORMED, Sealer, session_of
from targets.smb.status import Status
from targets.smb.wire import Command, Header, WireError
from tests.unit.targets.targets_lab import Talk
from tests.unit.targets.test_targets_smb_wire import NOW, PREAUTH, Host, negotiate, smb1, status

Reader = Callable[[bytes], object]

FIXED: dict[str, tuple[Reader, str, int]] = {
    # reader, layout of the fixed part after the header, the structure size that it begins with (MS-SMB2 2.2)
    "negotiate": (wire.read_negotiate, "<HHHHI16sIHH", 36),
    "session setup": (wire.read_setup, "<HBBIIHHQ", 25),
    "tree connect": (wire_tree.read_tree_connect, "<HHHH", 9),
    "create": (wire_tree.read_create, "<HBBIQQIIIIIHHII", 57),
    "ioctl": (wire_tree.read_ioctl, "<HHI16sIIIIIIII", 57),
    "close": (wire_tree.read_close, "<HHI16s", 24),
    "read": (wire_tree.read_read, "<HBBIQ16sIIIHH", 49),
    "write": (wire_tree.read_write, "<HHIQ16sIIHHI", 49),
}
READERS: dict[str, Reader] = {
    **{name: reader for name, (reader, _, _) in FIXED.items()},
    "header": wire.read_header,
    "compound": lambda data: list(wire.requests(data)),
    "SMB 1": wire.smb1_dialects,
    "SPNEGO": spnego.read,
    "NTLM negotiate": ntlm.client_flags,
    "NTLM authenticate": ntlm.read_answer,
    "encrypted frame": session_of,
}
each_reader = pytest.mark.parametrize("reader", READERS.values(), ids=READERS)


def read(reader: Reader, data: bytes) -> object:
    """What was read; None for a WireError, the one error that is documented."""
    try:
        return reader(data)
    except WireError:
        return None


# -- the readers -------------------------------------------------------------------------------------------------------


@each_reader
@given(data=st.binary(max_size=300))
def test_any_bytes(reader: Reader, data: bytes) -> None:
    read(reader, data)


@pytest.mark.parametrize("name", FIXED)
@given(data=st.data())
def test_anything_in_the_fields_of_a_fixed_part(name: str, data: st.DataObject) -> None:
    reader, layout, size = FIXED[name]
    drawn = bytearray(data.draw(st.binary(min_size=struct.calcsize(layout), max_size=struct.calcsize(layout))))
    if data.draw(st.booleans()):
        drawn[:2] = size.to_bytes(2, "little")
    # Lengths and offsets that nearly fit are likelier to find something than any.
    rest = data.draw(st.binary(max_size=120))
    for at in data.draw(st.lists(st.integers(0, len(drawn) - 2), max_size=4)):
        drawn[at : at + 2] = data.draw(st.integers(0, wire.HEADER + len(drawn) + len(rest) + 2)).to_bytes(2, "little")
    read(reader, Header(Command.ECHO).pack() + bytes(drawn) + rest)


def _setup(token: bytes) -> bytes:
    return struct.pack("<HBBIIHHQ", 25, 0, 1, 0, 0, wire.HEADER + 24, len(token), 0) + token


def _authenticate(user: bytes, proof: bytes = b"") -> bytes:
    """MS-NLMP 2.2.1.3, with Unicode names and no session key."""
    start = 64
    fields = [(len(part), len(part), start + sum(map(len, before))) for part, before in (
        (b"", ()), (proof, ()), (b"", ()), (user, (proof,)), (b"", ()), (b"", ()),
    )]  # fmt: skip
    packed = b"".join(struct.pack("<HHI", *field) for field in fields)
    return b"NTLMSSP\0" + struct.pack("<I", 3) + packed + struct.pack("<I", ntlm.UNICODE) + proof + user


TYPE1 = b"NTLMSSP\0" + struct.pack("<II", 1, ntlm.UNICODE) + bytes(16)
USER = "scan".encode("utf-16-le")
SHARE = r"\\srv\IPC$".encode("utf-16-le")
GOOD: dict[str, tuple[Reader, bytes]] = {
    "negotiate": (wire.read_negotiate, negotiate(0x0210, 0x0311, contexts=PREAUTH, count=1)),
    "session setup": (wire.read_setup, Header(Command.SESSION_SETUP).pack() + _setup(TYPE1)),
    "tree connect": (
        wire_tree.read_tree_connect,
        Header(Command.TREE_CONNECT).pack() + struct.pack("<HHHH", 9, 0, wire.HEADER + 8, len(SHARE)) + SHARE,
    ),
    "create": (
        wire_tree.read_create,
        Header(Command.CREATE).pack()
        + struct.pack("<HBBIQQIIIIIHHII", 57, 0, 0, 2, 0, 0, 1, 0, 7, 1, 0, wire.HEADER + 56, len(USER), 0, 0)
        + USER,
    ),
    "ioctl": (
        wire_tree.read_ioctl,
        Header(Command.IOCTL).pack()
        + struct.pack(
            "<HHI16sIIIIIIII", 57, 0, wire_tree.VALIDATE_NEGOTIATE_INFO, b"\xff" * 16, 0, 0, 0, 0, 0, 24, 1, 0
        ),
    ),
    "close": (wire_tree.read_close, Header(Command.CLOSE).pack() + struct.pack("<HHI16s", 24, 0, 0, bytes(16))),
    "read": (
        wire_tree.read_read,
        Header(Command.READ).pack() + struct.pack("<HBBIQ16sIIIHH", 49, 0, 0, 9, 0, bytes(16), 0, 0, 0, 0, 0),
    ),
    "write": (
        wire_tree.read_write,
        Header(Command.WRITE).pack()
        + struct.pack("<HHIQ16sIIHHI", 49, wire.HEADER + 48, len(USER), 0, bytes(16), 0, 0, 0, 0, 0)
        + USER,
    ),
    "SMB 1": (wire.smb1_dialects, smb1(b"NT LM 0.12", b"SMB 2.002")),
    "SPNEGO init": (spnego.read, spnego.offer()),
    "SPNEGO": (spnego.read, spnego.answer(1, TYPE1, names_mechanism=True, mic=bytes(16))),
    "NTLM": (ntlm.read_answer, _authenticate(USER, bytes(60))),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_good_message_is_read(name: str) -> None:
    reader, message = GOOD[name]
    assert read(reader, message) is not None


@pytest.mark.parametrize("name", GOOD)
@given(at=st.integers(0, 400), value=st.integers(0, 255), cut=st.integers(0, 400))
def test_a_good_message_with_a_byte_changed_or_cut_off(name: str, at: int, value: int, cut: int) -> None:
    reader, message = GOOD[name]
    at %= len(message)
    read(reader, message[:at] + bytes([value]) + message[at + 1 :])
    read(reader, message[: cut % len(message)])


# -- a session that stands ---------------------------------------------------------------------------------------------


class Open(Host):
    """Lets everybody in, without a key."""

    def judge(self, answer: Answer, nonce: bytes) -> Verdict:
        return Verdict(Status.SUCCESS)


def standing() -> tuple[Talk, int, int]:
    """A conversation with a session and a tree in it, and their numbers."""
    talk = Talk(Open(), lambda: NOW, lambda: b"nonce678")
    talk.receive(negotiate(0x0210))
    [first] = talk.receive(Header(Command.SESSION_SETUP).pack() + _setup(TYPE1))
    session = wire.read_header(first).session
    [second] = talk.receive(Header(Command.SESSION_SETUP, session=session).pack() + _setup(_authenticate(USER)))
    assert status(second) == Status.SUCCESS
    share = struct.pack("<HHHH", 9, 0, wire.HEADER + 8, len(SHARE)) + SHARE
    [third] = talk.receive(Header(Command.TREE_CONNECT, session=session).pack() + share)
    assert status(third) == Status.SUCCESS
    return talk, session, wire.read_header(third).tree


@given(command=st.integers(0, 20), flags=st.integers(0, 2**32 - 1), in_tree=st.booleans(), body=st.binary(max_size=150))
def test_any_body_within_a_session(command: int, flags: int, in_tree: bool, body: bytes) -> None:
    talk, session, tree = standing()
    header = Header(command, flags=flags & ~wire.RESPONSE, session=session, tree=tree if in_tree else 7)
    for answer in read(talk.receive, header.pack() + body) or ():  # type: ignore[attr-defined]
        assert wire.read_header(answer).flags & wire.RESPONSE


# -- encryption --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cipher", [AES_128_CCM, AES_128_GCM])
@given(data=st.binary(max_size=200), size=st.integers(0, 200), at=st.integers(0, 200))
def test_a_frame_that_was_not_sealed_with_the_key(cipher: int, data: bytes, size: int, at: int) -> None:
    sealer = Sealer.of(wire.SMB_3_1_1, 9, bytes(16), bytes(64), cipher)
    frame = TRANSFORMED + data.ljust(48, b"\0")
    assert read(sealer.open, frame) is None
    assert read(sealer.open, frame[:36] + size.to_bytes(4, "little") + frame[40:]) is None
    ours = Sealer(9, cipher, sealer.outgoing, sealer.incoming).seal(b"message")
    assert sealer.open(ours) == b"message"
    at = 4 + at % (len(ours) - 4)
    changed = ours[:at] + bytes([ours[at] ^ 1]) + ours[at + 1 :]
    assert read(sealer.open, changed) is None


# -- against an independent reader -------------------------------------------------------------------------------------

labels = st.text(st.characters(codec="utf-16", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=15)


@given(host=labels, domain=labels, dns=labels, flags=st.integers(0, 2**32 - 1), nonce=st.binary(min_size=8, max_size=8))
def test_a_challenge_is_read_by_others_as_it_was_meant(
    host: str, domain: str, dns: str, flags: int, nonce: bytes
) -> None:
    message = ntlm.challenge(Names(host, domain, dns), nonce, flags, NOW)
    found: Any = independent.NTLMAuthChallenge(message)
    assert bytes(found["challenge"]) == nonce
    pairs = independent.AV_PAIRS(found["TargetInfoFields"])
    names = [
        pairs[kind][1].decode("utf-16-le")
        for kind in (independent.NTLMSSP_AV_HOSTNAME, independent.NTLMSSP_AV_DOMAINNAME)
    ]
    assert names == [host.upper(), domain.upper()]
