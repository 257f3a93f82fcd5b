"""The keys of simulated SSH hosts, their certificates, and what a client should know of both."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterator
from functools import cache

import asyncssh
from asyncssh.public_key import SSHKeyPair
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from targets.estate import Estate, Host
from targets.faults import Certificate, Port
from targets.material import derive, host_key, public_line

_HOUR, _YEAR = 3600, 365 * 86400
_LONG_AGO = (1_577_836_800, 1_577_923_200)
"""2020-01-01 and 2020-01-02: when an expired certificate was valid."""


def key_pairs(estate: Estate, host: Host) -> OrderedDict[bytes, SSHKeyPair]:
    """What a host shows, by algorithm: its key, and its certificate to whoever wants one."""
    if host.fault.sha1_host_key:
        [pair] = asyncssh.load_keypairs([_rsa_key()])
        return OrderedDict({b"ssh-rsa": pair})
    key = _key(host_key(estate.seed, host.address))
    kind = host.fault.certificate
    if kind in (None, Certificate.MISSING):
        pairs = asyncssh.load_keypairs([key])
    else:
        ca = _key(derive(estate.seed, "strange CA") if kind is Certificate.OF_A_STRANGER else _host_ca(estate))
        names = ["another.example"] if kind is Certificate.OF_ANOTHER else [host.address]
        now = int(time.time())
        begin, end = _LONG_AGO if kind is Certificate.EXPIRED else (now - _HOUR, now + _YEAR)
        certificate = ca.generate_host_certificate(
            key, host.address, principals=names, valid_after=begin, valid_before=end
        )
        pairs = asyncssh.load_keypairs([(key, certificate)])
    return OrderedDict((algorithm, pair) for pair in pairs for algorithm in pair.host_key_algorithms)


def known_hosts(estate: Estate, port: int) -> Iterator[str]:
    """A line of known_hosts for each SSH host that has a key of the seed. For one whose key has changed, the key that
    it had before; for one that has a certificate, or ought to, its CA.
    """
    for host in estate.hosts.values():
        if host.technology == "unix" and host.fault.port is not Port.CLOSED and not host.fault.sha1_host_key:
            key, marker = host_key(estate.seed, host.address), ""
            if not host.fault.known_host_key:
                key = derive(estate.seed, "former host key", host.address)
            if host.fault.revoked_host_key:
                marker = "@revoked "
            if host.fault.certificate is not None:
                key, marker = _host_ca(estate), "@cert-authority "
            yield f"{marker}[{host.address}]:{port} {public_line(key)}\n"


def user_ca(estate: Estate) -> bytes:
    """The private key of the CA of users, for `ssh-keygen -s`."""
    key = Ed25519PrivateKey.from_private_bytes(estate.user_ca.private_bytes)
    return key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())


@cache
def _rsa_key() -> asyncssh.SSHKey:
    """The only one there is, for all hosts that want one: it takes long to make, and cannot be had from a seed."""
    return asyncssh.generate_private_key("ssh-rsa", key_size=2048)


def _host_ca(estate: Estate) -> bytes:
    return derive(estate.seed, "host CA")


def _key(private: bytes) -> asyncssh.SSHKey:
    key = Ed25519PrivateKey.from_private_bytes(private)
    return asyncssh.import_private_key(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
