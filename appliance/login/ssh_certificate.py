"""OpenSSH user certificates: what one says, and what a refusal of it most likely means. Pure.

A server says no more than no. What can be known is in the certificate itself: whether it is valid now, and whom it
names. Where neither explains the refusal, the host does not trust its authority, or a restriction of its own
(source-address, a revocation list, an AuthorizedPrincipalsFile) keeps it out.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    SSHCertificate,
    SSHCertificateType,
    load_ssh_public_identity,
    ssh_key_fingerprint,
)

FOREVER = 0xFFFFFFFFFFFFFFFF


class CertificateError(ValueError):
    """Not a user certificate; the text says why, and quotes nothing of it."""


@dataclass(frozen=True, slots=True)
class UserCertificate:
    line: bytes
    """As OpenSSH writes it, with its comment."""
    key_id: str
    authority: str
    """The fingerprint of the key that signed it."""
    principals: tuple[str, ...]
    """Empty: any, as far as the certificate goes; OpenSSH takes none then."""
    valid_after: int
    valid_before: int
    """Unix seconds."""

    def why_refused(self, user: str, now: float) -> tuple[str, str]:
        """A reason code, and what is known."""
        whose = f"certificate {self.key_id!r} of authority {self.authority}"
        if now < self.valid_after:
            return "CERT_EXPIRED", f"{whose} is not valid before {_instant(self.valid_after)}"
        if now >= self.valid_before:
            return "CERT_EXPIRED", f"{whose} has not been valid since {_instant(self.valid_before)}"
        if user not in self.principals:
            named = ", ".join(self.principals) or "nobody"
            return "CERT_PRINCIPAL", f"{whose} names {named}, and not {user}"
        return "CERT_REFUSED", whose

    def facts(self) -> dict[str, str]:
        until = "" if self.valid_before == FOREVER else f", until {_instant(self.valid_before)}"
        return {"certificate": f"{self.key_id} of {self.authority}{until}"}


def read_certificate(data: bytes, key: str) -> UserCertificate:
    """`key`: the public key that it must be for, as `type base64`. Raises CertificateError."""
    line = data.strip()
    try:
        found = load_ssh_public_identity(line)
    except (ValueError, UnsupportedAlgorithm):
        raise CertificateError("it cannot be read as an OpenSSH certificate (id_....-cert.pub)") from None
    if not isinstance(found, SSHCertificate):
        raise CertificateError("it is a public key, and no certificate (id_....-cert.pub)")
    if found.type is not SSHCertificateType.USER:
        raise CertificateError("it is a host's certificate, and no user's")
    try:
        found.verify_cert_signature()
    except InvalidSignature:
        raise CertificateError("its signature is not its authority's: it is damaged") from None
    except UnsupportedAlgorithm:
        pass  # the host may know it
    if found.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode() != key:
        raise CertificateError("it is the certificate of another key")
    return UserCertificate(
        line=line,
        key_id=found.key_id.decode("utf-8", "backslashreplace"),
        authority=_fingerprint(found),
        principals=tuple(p.decode("utf-8", "backslashreplace") for p in found.valid_principals),
        valid_after=found.valid_after,
        valid_before=found.valid_before,
    )


def _fingerprint(certificate: SSHCertificate) -> str:
    digest = ssh_key_fingerprint(certificate.signature_key(), hashes.SHA256())
    return f"SHA256:{base64.b64encode(digest).decode().rstrip('=')}"


def _instant(seconds: int) -> str:
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (OverflowError, ValueError, OSError):
        return "the end of time"
