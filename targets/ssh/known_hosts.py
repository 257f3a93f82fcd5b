"""The keys of an estate's SSH hosts as files: what a client should know of them, and the CA of their users."""

from __future__ import annotations

from collections.abc import Iterator

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from targets.estate import Estate
from targets.faults import Port
from targets.material import derive, host_key, public_line


def lines(estate: Estate, port: int) -> Iterator[str]:
    """A line of known_hosts for each SSH host; for one whose key has changed, the key that it had before."""
    for host in estate.hosts.values():
        if host.technology == "unix" and host.fault.port is not Port.CLOSED:
            key = host_key(estate.seed, host.address)
            if not host.fault.known_host_key:
                key = derive(estate.seed, "former host key", host.address)
            yield f"[{host.address}]:{port} {public_line(key)}\n"


def user_ca(estate: Estate) -> bytes:
    """The CA's private key, for `ssh-keygen -s`."""
    key = Ed25519PrivateKey.from_private_bytes(estate.user_ca.private_bytes)
    return key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
