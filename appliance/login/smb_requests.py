"""What is asked within a session: trees, pipes, and what is said on them. Bytes to values and back (MS-SMB2 2.2).

impacket's own calls for these send one request and wait for its answer, which costs a round trip each. Here are
the bodies alone; `SmbSession.ask` sends several at once. Reading raises struct.error for what is cut off.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

TREE_CONNECT, CREATE, IOCTL = 3, 5, 11
PIPE_TRANSCEIVE = 0x0011C017
SHARE_ENCRYPTS = 0x0008

_HEADER = 64
_CREATE = struct.Struct("<HBBIQQIIIIIHHII")
_IOCTL = struct.Struct("<HHI16sIIIIIIII")
_IMPERSONATE, _READ_AND_WRITE, _SHARED, _OPEN, _NO_DIRECTORY = 2, 0x0012019F, 3, 1, 0x40
_IS_FSCTL = 1


@dataclass(frozen=True, slots=True)
class Request:
    command: int
    body: bytes
    tree: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    """0, or the NTSTATUS that refuses the request."""
    body: bytes
    tree: int


def tree_connect(address: str, share: str) -> Request:
    """2.2.9."""
    path = f"\\\\{address}\\{share}".encode("utf-16-le")
    return Request(TREE_CONNECT, struct.pack("<HHHH", 9, 0, _HEADER + 8, len(path)) + path)


def share_flags(answer: Answer) -> int:
    """2.2.10."""
    (flags,) = struct.unpack_from("<I", answer.body, 4)
    return int(flags)


def open_pipe(tree: int, name: str) -> Request:
    """2.2.13: to be read and written, as a call is both."""
    text = name.encode("utf-16-le")
    at = _HEADER + _CREATE.size
    body = _CREATE.pack(
        57, 0, 0, _IMPERSONATE, 0, 0, _READ_AND_WRITE, 0, _SHARED, _OPEN, _NO_DIRECTORY, at, len(text), 0, 0
    )
    return Request(CREATE, body + text, tree)


def file_of(answer: Answer) -> bytes:
    """2.2.14: what was opened."""
    (file,) = struct.unpack_from("<16s", answer.body, 64)
    return bytes(file)


def say(tree: int, file: bytes, message: bytes, *, at_most: int) -> Request:
    """2.2.31: a message to a pipe, whose answer is the next one from it."""
    start = _HEADER + _IOCTL.size
    body = _IOCTL.pack(57, 0, PIPE_TRANSCEIVE, file, start, len(message), 0, 0, 0, at_most, _IS_FSCTL, 0)
    return Request(IOCTL, body + message, tree)


def said(answer: Answer) -> bytes:
    """2.2.32: what the pipe answered."""
    start, length = struct.unpack_from("<II", answer.body, 32)
    start -= _HEADER
    if start < 0 or start + length > len(answer.body):
        raise struct.error("an answer that points out of its message")
    return answer.body[start : start + length]
