"""Which SSH algorithms are offered, by profile, and in which order.

All profiles put first what is both strong and cheap (curve25519, ed25519, AES-128-GCM). GSS key exchange and vendors'
private variants are never offered, host certificates only where a CA is known that could have signed one. What is
broken (SHA-1 signatures of RSA and DSA keys, group 1, CBC, MD5) is in `legacy` alone.

A server names all that it has in its first message (RFC 4253, 7.1). So where there is no match, that one connection
tells which profile would do: no second one is made, and no credential is at risk in an exchange that the record does
not allow.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from asyncssh.packet import SSHPacket

from appliance.contract import CryptoProfile, peer_text


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
    host_keys=_MODERN.host_keys,
)
_LEGACY = Algorithms(
    kex=(*_COMPAT.kex, "diffie-hellman-group-exchange-sha1", "diffie-hellman-group1-sha1"),
    ciphers=(*_COMPAT.ciphers, "aes128-cbc", "aes192-cbc", "aes256-cbc", "3des-cbc"),
    macs=(*_COMPAT.macs, "hmac-sha1-96", "hmac-md5", "hmac-md5-96"),
    host_keys=(*_COMPAT.host_keys, "ssh-rsa", "ssh-dss"),
)
PROFILES = {
    CryptoProfile.MODERN: _MODERN,
    CryptoProfile.COMPAT: _COMPAT,
    CryptoProfile.LEGACY: _LEGACY,
}

_AUTHENTICATED = ("gcm@openssh.com", "chacha20-poly1305@openssh.com")
"""Ciphers that bring a MAC of their own."""
AEAD_CIPHERS = tuple(name.encode() for name in _AUTHENTICATED)
"""The same, as they end on the wire."""
_NOTICES = ("ext-info-", "kex-strict-")
"""Names among the key exchanges that are none."""
_KEPT = 64
"""Offers that are remembered as read, and orders as made: the hosts of a fleet have the same few."""


@dataclass(frozen=True, slots=True)
class Offers:
    """What a server names in its first message, in its order; ciphers and MACs that it takes both ways."""

    kex: tuple[str, ...]
    host_keys: tuple[str, ...]
    ciphers: tuple[str, ...]
    macs: tuple[str, ...]

    @classmethod
    def read(cls, packet: SSHPacket) -> Offers:
        """From a KEXINIT behind its type. Raises PacketDecodeError."""
        packet.get_bytes(16)  # a cookie
        return _read(packet.get_remaining_payload())

    def facts(self) -> dict[str, str]:
        """All that the server offers, and the narrowest profile that would do: `none` where none is."""
        return dict(_facts(self))

    def needed(self) -> CryptoProfile | None:
        """The narrowest profile that agrees with the server."""
        return next((profile for profile in CryptoProfile if not self.lacks(profile)), None)

    def lacks(self, profile: CryptoProfile) -> dict[str, tuple[str, ...]]:
        """What there is no common algorithm for, with what the server offers of it; empty where they agree."""
        ours = PROFILES[profile]
        pairs = {
            "key exchange": (ours.kex, self.kex),
            "host key algorithm": (ours.host_keys, self.host_keys),
            "cipher": (ours.ciphers, self.ciphers),
        }
        cipher = _first(ours.ciphers, self.ciphers)
        if cipher is not None and not cipher.endswith(_AUTHENTICATED):
            pairs["MAC"] = (ours.macs, self.macs)
        return {kind: theirs for kind, (mine, theirs) in pairs.items() if _first(mine, theirs) is None}

    def agreed(self, profile: CryptoProfile) -> dict[str, str]:
        """What the exchange has come to, as RFC 4253 has it: of each kind the client's first that the server has."""
        ours = PROFILES[profile]
        cipher = _first(ours.ciphers, self.ciphers)
        mac = None if cipher and cipher.endswith(_AUTHENTICATED) else _first(ours.macs, self.macs)
        agreed = {"kex": _first(ours.kex, self.kex), "cipher": cipher, "mac": mac}
        return {kind: name for kind, name in agreed.items() if name is not None}

    def mismatch(self, profile: CryptoProfile) -> str:
        """What has no match under a profile, and which one would do; empty where there is a match."""
        lacks = self.lacks(profile)
        if not lacks:
            return ""
        missing = "; ".join(
            f"no common {kind}: the host offers {', '.join(has) or 'none'}" for kind, has in lacks.items()
        )
        needed = self.needed()
        return f"{f'the profile {needed} would do' if needed else 'no profile would do'}; {missing}"


@lru_cache(_KEPT)
def _read(lists: bytes) -> Offers:
    packet = SSHPacket(lists)
    kex, host_keys, *both = ([a.decode("ascii", "replace") for a in packet.get_namelist()] for _ in range(6))
    ciphers, macs = ([a for a in both[i] if a in both[i + 1]] for i in (0, 2))
    kex = [a for a in kex if not a.startswith(_NOTICES)]
    return Offers(tuple(kex), tuple(host_keys), tuple(ciphers), tuple(macs))


@lru_cache(_KEPT)
def _facts(offers: Offers) -> dict[str, str]:
    needed = offers.needed()
    return {
        "kex_offered": peer_text(",".join(offers.kex)),
        "host_keys_offered": peer_text(",".join(offers.host_keys)),
        "ciphers_offered": peer_text(",".join(offers.ciphers)),
        "macs_offered": peer_text(",".join(offers.macs)),
        "crypto_needed": needed.value if needed else "none",
    }


def _first(ours: tuple[str, ...], theirs: tuple[str, ...]) -> str | None:
    return next((name for name in ours if name in theirs), None)


def signature_algorithms(profile: CryptoProfile) -> tuple[str, ...]:
    """With which a user's key may sign: those of host keys."""
    return PROFILES[profile].host_keys


_OF_KEY = {"ssh-rsa": ("rsa-sha2-256", "rsa-sha2-512", "ssh-rsa")}
"""Signature algorithms of a key type, where they are not just its name."""


_CERTIFICATE = "-cert-v01@openssh.com"


@lru_cache(_KEPT)
def host_key_order(profile: CryptoProfile, known: tuple[str, ...], *, certificates: bool = False) -> tuple[str, ...]:
    """Host key algorithms: those of certificates first, where they are wanted; then those of the known keys, since a
    server with several keys then shows the one that we know.
    """
    offered = PROFILES[profile].host_keys
    familiar = [a for line in known for a in _OF_KEY.get(line.split(" ", 1)[0], (line.split(" ", 1)[0],))]
    certified = [f"{algorithm}{_CERTIFICATE}" for algorithm in offered] if certificates else []
    return tuple(dict.fromkeys(certified + [a for a in familiar if a in offered] + list(offered)))
