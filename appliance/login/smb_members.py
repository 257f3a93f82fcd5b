"""Is a local account in Administrators? Asked of the host's SAM, on a pipe that is bound to it (MS-SAMR 3.1.5).

Nothing is opened with more than the right to look one thing up. The token of a session cannot be asked for; this is as
near as one comes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

from appliance.login.smb_rpc import RpcError, read_response, request

Exchange = Callable[[bytes], bytes]
"""Sends a message on the pipe and gives the answer."""

ADMINISTRATORS = 544
"""S-1-5-32-544, in the domain of what every host has by itself."""

_CONNECT_AND_LOOKUP = 0x21
_LOOKUP, _GET_MEMBERSHIP = 0x200, 0x280
_CONNECT2, _LOOKUP_DOMAIN, _OPEN_DOMAIN, _ALIAS_MEMBERSHIP, _LOOKUP_NAMES = 57, 5, 7, 16, 17
_HANDLE = 20
_REFERENT = 0x20000
_NAMES_MAX, _RIDS_MAX = 1000, 1000


@dataclass(frozen=True, slots=True)
class Sid:
    """MS-DTYP 2.4.2."""

    authority: bytes
    parts: tuple[int, ...]

    def pack(self) -> bytes:
        """With the count that NDR puts before it."""
        count = len(self.parts)
        return struct.pack(f"<IBB6s{count}I", count, 1, count, self.authority, *self.parts)

    def child(self, rid: int) -> Sid:
        return Sid(self.authority, (*self.parts, rid))


BUILTIN = Sid(b"\0\0\0\0\0\x05", (32,))


def is_administrator(exchange: Exchange, host: str, user: str) -> bool:
    """`host`: the NetBIOS name, which is that of its own accounts' domain. Raises RpcError where it does not say."""
    try:
        server = _handle(_call(exchange, _CONNECT2, struct.pack("<II", 0, _CONNECT_AND_LOOKUP)))
        domain = _sid(_call(exchange, _LOOKUP_DOMAIN, server + _name(host)))
        accounts = _handle(_call(exchange, _OPEN_DOMAIN, server + struct.pack("<I", _LOOKUP) + domain.pack()))
        [rid] = _rids(_call(exchange, _LOOKUP_NAMES, accounts + _names(user)), most=1)
        builtin = _handle(_call(exchange, _OPEN_DOMAIN, server + struct.pack("<I", _GET_MEMBERSHIP) + BUILTIN.pack()))
        groups = _rids(_call(exchange, _ALIAS_MEMBERSHIP, builtin + _sids(domain.child(rid))), most=_RIDS_MAX)
    except (struct.error, ValueError):
        raise RpcError("an answer that is cut off") from None
    return ADMINISTRATORS in groups


def _call(exchange: Exchange, number: int, arguments: bytes) -> bytes:
    """What the call returned, without the status at its end."""
    result = read_response(exchange(request(number, arguments)))
    (status,) = struct.unpack_from("<I", result, len(result) - 4)
    if status:
        raise RpcError(f"0x{status:08x}")
    return result[:-4]


# -- NDR ---------------------------------------------------------------------------------------------------------------


def _name(text: str) -> bytes:
    """An RPC_UNICODE_STRING and what it points to."""
    wide = text.encode("utf-16-le")
    return struct.pack("<HHI", len(wide), len(wide), _REFERENT) + _characters(wide)


def _characters(wide: bytes) -> bytes:
    count = len(wide) // 2
    return struct.pack("<III", count, 0, count) + wide + bytes(-len(wide) % 4)


def _names(text: str) -> bytes:
    """An array of one name, of as many as there might be."""
    return struct.pack("<IIII", 1, _NAMES_MAX, 0, 1) + _name(text)


def _sids(sid: Sid) -> bytes:
    return struct.pack("<IIII", 1, _REFERENT, 1, _REFERENT) + sid.pack()


def _handle(result: bytes) -> bytes:
    (handle,) = struct.unpack_from(f"<{_HANDLE}s", result)
    return bytes(handle)


def _sid(result: bytes) -> Sid:
    referent, _, _, count, authority = struct.unpack_from("<IIBB6s", result)
    if not referent:
        raise ValueError("no SID")
    return Sid(authority, struct.unpack_from(f"<{count}I", result, 16))


def _rids(result: bytes, *, most: int) -> tuple[int, ...]:
    """A SAMPR_ULONG_ARRAY; what a second one may follow it with is not of interest."""
    count, referent = struct.unpack_from("<II", result)
    if not referent or not count:
        return ()
    if count > most:
        raise ValueError("more than asked for")
    return struct.unpack_from(f"<{count}I", result, 12)
