"""Diffie-Hellman over finite fields: whatever group a host names, it holds up nobody else's login.

In a group exchange (RFC 4419) the host says which prime it wants. asyncssh hands that to cryptography, which proves
each prime that has no name: on the event loop, where no deadline cuts in, 0.9 s at 2048 bits, 5.7 s at 3072 and 30 s at
4096, and asyncssh asks for up to 8192. What fails there, or is no group at all, comes out as ValueError or
OverflowError, which are no words for a peer's fault. So this stands where asyncssh has its `DH`. Rules:
1. The groups of RFC 3526 stay with cryptography, which knows them by name, from 2048 bits on: 26 ms for the largest.
2. Of any other the size alone is held: odd, and 1024 to 4096 bits, which are 17 ms at 2048 and 59 at 4096 for both
   steps. It is not held for a safe prime: the host signs its choice, and one that wants a session of its own read can
   tell what was said. `pow` does, though its time depends on the exponent: each is 512 random bits, made for one
   exchange and used twice, so nobody can measure one often.
3. A generator or a public value outside 2..p-2 is refused, as RFC 8268 has it, since it gives the secret away.

It leans on asyncssh's inside, so it is for the versions in VERSIONS alone, with the fast path and without; with any
other asyncssh's own is left.
"""

from __future__ import annotations

import secrets

import asyncssh
from asyncssh import kex_dh
from asyncssh.crypto import DH

VERSIONS = ("2.24.1",)
"""Of asyncssh, whose inside is known."""
USABLE = asyncssh.__version__ in VERSIONS
SMALLEST, LARGEST = 1024, 4096
"""Bits of a prime that a host may choose."""
_EXPONENT = 512
"""Bits: twice what the strongest of the ciphers and hashes beside it are worth."""
_GENERATOR = 2
_NAMED = frozenset(
    (kex_dh._group14_p, kex_dh._group15_p, kex_dh._group16_p, kex_dh._group17_p, kex_dh._group18_p)  # noqa: SLF001 - asyncssh has no other way to them
    if USABLE
    else ()
)


class Exchange:
    """As asyncssh's `DH`. Every method raises asyncssh.ProtocolError for what the host should not have sent."""

    def __init__(self, g: int, p: int) -> None:
        self._g, self._p = g, p
        self._named = DH(g, p) if g == _GENERATOR and p in _NAMED else None
        if self._named is None:
            if p < 0 or not SMALLEST <= p.bit_length() <= LARGEST or p % 2 == 0:
                raise asyncssh.ProtocolError(
                    f"the host's Diffie-Hellman group is no odd prime of {SMALLEST} to {LARGEST} bits"
                )
            self._in_range(g, "generator")
            self._secret = secrets.randbits(_EXPONENT) | 1 << (_EXPONENT - 1)

    def get_public(self) -> int:
        return pow(self._g, self._secret, self._p) if self._named is None else self._named.get_public()

    def get_shared(self, peer_public: int) -> int:
        self._in_range(peer_public, "public value")
        if self._named is None:
            return pow(peer_public, self._secret, self._p)
        return self._named.get_shared(peer_public)

    def _in_range(self, number: int, what: str) -> None:
        if not 2 <= number <= self._p - 2:
            raise asyncssh.ProtocolError(f"the host's Diffie-Hellman {what} is out of range")


def take_place() -> None:
    """Have asyncssh use it, and ask for groups that it takes."""
    if USABLE:
        kex_dh.DH = Exchange  # type: ignore[attr-defined,assignment]
        kex_dh.KEX_DH_GEX_MAX_SIZE = LARGEST
