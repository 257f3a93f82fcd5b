"""known_hosts files: the keys by which SSH hosts are known before any run has seen them.

The format is OpenSSH's (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT): hashed names, `@cert-authority` and `@revoked` included.
Rules, stated here and nowhere else:
1. A line that cannot be read is an error with file and line, never one key less. A type of key that is not known here
   is passed over, as by OpenSSH: no host is asked for such a key.
2. A host is known by every name that the target list gives it. The CA of an `@cert-authority` line answers for those of
   them that its pattern takes, and for no other.
3. What `@cert-authority` and `@revoked` lines say is the run's: it is stored with the run, and gone with the next one
   whose file has no such line. Keys of hosts stay known until they are forgotten.

asyncssh takes a tenth of a second to load, and most campaigns name no such file: who has one loads this module, in a
thread where an event loop must go on.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator
from pathlib import Path

import asyncssh
from asyncssh.known_hosts import SSHKnownHosts
from asyncssh.public_key import get_public_key_algs
from cryptography.exceptions import UnsupportedAlgorithm

from appliance.contract import HostAuthority, Target
from orchestrator.marked import Marked

MAX_REVOKED = 4096
"""Lines of a file: each is 52 bytes of every job that its pattern takes, and the bus carries no more than 1 MiB."""
_CA, _REVOKED = "@cert-authority", "@revoked"


class KnownHostsError(ValueError):
    """A file that cannot be used; the text says where, and what to do."""

    def __init__(self, file: Path, line: int | None, why: str) -> None:
        super().__init__(f"{file}{f':{line}' if line else ''}: {why}")
        self.file, self.line, self.why = file, line, why


class HostMarks:
    """The `@cert-authority` and `@revoked` lines of a file, each as `marker pattern type base64`."""

    def __init__(self, lines: Iterable[str] = ()) -> None:
        # Lines share patterns (often just `*`), and a pattern takes far longer to try than a key to name.
        self._by_pattern: dict[str, tuple[SSHKnownHosts, list[tuple[str, str]]]] = {}
        for line in lines:
            marker, pattern, key = line.split(" ", 2)
            if pattern not in self._by_pattern:
                # asyncssh tells which lines are for a host; the key is not looked at.
                self._by_pattern[pattern] = (asyncssh.import_known_hosts(f"{pattern} {key}"), [])
            said = key if marker == _CA else asyncssh.import_public_key(key).get_fingerprint()
            self._by_pattern[pattern][1].append((marker, said))

    def of(self, target: Target, port: int) -> Marked:
        """What they say of a target's SSH port."""
        authorities: dict[str, list[str]] = {}
        revoked: dict[str, None] = {}
        for entries, marked in self._by_pattern.values():
            names = [name for name in names_of(target) if entries.match(name, "", port)[0]]
            if not names:
                continue
            for marker, said in marked:
                if marker == _CA:
                    known = authorities.setdefault(said, [])
                    known += [name for name in names if name not in known]
                else:
                    revoked[said] = None
        return Marked([HostAuthority(key=key, names=tuple(names)) for key, names in authorities.items()], list(revoked))


class KnownHosts:
    def __init__(self, entries: SSHKnownHosts, marks: Iterable[str] = ()) -> None:
        self._entries = entries
        self.marks = tuple(marks)
        """Its marked lines, for `HostMarks`."""

    @classmethod
    def read(cls, file: Path) -> KnownHosts:
        """Raises KnownHostsError. Reads a file: call it in a thread."""
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
            raise KnownHostsError(file, None, f"cannot be read: {reason}") from None
        lines, marks = [], []
        for number, line in enumerate(text.splitlines(), 1):
            try:
                read = _line(line)
            except ValueError as error:
                raise KnownHostsError(file, number, f"{error}; correct the line, or take it out") from None
            if read is not None:
                lines.append(" ".join(filter(None, read)))
                marks += [lines[-1]] if read[0] else []
        if sum(line.startswith(_REVOKED) for line in marks) > MAX_REVOKED:
            raise KnownHostsError(file, None, f"it has more than {MAX_REVOKED} @revoked lines; take out the oldest")
        return cls(asyncssh.import_known_hosts("\n".join(lines)), marks)

    def of(self, target: Target, port: int) -> list[str]:
        """The keys of a target's SSH port as `type base64`, whichever of its names and addresses has them."""
        found: dict[str, None] = {}
        for name in names_of(target):
            keys = self._entries.match(name, "", port)[0]
            found |= dict.fromkeys(
                f"{key.get_algorithm()} {base64.b64encode(key.public_data).decode()}" for key in keys
            )
        return list(found)


def names_of(target: Target) -> Iterator[str]:
    """What the target list calls a host."""
    yield from dict.fromkeys(filter(None, (target.address, target.fqdn, target.host)))


def _line(line: str) -> tuple[str, str, str, str] | None:
    """A line as (marker or "", pattern, type, base64); None for none. Raises ValueError with what is wrong."""
    words = line.split()
    if not words or words[0].startswith("#"):
        return None
    marker = words.pop(0) if words[0].startswith("@") else ""
    if marker not in ("", _CA, _REVOKED):
        raise ValueError(f"the marker {marker} is none of {_CA} and {_REVOKED}")
    if len(words) < 3:
        raise ValueError("it lacks a host, a type of key or a key")
    pattern, kind, data = words[:3]
    if kind.isdigit():
        raise ValueError("it has a key of SSH 1, which is not spoken")
    if "-cert-v" in kind:
        raise ValueError(f"it has a certificate; what is wanted is its CA's key, marked {_CA}")
    try:
        blob = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"its {kind} key is no base64") from None
    if not blob.startswith(len(kind).to_bytes(4, "big") + kind.encode()):
        raise ValueError(f"its key is not of the type {kind}, or cut short")
    if kind.encode() not in get_public_key_algs():
        return None
    try:
        asyncssh.import_public_key(f"{kind} {data}")
    except (ValueError, ArithmeticError, UnsupportedAlgorithm):  # asyncssh's own, and those of decoders below it
        raise ValueError(f"its {kind} key is damaged") from None
    asyncssh.import_known_hosts(f"{pattern} {kind} {data}")  # hashed names: asyncssh says what is wrong with them
    return marker, pattern, kind, data
