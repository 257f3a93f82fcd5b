"""Which SSH algorithms are offered, by profile, and in which order.

All profiles put first what is both strong and cheap (curve25519, ed25519, AES-128-GCM). GSS key exchange and vendors'
private variants are never offered, host certificates only where a CA is known that could have signed one.
"""

from __future__ import annotations

from dataclasses import dataclass

from appliance.contract import CryptoProfile


@dataclass(frozen=True, slots=True)
class Algorithms:
    kex: tuple[str, ...]
    ciphers: tuple[str, ...]
    macs: tuple[str, ...]
    host_keys: tuple[str, ...]


_MODERN = Algorithms(
    kex=(
        "curve25519-sha256",
        "curve25519-sha256@libssh.org",
        "ecdh-sha2-nistp256",
        "ecdh-sha2-nistp384",
        "ecdh-sha2-nistp521",
        "diffie-hellman-group14-sha256",
        "diffie-hellman-group16-sha512",
        "diffie-hellman-group18-sha512",
        "diffie-hellman-group-exchange-sha256",
    ),
    ciphers=(
        "aes128-gcm@openssh.com",
        "aes256-gcm@openssh.com",
        "chacha20-poly1305@openssh.com",
        "aes128-ctr",
        "aes192-ctr",
        "aes256-ctr",
    ),
    macs=(
        "hmac-sha2-256-etm@openssh.com",
        "hmac-sha2-512-etm@openssh.com",
        "hmac-sha2-256",
        "hmac-sha2-512",
    ),
    host_keys=(
        "ssh-ed25519",
        "ecdsa-sha2-nistp256",
        "ecdsa-sha2-nistp384",
        "ecdsa-sha2-nistp521",
        "rsa-sha2-256",
        "rsa-sha2-512",
    ),
)
_COMPAT = Algorithms(
    kex=(*_MODERN.kex, "diffie-hellman-group14-sha1"),
    ciphers=_MODERN.ciphers,
    macs=(*_MODERN.macs, "hmac-sha1-etm@openssh.com", "hmac-sha1"),
    host_keys=(*_MODERN.host_keys, "ssh-rsa"),
)
_LEGACY = Algorithms(
    kex=(*_COMPAT.kex, "diffie-hellman-group-exchange-sha1", "diffie-hellman-group1-sha1"),
    ciphers=(*_COMPAT.ciphers, "aes128-cbc", "aes192-cbc", "aes256-cbc", "3des-cbc"),
    macs=(*_COMPAT.macs, "hmac-sha1-96", "hmac-md5", "hmac-md5-96"),
    host_keys=(*_COMPAT.host_keys, "ssh-dss"),
)
PROFILES = {
    CryptoProfile.MODERN: _MODERN,
    CryptoProfile.COMPAT: _COMPAT,
    CryptoProfile.LEGACY: _LEGACY,
}

_OF_KEY = {"ssh-rsa": ("rsa-sha2-256", "rsa-sha2-512", "ssh-rsa")}
"""Signature algorithms of a key type, where they are not just its name."""


_CERTIFICATE = "-cert-v01@openssh.com"


def host_key_order(profile: CryptoProfile, known: tuple[str, ...], *, certificates: bool = False) -> tuple[str, ...]:
    """Host key algorithms: those of certificates first, where they are wanted; then those of the known keys, since a
    server with several keys then shows the one that we know.
    """
    offered = PROFILES[profile].host_keys
    familiar = [a for line in known for a in _OF_KEY.get(line.split(" ", 1)[0], (line.split(" ", 1)[0],))]
    certified = [f"{algorithm}{_CERTIFICATE}" for algorithm in offered] if certificates else []
    return tuple(dict.fromkeys(certified + [a for a in familiar if a in offered] + list(offered)))
