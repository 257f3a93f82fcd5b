"""Vault logins on the bus, from a second command line to the process that holds the state directory: sealed.

HPKE (RFC 9180), X25519 with HKDF-SHA256 and AES-128-GCM, to a key that the holder makes anew at each start and never
writes down. What the seal is for is bound into it, so that one message cannot be replayed as another.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from orchestrator.cli.appliance_child import Login

_SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_128_GCM)
_PURPOSE = b"keymuster vault logins v1 "


class SealError(ValueError):
    """A sealed message that was not made for this key, or not for this purpose."""


class SealingKey:
    """The holder's key pair."""

    def __init__(self) -> None:
        self._private = X25519PrivateKey.generate()

    @property
    def public(self) -> bytes:
        return self._private.public_key().public_bytes_raw()

    def open(self, sealed: bytes, campaign: str) -> tuple[Login, ...]:
        """Raises SealError."""
        try:
            plain = _SUITE.decrypt(sealed, self._private, _PURPOSE + campaign.encode())
        except (InvalidTag, ValueError):
            raise SealError("the vault logins cannot be opened; submit again") from None
        return tuple(Login.of(login) for login in json.loads(plain))


def seal(logins: Sequence[Login], campaign: str, public: bytes) -> bytes:
    """Seal a campaign's logins to a holder's key."""
    plain = json.dumps([login.message() for login in logins]).encode()
    return _SUITE.encrypt(plain, X25519PublicKey.from_public_bytes(public), _PURPOSE + campaign.encode())
