"""The few DCE/RPC messages that a look at a host's rights takes: bytes to values and back, no state.

C706 chapters 12 and 14, with MS-RPCE's common form: version 5.0, little-endian, NDR, one fragment, no authentication of
its own (the session has that). Reading raises `RpcError` for whatever is too short, in fragments or no such answer.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from uuid import UUID

ACCESS_DENIED = 5
"""nca_s_fault_access_denied, and ERROR_ACCESS_DENIED of the calls themselves."""
FRAGMENT = 4280
"""Bytes of an answer at most; those asked for take a hundred."""

_REQUEST, _RESPONSE, _FAULT, _BIND, _BIND_ACK, _BIND_NAK = 0, 2, 3, 11, 12, 13
_WHOLE = 0x03
_NDR = (UUID("8a885d04-1ceb-11c9-9fe8-08002b104860"), 2)
_HEAD = "<BBBBIHHI"
_HEAD_SIZE = struct.calcsize(_HEAD)
_LITTLE_ENDIAN = 0x10


class RpcError(Exception):
    """An answer that is none; the text says what was wrong with it, and quotes nothing."""


class RpcFault(RpcError):
    """The server refuses the call."""

    def __init__(self, status: int) -> None:
        super().__init__(f"RPC fault 0x{status:08x}")
        self.status = status


@dataclass(frozen=True, slots=True)
class Interface:
    """A pipe, and what is spoken on it."""

    pipe: str
    uuid: UUID
    version: int


SVCCTL = Interface("svcctl", UUID("367abb81-9844-35f1-ad32-98f038001003"), 2)
"""MS-SCMR: the service control manager."""
WINREG = Interface("winreg", UUID("338cd001-2244-31f1-aaaa-900038001003"), 1)
"""MS-RRP: the remote registry."""
SAMR = Interface("samr", UUID("12345778-1234-abcd-ef00-0123456789ac"), 1)
"""MS-SAMR: the accounts."""


def bind(interface: Interface) -> bytes:
    """The first message on a pipe."""
    context = struct.pack("<HBB", 0, 1, 0)
    syntaxes = b"".join(uuid.bytes_le + struct.pack("<I", version) for uuid, version in (_of(interface), _NDR))
    return _message(_BIND, struct.pack("<HHIB3x", FRAGMENT, FRAGMENT, 0, 1) + context + syntaxes)


def read_bind(answer: bytes) -> None:
    """Raises RpcError where the interface is not to be had."""
    kind, body = _read(answer)
    if kind != _BIND_ACK:
        raise RpcError("the interface is refused" if kind == _BIND_NAK else "no answer to a bind")
    (length,) = _unpack("<H", body, 8)
    results = 10 + length + (-(10 + length) % 4)
    (count,) = _unpack("<B", body, results)
    (result,) = _unpack("<H", body, results + 4)
    if not count or result:
        raise RpcError("the interface is refused")


def request(number: int, arguments: bytes) -> bytes:
    """A call of the operation of that number."""
    return _message(_REQUEST, struct.pack("<IHH", len(arguments), 0, number) + arguments)


def read_response(answer: bytes) -> bytes:
    """What a call returned. Raises RpcFault where it was refused."""
    kind, body = _read(answer)
    if kind == _FAULT:
        raise RpcFault(_unpack("<I", body, 8)[0])
    if kind != _RESPONSE or len(body) < 8:
        raise RpcError("no answer to a call")
    return body[8:]


def _of(interface: Interface) -> tuple[UUID, int]:
    return interface.uuid, interface.version


def _message(kind: int, body: bytes) -> bytes:
    return struct.pack(_HEAD, 5, 0, kind, _WHOLE, _LITTLE_ENDIAN, _HEAD_SIZE + len(body), 0, 1) + body


def _read(answer: bytes) -> tuple[int, bytes]:
    major, _minor, kind, flags, order, length, authentication, _call = _unpack(_HEAD, answer, 0)
    if major != 5 or order != _LITTLE_ENDIAN or not _HEAD_SIZE <= length <= len(answer) or authentication:
        raise RpcError("no RPC message")
    if flags & _WHOLE != _WHOLE:
        raise RpcError("an RPC message in fragments")
    return kind, answer[_HEAD_SIZE:length]


def _unpack(layout: str, data: bytes, at: int) -> tuple[int, ...]:
    try:
        return struct.unpack_from(layout, data, at)
    except struct.error:
        raise RpcError("an RPC message that is cut off") from None


# -- MS-SCMR, MS-RRP ---------------------------------------------------------------------------------------------------

SC_MANAGER_CONNECT = 0x0001
KEY_QUERY_VALUE = 0x0001


def open_service_manager() -> bytes:
    """ROpenSCManagerW (MS-SCMR 3.1.4.15), to connect and no more: neither list nor query."""
    return request(15, struct.pack("<III", 0, 0, SC_MANAGER_CONNECT))


def open_local_machine() -> bytes:
    """OpenLocalMachine (MS-RRP 3.1.5.3), to query values: what a scanner begins with."""
    return request(2, struct.pack("<II", 0, KEY_QUERY_VALUE))


def read_opened(answer: bytes) -> int:
    """The Win32 error of either; 0 for success. The handle goes with the pipe."""
    result = read_response(answer)
    return _unpack("<I", result, 20)[0]
