"""What is read from certificates: the pin of a vault's public key, and whether a client certificate can be used. Pure.

A pin is what curl's `--pinnedpubkey` takes: `sha256//` and the base64 of the SHA-256 of the certificate's public key
(its SubjectPublicKeyInfo). It outlives a renewal of the certificate with the same key.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID

from appliance.der import public_key_in

_CONVERT = "a .pfx file's is had by: openssl pkcs12 -in FILE.pfx -clcerts -nokeys -out client.pem"
_CONVERT_KEY = "a .pfx file's is had by: openssl pkcs12 -in FILE.pfx -nocerts -out client-key.pem"


class CertificateError(ValueError):
    """What is wrong and, after a semicolon, what to do; the text goes on from the name of the thing."""

    def __init__(self, key: Literal["client_cert", "client_key"], text: str) -> None:
        super().__init__(text)
        self.key = key
        """Which of the settings it is about."""


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """What proves to a vault who asks."""

    chain: str
    """PEM text: the certificate, then those that lead to its authority, if any; nothing else that stood beside them."""
    key: str = field(repr=False)
    """PEM text of its private key, not encrypted: for memory and inherited pipes alone."""


def pin_of(certificate: bytes) -> str:
    """The pin of a certificate in DER. Raises ValueError for one that cannot be read."""
    return f"sha256//{base64.b64encode(hashlib.sha256(public_key_in(certificate)).digest()).decode('ascii')}"


def certificates_in(chain: bytes) -> Sequence[x509.Certificate]:
    """The certificates of a PEM file. Raises CertificateError."""
    try:
        return x509.load_pem_x509_certificates(chain)
    except (ValueError, x509.InvalidVersion):
        raise CertificateError("client_cert", f"holds no certificate in PEM form; {_CONVERT}") from None


def check_usable(certificate: x509.Certificate, now: float) -> None:
    """May it be shown to a vault, at this Unix time? Raises CertificateError."""
    moment = datetime.fromtimestamp(now, UTC)
    first, last = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if moment > last:
        raise CertificateError("client_cert", f"expired on {last:%Y-%m-%d %H:%M} UTC; have it renewed")
    if moment < first:
        raise CertificateError(
            "client_cert", f"is not valid before {first:%Y-%m-%d %H:%M} UTC; compare this machine's clock"
        )
    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        raise CertificateError("client_cert", "has extensions that cannot be read; have it issued anew") from None
    if ExtendedKeyUsageOID.CLIENT_AUTH not in usage and ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE not in usage:
        raise CertificateError(
            "client_cert", "is not meant for clients; have one issued with the extended key usage clientAuth"
        )


def client_certificate(chain: bytes, key: bytes, passphrase: str, now: float) -> ClientCertificate:
    """A certificate and its key, tried for each other. Raises CertificateError."""
    certificates = list(certificates_in(chain))
    private = _private_key(key, passphrase)
    public = _public(private.public_key())
    own = next((c for c in certificates if _public_of(c) == public), None)
    if own is None:
        raise CertificateError(
            "client_cert", "does not belong to the client key; name the certificate that was issued for this key"
        )
    check_usable(own, now)
    certificates.remove(own)
    return ClientCertificate(
        chain="".join(c.public_bytes(Encoding.PEM).decode() for c in (own, *certificates)),
        key=private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
    )


def _private_key(key: bytes, passphrase: str) -> PrivateKeyTypes:
    try:
        return load_pem_private_key(key, passphrase.encode() or None)
    except TypeError:  # the library's way to say that one is lacking, or one too many
        lacking = "is encrypted; say where its passphrase is (client_key_passphrase)"
        raise CertificateError(
            "client_key", "is not encrypted; remove client_key_passphrase" if passphrase else lacking
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        wrong = "cannot be decrypted with the passphrase; correct it" if passphrase and b"ENCRYPTED" in key else ""
        raise CertificateError("client_key", wrong or f"is no private key in PEM form; {_CONVERT_KEY}") from None


def _public_of(certificate: x509.Certificate) -> bytes | None:
    """None for a key of a kind that is not known here, as an authority of the chain may have."""
    try:
        return _public(certificate.public_key())
    except (ValueError, UnsupportedAlgorithm):
        return None


def _public(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
