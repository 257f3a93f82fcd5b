"""known_hosts files: the keys by which SSH hosts are known before any run has seen them.

The format is OpenSSH's (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT), hashed names included. `@cert-authority` and `@revoked`
lines are not used: what they say of a host cannot be carried to the appliances yet.
"""

from __future__ import annotations

import base64
from pathlib import Path

import asyncssh
from asyncssh.known_hosts import SSHKnownHosts

from appliance.contract import Target


class KnownHostsError(ValueError):
    """A file that cannot be used; the text says where, and what to do."""


class KnownHosts:
    def __init__(self, entries: SSHKnownHosts) -> None:
        self._entries = entries

    @classmethod
    def read(cls, file: Path) -> KnownHosts:
        """Raises KnownHostsError. Reads a file: call it in a thread."""
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
            raise KnownHostsError(f"{file}: cannot be read: {reason}") from None
        try:
            return cls(asyncssh.import_known_hosts(text))
        except ValueError:
            for number, line in enumerate(text.splitlines(), 1):
                cls._check(line, f"{file}:{number}")
            raise KnownHostsError(f"{file}: is no known_hosts file") from None

    @staticmethod
    def _check(line: str, where: str) -> None:
        try:
            asyncssh.import_known_hosts(line)
        except ValueError as error:
            raise KnownHostsError(f"{where}: {error}; correct the line, or take it out") from None

    def of(self, target: Target, port: int) -> list[str]:
        """The keys of a target's SSH port as `type base64`, whichever of its names and addresses has them."""
        found: dict[str, None] = {}
        for name in dict.fromkeys(filter(None, (target.address, target.fqdn, target.host))):
            keys = self._entries.match(name, "", port)[0]
            found |= dict.fromkeys(
                f"{key.get_algorithm()} {base64.b64encode(key.public_data).decode()}" for key in keys
            )
        return list(found)
