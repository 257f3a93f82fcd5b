"""DCE/RPC on a named pipe, as a server speaks it: a message in, a message out (C706 chapter 12, MS-RPCE 2.2.2).

One fragment each way, little-endian, NDR, no authentication of its own. What is bound, an `Endpoint` answers.
"""

from __future__ import annotations

import struct
from typing import Protocol
from uuid import UUID

from targets.smb.wire import WireError

FRAGMENT = 4280
ACCESS_DENIED, UNKNOWN_CALL, UNKNOWN_INTERFACE = 0x5, 0x1C010002, 0x1C010003
"""Fault codes: nca_s_fault_access_denied, nca_s_op_rng_error, nca_s_unk_if."""

_REQUEST, _RESPONSE, _FAULT, _BIND, _BIND_ACK, _BIND_NAK = 0, 2, 3, 11, 12, 13
_HEAD = struct.Struct("<BBBB4sHHI")
_NDR = UUID("8a885d04-1ceb-11c9-9fe8-08002b104860").bytes_le + struct.pack("<I", 2)
_WHOLE = 3
_NO_SUCH_SYNTAX, _PROVIDER_REJECTS = 1, 2


class Fault(Exception):
    """A call that is refused by the RPC server itself."""

    def __init__(self, status: int) -> None:
        super().__init__(f"0x{status:08x}")
        self.status = status


class Endpoint(Protocol):
    @property
    def syntax(self) -> bytes:
        """The interface's UUID and version, as a bind names them."""
        ...

    def call(self, number: int, arguments: bytes) -> bytes:
        """What the operation returns. Raises Fault, or struct.error for arguments that are cut off."""
        ...


def syntax(uuid: str, version: int) -> bytes:
    return UUID(uuid).bytes_le + struct.pack("<I", version)


class Pipe:
    """An opened pipe."""

    def __init__(self, name: str, endpoint: Endpoint) -> None:
        self._name = name
        self._endpoint = endpoint
        self._bound = False
        self.waiting = b""
        """What was answered to a write, for the read that follows it."""

    def answer(self, message: bytes) -> bytes:
        """Raises WireError for what is no message."""
        if len(message) < _HEAD.size:
            raise WireError("an RPC message that is cut off")
        version, _, kind, flags, order, length, _, call = _HEAD.unpack_from(message)
        if version != 5 or flags & _WHOLE != _WHOLE or order[:1] != b"\x10" or length != len(message):
            raise WireError("no whole RPC message")
        try:
            if kind == _BIND:
                return self._bind(call, message[_HEAD.size :])
            if kind != _REQUEST:
                raise WireError("an RPC message that is neither bind nor request")
            return self._request(call, message[_HEAD.size :])
        except struct.error:
            raise WireError("an RPC message that is cut off") from None

    def _bind(self, call: int, body: bytes) -> bytes:
        contexts = body[8]
        results, at = b"", 12
        for _ in range(contexts):
            transfers = body[at + 2]
            offered = [body[at + 24 + 20 * n : at + 44 + 20 * n] for n in range(transfers)]
            known = body[at + 4 : at + 24] == self._endpoint.syntax
            taken = known and _NDR in offered
            self._bound = self._bound or taken
            why = (_PROVIDER_REJECTS, _NO_SUCH_SYNTAX if not known else 2)
            results += struct.pack("<HH", *((0, 0) if taken else why)) + (_NDR if taken else bytes(20))
            at += 24 + 20 * transfers
        if not contexts:
            return _message(_BIND_NAK, call, struct.pack("<HB", 0, 0))
        address = f"\\PIPE\\{self._name}".encode() + b"\0"
        head = struct.pack("<HHIH", FRAGMENT, FRAGMENT, 0x53F0, len(address)) + address
        head += bytes(-len(head) % 4)
        return _message(_BIND_ACK, call, head + struct.pack("<B3x", contexts) + results)

    def _request(self, call: int, body: bytes) -> bytes:
        _, context, number = struct.unpack_from("<IHH", body)
        if not self._bound:
            return _refused(call, context, UNKNOWN_INTERFACE)
        try:
            result = self._endpoint.call(number, body[8:])
        except Fault as fault:
            return _refused(call, context, fault.status)
        return _message(_RESPONSE, call, struct.pack("<IHBx", len(result), context, 0) + result)


def _refused(call: int, context: int, status: int) -> bytes:
    return _message(_FAULT, call, struct.pack("<IHBxI4x", 0, context, 0, status))


def _message(kind: int, call: int, body: bytes) -> bytes:
    return _HEAD.pack(5, 0, kind, _WHOLE, b"\x10\0\0\0", _HEAD.size + len(body), 0, call) + body
