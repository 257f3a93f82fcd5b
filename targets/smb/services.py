"""What answers on a Windows host's pipes, as far as a scanner's look at its rights goes: three services, each by a few
of its calls. Nothing can be changed through them.
"""

from __future__ import annotations

import secrets
import struct
from dataclasses import dataclass

from targets.smb.rpc import ACCESS_DENIED, UNKNOWN_CALL, Fault, syntax
from targets.smb.status import Status

CONNECT = 0x0001
"""The one right to the service manager that is given (MS-SCMR 3.1.4, SC_MANAGER_CONNECT)."""
READ = 0x00020019
"""KEY_READ; what goes beyond is refused."""
MAXIMUM = 0x02000000
ADMINISTRATORS, FIRST_USER = 544, 1001
_BUILTIN = (32,)


def _handle() -> bytes:
    return bytes(4) + secrets.token_bytes(16)


@dataclass(frozen=True, slots=True)
class ServiceManager:
    """MS-SCMR: it can be opened, to connect."""

    allowed: bool
    syntax: bytes = syntax("367abb81-9844-35f1-ad32-98f038001003", 2)

    def call(self, number: int, arguments: bytes) -> bytes:
        match number:
            case 0:  # RCloseServiceHandle
                return bytes(20) + struct.pack("<I", 0)
            case 15:  # ROpenSCManagerW
                (access,) = struct.unpack_from("<I", arguments, len(arguments) - 4)
                return _opened(self.allowed and not access & ~CONNECT)
        raise Fault(UNKNOWN_CALL)


@dataclass(frozen=True, slots=True)
class Registry:
    """MS-RRP: HKEY_LOCAL_MACHINE can be opened, to read."""

    allowed: bool
    syntax: bytes = syntax("338cd001-2244-31f1-aaaa-900038001003", 1)

    def call(self, number: int, arguments: bytes) -> bytes:
        match number:
            case 2:  # OpenLocalMachine
                (access,) = struct.unpack_from("<I", arguments, len(arguments) - 4)
                return _opened(self.allowed and not access & ~(READ | MAXIMUM))
            case 5:  # BaseRegCloseKey
                return bytes(20) + struct.pack("<I", 0)
        raise Fault(UNKNOWN_CALL)


def _opened(allowed: bool) -> bytes:
    return _handle() + struct.pack("<I", 0) if allowed else bytes(20) + struct.pack("<I", 5)


@dataclass(frozen=True, slots=True)
class Sam:
    """MS-SAMR: who is an administrator. Since Windows 10 it tells none but them (RestrictRemoteSAM)."""

    host: str
    user: str
    """The one account there is besides those that every host has."""
    administrator: bool
    open: bool
    seed: bytes
    """Of the host's SID."""
    syntax: bytes = syntax("12345778-1234-abcd-ef00-0123456789ac", 1)

    def call(self, number: int, arguments: bytes) -> bytes:
        match number:
            case 1:  # SamrCloseHandle
                return bytes(20) + _status()
            case 57:  # SamrConnect2
                if not self.open:
                    raise Fault(ACCESS_DENIED)
                return _handle() + _status()
            case 5:  # SamrLookupDomainInSamServer
                return self._domain(_text(arguments, 20))
            case 7:  # SamrOpenDomain
                known = _sid(arguments, 24) in (self._sid, _BUILTIN)
                return _handle() + _status() if known else bytes(20) + _status(Status.NO_SUCH_DOMAIN)
            case 17:  # SamrLookupNamesInDomain
                return self._names(_text(arguments, 36))
            case 16:  # SamrGetAliasMembership
                asked = _sid(arguments, 36)
                return _numbers(ADMINISTRATORS) if self.administrator and asked == self._of_user else _numbers()
        raise Fault(UNKNOWN_CALL)

    @property
    def _sid(self) -> tuple[int, ...]:
        return (21, *struct.unpack("<III", self.seed[:12]))

    @property
    def _of_user(self) -> tuple[int, ...]:
        return (*self._sid, FIRST_USER)

    def _domain(self, name: str) -> bytes:
        if name.casefold() not in (self.host.casefold(), "builtin"):
            return bytes(4) + _status(Status.NO_SUCH_DOMAIN)
        parts = _BUILTIN if name.casefold() == "builtin" else self._sid
        sid = struct.pack(f"<IBB6s{len(parts)}I", len(parts), 1, len(parts), b"\0\0\0\0\0\5", *parts)
        return struct.pack("<I", 0x20000) + sid + _status()

    def _names(self, name: str) -> bytes:
        if name.casefold() != self.user.casefold():
            return bytes(16) + _status(Status.NONE_MAPPED)
        user = 1  # SidTypeUser
        return struct.pack("<IIIIIIII", 1, 0x20000, 1, FIRST_USER, 1, 0x20004, 1, user) + _status()


def _status(status: int = Status.SUCCESS) -> bytes:
    return struct.pack("<I", status)


def _numbers(*numbers: int) -> bytes:
    """A SAMPR_ULONG_ARRAY, and success."""
    count = len(numbers)
    return struct.pack(f"<III{count}I", count, 0x20000, count, *numbers) + _status()


def _text(arguments: bytes, at: int) -> str:
    """An RPC_UNICODE_STRING and the characters that it points to; here they come right after it."""
    length, _, _, _, _, count = struct.unpack_from("<HHIIII", arguments, at)
    (wide,) = struct.unpack_from(f"<{2 * count}s", arguments, at + 20)
    return str(bytes(wide[:length]).decode("utf-16-le", "replace"))


def _sid(arguments: bytes, at: int) -> tuple[int, ...]:
    """The parts of a SID, with the count that NDR puts before it."""
    (count,) = struct.unpack_from("<I", arguments, at)
    return struct.unpack_from(f"<{count}I", arguments, at + 12)
