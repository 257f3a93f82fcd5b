"""SMB 2 messages: bytes to values and back, no state (MS-SMB2 2.2; the sections are named where they apply).

Reading raises `WireError` for whatever is too short, inconsistent or not SMB 2, and nothing else.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any

PROTOCOL = b"\xfeSMB"
SMB1_PROTOCOL = b"\xffSMB"
SMB1_NEGOTIATE = 0x72
FRAME_MAX = 1 << 20
"""Far more than any message of a login; a longer one is not read."""

RESPONSE, RELATED, SIGNED = 0x1, 0x4, 0x8
"""Flags of the header."""
SIGNING_ENABLED, SIGNING_REQUIRED = 0x1, 0x2
SMB_2_0_2, SMB_2_1, SMB_3_0, SMB_3_0_2, SMB_3_1_1 = 0x0202, 0x0210, 0x0300, 0x0302, 0x0311
SMB_2_WILDCARD = 0x02FF
PREAUTH_INTEGRITY, SHA_512 = 1, 1
ENCRYPTION = 2
CAN_ENCRYPT = 0x40
"""A capability, of the dialects 3.0 and 3.0.2."""

_HEADER = struct.Struct("<4sHHIHHIIQIIQ16s")
_NEGOTIATE = struct.Struct("<HHHHI16sIHH")
_NEGOTIATED = struct.Struct("<HHHH16sIIIIQQHHI")
_CONTEXT = struct.Struct("<HHI")
_SETUP = struct.Struct("<HBBIIHHQ")
HEADER = _HEADER.size


class WireError(ValueError):
    """Bytes that are no message of this protocol."""


class Command(IntEnum):
    NEGOTIATE = 0
    SESSION_SETUP = 1
    LOGOFF = 2
    TREE_CONNECT = 3
    TREE_DISCONNECT = 4
    CREATE = 5
    CLOSE = 6
    READ = 8
    WRITE = 9
    IOCTL = 11
    CANCEL = 12
    ECHO = 13


@dataclass(frozen=True, slots=True)
class Header:
    """2.2.1.2. `command` is a plain number: a peer may send any."""

    command: int
    status: int = 0
    charge: int = 1
    credits: int = 1
    flags: int = 0
    following: int = 0
    """Offset of the next message of a compound; 0 in the last."""
    message: int = 0
    tree: int = 0
    session: int = 0
    signature: bytes = bytes(16)

    def pack(self) -> bytes:
        return _HEADER.pack(
            PROTOCOL,
            HEADER,
            self.charge,
            self.status,
            self.command,
            self.credits,
            self.flags,
            self.following,
            self.message,
            0,
            self.tree,
            self.session,
            self.signature,
        )

    @property
    def signed(self) -> bool:
        return bool(self.flags & SIGNED)

    def answer(self, status: int = 0) -> Header:
        """The header of the response to this request: as many credits as were asked for, within reason."""
        return replace(
            self,
            status=status,
            credits=max(1, min(self.credits, 64)),
            flags=RESPONSE,
            following=0,
            signature=bytes(16),
        )


def read_header(data: bytes) -> Header:
    if len(data) < HEADER:
        raise WireError("shorter than a header")
    protocol, size, charge, status, command, credits_, flags, following, message, _, tree, session, signature = (
        _HEADER.unpack_from(data)
    )
    if protocol != PROTOCOL or size != HEADER:
        raise WireError("no SMB 2 header")
    return Header(command, status, charge, credits_, flags, following, message, tree, session, signature)


def requests(frame: bytes) -> Iterator[bytes]:
    """The messages of a frame, one after the other (3.3.5.2.7)."""
    while True:
        following = read_header(frame).following
        if not following:
            yield frame
            return
        if following % 8 or not HEADER <= following < len(frame):
            raise WireError("a compound that points beside its messages")
        yield frame[:following]
        frame = frame[following:]


def error(header: Header, status: int) -> bytes:
    """2.2.2."""
    return header.answer(status).pack() + struct.pack("<HBBIB", 9, 0, 0, 0, 0)


# -- negotiate ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Negotiate:
    """2.2.3."""

    dialects: tuple[int, ...]
    security_mode: int
    capabilities: int
    guid: bytes
    has_preauth: bool
    """A SHA-512 preauthentication integrity context came with it."""
    ciphers: tuple[int, ...]
    """Those of its encryption context, best first."""


def read_negotiate(data: bytes) -> Negotiate:
    size, count, mode, _, capabilities, guid, offset, contexts, _ = unpack(_NEGOTIATE, data, HEADER)
    start = HEADER + _NEGOTIATE.size
    if size != 36 or not count or len(data) < start + 2 * count:
        raise WireError("unreadable negotiate request")
    dialects = struct.unpack_from(f"<{count}H", data, start)
    found = dict(_contexts(data, offset, contexts)) if SMB_3_1_1 in dialects else {}
    has_preauth = SHA_512 in _numbers(found.get(PREAUTH_INTEGRITY, b""), after=4)
    ciphers = _numbers(found.get(ENCRYPTION, b""), after=2)
    return Negotiate(dialects, mode, capabilities, guid, has_preauth, ciphers)


def _contexts(data: bytes, offset: int, count: int) -> Iterator[tuple[int, bytes]]:
    """Kind and data of each negotiate context (2.2.3.1)."""
    for _ in range(count):
        kind, length, _ = unpack(_CONTEXT, data, offset)
        body = data[offset + _CONTEXT.size : offset + _CONTEXT.size + length]
        if len(body) < length:
            raise WireError("a negotiate context that is cut off")
        yield kind, body
        offset += _CONTEXT.size + -(-length // 8) * 8


def _numbers(context: bytes, *, after: int) -> tuple[int, ...]:
    """The algorithms that a context lists; their count comes first, the list begins `after` so many bytes."""
    if len(context) < after:
        return ()
    (count,) = struct.unpack_from("<H", context)
    if len(context) < after + 2 * count:
        raise WireError("a negotiate context that is cut off")
    return struct.unpack_from(f"<{count}H", context, after)


def negotiated(
    header: Header,
    *,
    dialect: int,
    mode: int,
    guid: bytes,
    now: int,
    token: bytes,
    salt: bytes,
    cipher: int | None = None,
) -> bytes:
    """2.2.4. `now` is a FILETIME; `salt` is for 3.1.1 alone. `cipher`: None where the client asked for none, 0 where no
    common one was found.
    """
    contexts = b""
    if dialect == SMB_3_1_1:
        body = struct.pack("<HHH", 1, len(salt), SHA_512) + salt
        contexts = _CONTEXT.pack(PREAUTH_INTEGRITY, len(body), 0) + body
        if cipher is not None:
            contexts += bytes(-len(contexts) % 8) + _CONTEXT.pack(ENCRYPTION, 4, 0) + struct.pack("<HH", 1, cipher)
    start = HEADER + _NEGOTIATED.size
    padding = -(start + len(token)) % 8 if contexts else 0
    fixed = _NEGOTIATED.pack(
        65,
        mode,
        dialect,
        0 if not contexts else 1 if cipher is None else 2,
        guid,
        capabilities(dialect, cipher),
        1 << 20,
        1 << 20,
        1 << 20,
        now,
        0,
        start,
        len(token),
        start + len(token) + padding if contexts else 0,
    )
    return header.answer().pack() + fixed + token + bytes(padding) + contexts


def capabilities(dialect: int, cipher: int | None) -> int:
    """What the server says it can do beyond its dialect; 3.1.1 says in a context of its own that it can encrypt."""
    return CAN_ENCRYPT if cipher and dialect != SMB_3_1_1 else 0


def smb1_dialects(frame: bytes) -> Sequence[bytes]:
    """The names that an SMB 1 negotiate request offers (MS-CIFS 2.2.4.52.1)."""
    if len(frame) < 37 or frame[4] != SMB1_NEGOTIATE:
        raise WireError("an SMB 1 message that is no negotiate request")
    words = frame[32]
    start = 33 + 2 * words
    if len(frame) < start + 2:
        raise WireError("an SMB 1 message that is cut off")
    (count,) = struct.unpack_from("<H", frame, start)
    body = frame[start + 2 : start + 2 + count]
    return [name.removeprefix(b"\x02") for name in body.split(b"\0") if name]


def smb1_negotiated(frame: bytes, index: int, now: int) -> bytes:
    """The response of a server that knows nothing newer (MS-CIFS 2.2.4.52.2), to the request in `frame`."""
    header = SMB1_PROTOCOL + bytes([SMB1_NEGOTIATE]) + bytes(4) + b"\x88" + frame[10:32]
    words = struct.pack("<HBHHIIIIQhB", index, 3, 50, 1, 16644, 65536, 0, 0x80, now, 0, 8)
    challenge = bytes(8)
    return header + bytes([len(words) // 2]) + words + struct.pack("<H", len(challenge)) + challenge


# -- session setup, logoff ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Setup:
    """2.2.5."""

    security_mode: int
    token: bytes
    binding: bool


def read_setup(data: bytes) -> Setup:
    size, flags, mode, _, _, offset, length, _ = unpack(_SETUP, data, HEADER)
    if size != 25:
        raise WireError("unreadable session setup request")
    return Setup(mode, part_of(data, offset, length), bool(flags & 1))


def set_up(header: Header, status: int, *, flags: int, token: bytes) -> bytes:
    """2.2.6; `flags`: 1 guest, 2 anonymous."""
    return header.answer(status).pack() + struct.pack("<HHHH", 9, flags, HEADER + 8, len(token)) + token


def bare(header: Header) -> bytes:
    """The response of 4 bytes that logoff, echo and tree disconnect have in common."""
    return header.answer().pack() + struct.pack("<HH", 4, 0)


# -- reading -----------------------------------------------------------------------------------------------------------


def unpack(layout: struct.Struct, data: bytes, offset: int) -> tuple[Any, ...]:
    if len(data) < offset + layout.size:
        raise WireError("a message that is cut off")
    return layout.unpack_from(data, offset)


def part_of(data: bytes, offset: int, length: int) -> bytes:
    if offset < HEADER or len(data) < offset + length:
        raise WireError("a field that points out of its message")
    return data[offset : offset + length]


def text_of(data: bytes) -> str:
    try:
        return data.decode("utf-16-le")
    except UnicodeDecodeError:
        raise WireError("a name that is no UTF-16") from None
