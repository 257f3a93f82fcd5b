"""Vault logins, sealed for one appliance: see `appliance.contract.sealed`. Pure but for the seal's own randomness."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from appliance.contract.sealed import SUITE, SealedLogins, bound

VALID_S = 24 * 3600.0
"""How long an appliance may use what it was sent, where no orchestrator is there to send it again."""


def new_voice() -> str:
    """The key that a fleet's word is signed with, base64: a secret."""
    raw = Ed25519PrivateKey.generate().private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
    return b64encode(raw).decode()


def voice_public(voice: str) -> str:
    """Whom appliances are to believe, base64."""
    return b64encode(_voice(voice).public_key().public_bytes_raw()).decode()


def can_be_sealed_to(sealing: str) -> bool:
    """Some points of the curve are none that a secret can be shared with (RFC 7748, section 6.1)."""
    try:
        SUITE.encrypt(b"", X25519PublicKey.from_public_bytes(b64decode(sealing)), b"")
    except ValueError:
        return False
    return True


def seal_logins(
    logins: Sequence[Mapping[str, Any]], *, appliance: str, sealing: str, voice: str, now: float
) -> SealedLogins:
    """`logins` in the form of `VaultLogin.to_pipe`; `sealing`: the appliance's public key, base64."""
    key = X25519PublicKey.from_public_bytes(b64decode(sealing))
    expires_at = now + VALID_S
    box = SUITE.encrypt(json.dumps(list(logins)).encode(), key, bound(appliance, now, expires_at))
    unsigned = SealedLogins(
        appliance=appliance, issued_at=now, expires_at=expires_at, box=b64encode(box).decode(), signature=""
    )
    signature = _voice(voice).sign(unsigned.signed)
    return unsigned.model_copy(update={"signature": b64encode(signature).decode()})


def _voice(voice: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(b64decode(voice))
