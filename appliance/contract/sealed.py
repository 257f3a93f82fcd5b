"""Vault logins on the bus, from the orchestrator to one appliance: sealed to its key, signed, bound to their purpose.

The seal is HPKE (RFC 9180: X25519, HKDF-SHA256, AES-128-GCM) to a key that the appliance made when it enrolled. HPKE
alone does not say who has sealed: so what is signed (Ed25519) is the box with everything that it is bound to. Whom to
believe, the appliance has learnt at its enrolment. What is inside, the box alone knows: vault, URL and TLS policy with
the password, in the form of `VaultLogin.to_pipe`.
"""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as Base64Error
from typing import Literal

from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from pydantic import field_validator

from appliance.contract.wire import Wire, canonical

SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_128_GCM)
KEY_BYTES = 32
_PURPOSE = "keymuster vault logins of an appliance v1"


class SealedLogins(Wire):
    """All vault logins of an appliance; what it was sent before is void."""

    v: Literal[1] = 1
    appliance: str
    issued_at: float
    """Unix seconds. An older one than the last is somebody's recording."""
    expires_at: float
    box: str
    """Base64."""
    signature: str
    """Base64, over `signed`."""

    @field_validator("box", "signature")
    @classmethod
    def _base64(cls, value: str) -> str:
        try:
            b64decode(value, validate=True)
        except (Base64Error, ValueError):
            raise ValueError("is not base64") from None
        return value

    @property
    def signed(self) -> bytes:
        return bound(self.appliance, self.issued_at, self.expires_at) + b"\n" + self.box.encode()


def bound(appliance: str, issued_at: float, expires_at: float) -> bytes:
    """What a box is bound to: HPKE's `info`."""
    return canonical([_PURPOSE, appliance, issued_at, expires_at])
