"""SMB 2 messages within a session: trees, files and pipes. Bytes to values and back, no state (MS-SMB2 2.2).

Reading raises `WireError` for whatever is too short or inconsistent, and nothing else.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace

from targets.smb.wire import HEADER, Header, WireError, capabilities, part_of, text_of, unpack

VALIDATE_NEGOTIATE_INFO = 0x00140204
PIPE_TRANSCEIVE = 0x0011C017
DISK, PIPE = 1, 2

_TREE = struct.Struct("<HHHH")
_CREATE = struct.Struct("<HBBIQQIIIIIHHII")
_IOCTL = struct.Struct("<HHI16sIIIIIIII")
_CLOSE = struct.Struct("<HHI16s")
_READ = struct.Struct("<HBBIQ16sIIIHH")
_WRITE = struct.Struct("<HHIQ16sIIHHI")


def read_tree_connect(data: bytes) -> str:
    r"""2.2.9: the share's name, as in `\\server\share`."""
    size, _, offset, length = unpack(_TREE, data, HEADER)
    if size != 9:
        raise WireError("unreadable tree connect request")
    return text_of(part_of(data, offset, length)).rsplit("\\", 1)[-1]


def tree_connected(header: Header, tree: int, kind: int) -> bytes:
    """2.2.10."""
    return replace(header.answer(), tree=tree).pack() + struct.pack("<HBBIII", 16, kind, 0, 0, 0, 0x001F01FF)


def read_create(data: bytes) -> str:
    """2.2.13: the name to be opened."""
    values = unpack(_CREATE, data, HEADER)
    if values[0] != 57:
        raise WireError("unreadable create request")
    return text_of(part_of(data, values[11], values[12])) if values[12] else ""


def created(header: Header, file: bytes, *, directory: bool) -> bytes:
    """2.2.14: opened."""
    attributes = 0x10 if directory else 0x80
    body = struct.pack("<HBBIQQQQQQII16sII", 89, 0, 0, 1, 0, 0, 0, 0, 0, 0, attributes, 0, file, 0, 0)
    return header.answer().pack() + body


def read_close(data: bytes) -> bytes:
    """2.2.15: the file's id."""
    size, _, _, file = unpack(_CLOSE, data, HEADER)
    if size != 24:
        raise WireError("unreadable close request")
    return bytes(file)


def closed(header: Header) -> bytes:
    """2.2.16."""
    return header.answer().pack() + struct.pack("<HHIQQQQQQI", 60, 0, 0, 0, 0, 0, 0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Ioctl:
    """2.2.31."""

    code: int
    file: bytes
    data: bytes
    output_max: int


def read_ioctl(data: bytes) -> Ioctl:
    values = unpack(_IOCTL, data, HEADER)
    if values[0] != 57:
        raise WireError("unreadable ioctl request")
    offset, length = values[4], values[5]
    return Ioctl(int(values[2]), bytes(values[3]), part_of(data, offset, length) if length else b"", int(values[9]))


def controlled(header: Header, asked: Ioctl, output: bytes, status: int = 0) -> bytes:
    """2.2.32."""
    offset = HEADER + 48
    body = struct.pack("<HHI16sIIIIII", 49, 0, asked.code, asked.file, offset, 0, offset, len(output), 0, 0)
    return header.answer(status).pack() + body + output


def read_read(data: bytes) -> tuple[bytes, int]:
    """2.2.19: the file's id, and how much of it."""
    size, _, _, length, _, file, *_ = unpack(_READ, data, HEADER)
    if size != 49:
        raise WireError("unreadable read request")
    return bytes(file), int(length)


def was_read(header: Header, data: bytes, status: int = 0) -> bytes:
    """2.2.20."""
    return header.answer(status).pack() + struct.pack("<HBBIII", 17, HEADER + 16, 0, len(data), 0, 0) + data


def read_write(data: bytes) -> tuple[bytes, bytes]:
    """2.2.21: the file's id, and what is written."""
    size, offset, length, _, file, *_ = unpack(_WRITE, data, HEADER)
    if size != 49:
        raise WireError("unreadable write request")
    return bytes(file), part_of(data, offset, length)


def written(header: Header, length: int) -> bytes:
    """2.2.22."""
    return header.answer().pack() + struct.pack("<HHIIHH", 17, 0, length, 0, 0, 0)


def negotiate_info(*, guid: bytes, mode: int, dialect: int, cipher: int | None) -> bytes:
    """2.2.32.6: what was negotiated, to be said again under a signature."""
    return struct.pack("<I16sHH", capabilities(dialect, cipher), guid, mode, dialect)
