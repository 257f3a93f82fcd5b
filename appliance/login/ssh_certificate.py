"""OpenSSH user certificates: what one says, and what a refusal of it most likely means. Pure.

A server says no more than no. What can be known is in the certificate itself: whether it is valid now, and whom it
names. Where neither explains the refusal, the host does not trust its authority, or a restriction of its own
(source-address, a revocation list, an AuthorizedPrincipalsFile) keeps it out.

asyncssh reads it, since it offers it afterwards, and knows the signatures of authorities in hardware (`sk-`).
"""

from __future__ import annotations

import binascii
from dataclasses import dataclass
from datetime import UTC, datetime

import asyncssh
from asyncssh.packet import String
from asyncssh.public_key import (
    CERT_TYPE_USER,
    SSHOpenSSHCertificate,
    decode_ssh_certificate,
    decode_ssh_public_key,
    get_certificate_algs,
)

from appliance.login.decoders import DAMAGE
from appliance.login.ssh_host_keys import key_line

FOREVER = 0xFFFFFFFFFFFFFFFF
_NONE = "it cannot be read as an OpenSSH certificate (id_....-cert.pub)"


class CertificateError(ValueError):
    """Not a user certificate; the text says why, and quotes nothing of it."""


@dataclass(frozen=True, slots=True)
class UserCertificate:
    certificate: SSHOpenSSHCertificate
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
    found = _decoded(data)
    if found._cert_type != CERT_TYPE_USER:  # noqa: SLF001 - asyncssh has no other way to it
        raise CertificateError("it is a host's certificate, and no user's")
    if key_line(found.key) != key:
        raise CertificateError("it is the certificate of another key")
    return UserCertificate(
        certificate=found,
        key_id=found._key_id,  # noqa: SLF001 - as above
        authority=found.signing_key.get_fingerprint(),
        principals=tuple(found.principals),
        valid_after=found._valid_after,  # noqa: SLF001 - as above
        valid_before=found._valid_before,  # noqa: SLF001 - as above
    )


def _decoded(data: bytes) -> SSHOpenSSHCertificate:
    """One whose signature is its authority's. Raises CertificateError."""
    kind, blob = _parts(data)
    certified = kind in get_certificate_algs()
    try:
        found = decode_ssh_certificate(blob) if certified else decode_ssh_public_key(blob)
    except asyncssh.KeyImportError as error:
        raise CertificateError(_fault(error) if certified else _NONE) from None
    except DAMAGE:
        raise CertificateError("it is damaged") from None
    if isinstance(found, asyncssh.SSHKey):
        raise CertificateError("it is a public key, and no certificate (id_....-cert.pub)")
    if not isinstance(found, SSHOpenSSHCertificate):
        raise CertificateError(_NONE)
    return found


def _parts(data: bytes) -> tuple[bytes, bytes]:
    """Kind and content of a line as OpenSSH writes it, with or without a comment. Raises CertificateError."""
    kind, content = (*data.split(None, 2), b"", b"")[:2]
    try:
        blob = binascii.a2b_base64(content)
    except binascii.Error:
        raise CertificateError(_NONE) from None
    if not kind or not blob.startswith(String(kind)):
        raise CertificateError(_NONE)
    return kind, blob


def _fault(error: asyncssh.KeyImportError) -> str:
    """Of any fault asyncssh says that the certificate is invalid; what it has found is what it was about to say."""
    found = str(error.__context__) if isinstance(error.__context__, asyncssh.KeyImportError) else ""
    if found == "Invalid certificate signature":
        return "its signature is not its authority's: it is damaged"
    if found.startswith("Unrecognized critical option"):
        return "it has a critical option that is not known here: have one issued without it"
    return "it is damaged"


def _instant(seconds: int) -> str:
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (OverflowError, ValueError, OSError):
        return "the end of time"
