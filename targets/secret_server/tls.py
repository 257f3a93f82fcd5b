"""Certificates for https on loopback and for its clients, from authorities made on the spot.

They are not seeded: certificates carry dates.
"""

from __future__ import annotations

import base64
import hashlib
import os
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

VALID = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Certificate:
    certificate: Path
    key: Path
    ca: Path
    """What a client must trust."""


@dataclass(frozen=True, slots=True)
class Clients:
    """What clients must show, and what the server trusts of it."""

    certificate: Path
    key: Path
    ca: Path


class Authority:
    """Issues certificates; exists for as long as the process."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._key = ec.generate_private_key(ec.SECP256R1())
        made = _builder(name, name, self._key).add_extension(
            x509.BasicConstraints(ca=True, path_length=0), critical=True
        )
        self.certificate = made.add_extension(_usage(signs_certificates=True), critical=True).sign(
            self._key, hashes.SHA256()
        )

    def server(self, key: ec.EllipticCurvePrivateKey, name: str = "127.0.0.1") -> x509.Certificate:
        """For 127.0.0.1 and localhost, and for `name`."""
        names: list[x509.GeneralName] = [x509.DNSName("localhost"), x509.IPAddress(IPv4Address("127.0.0.1"))]
        if name != "127.0.0.1":
            names.append(_general(name))
        made = self._issued("localhost", key, ExtendedKeyUsageOID.SERVER_AUTH, VALID)
        return made.add_extension(x509.SubjectAlternativeName(names), critical=False).sign(self._key, hashes.SHA256())

    def client(self, name: str, key: ec.EllipticCurvePrivateKey, *, valid: timedelta = VALID) -> x509.Certificate:
        """`valid`: from now on; less than nothing is expired."""
        return self._issued(name, key, ExtendedKeyUsageOID.CLIENT_AUTH, valid).sign(self._key, hashes.SHA256())

    def _issued(
        self, name: str, key: ec.EllipticCurvePrivateKey, use: x509.ObjectIdentifier, valid: timedelta
    ) -> x509.CertificateBuilder:
        return (
            _builder(name, self._name, key, valid)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([use]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )


def context(certificate: Path, key: Path, client_ca: Path | None = None) -> ssl.SSLContext:
    """A server's context; with `client_ca` it turns away who shows no certificate of that authority. Raises OSError
    (ssl.SSLError included) when the files don't fit.
    """
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(certificate, key)
    if client_ca is not None:
        server.load_verify_locations(client_ca)
        server.verify_mode = ssl.CERT_REQUIRED
        server.sslobject_class = _Alerting
    return server


class _Alerting(ssl.SSLObject):
    """Tells a client why its handshake fails. asyncio would close the connection with the alert unsent: here it is
    asked to wait for more first, and learns of the failure when something comes, be it the client's end.
    """

    _failed: ssl.SSLError | None = None

    def do_handshake(self) -> None:
        if self._failed is not None:
            raise self._failed
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLSyscallError):
            raise
        except ssl.SSLError as error:
            self._failed = error
            raise ssl.SSLWantReadError from error


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(IPv4Address(name))
    except ValueError:
        return x509.DNSName(name)


def make(directory: Path, name: str = "127.0.0.1") -> Certificate:
    """Write an authority's certificate, and a server's certificate (127.0.0.1, localhost, `name`) with its key, mode
    0600.
    """
    made = Certificate(directory / "vault.pem", directory / "vault-key.pem", directory / "vault-ca.pem")
    authority, key = Authority("Simulated CA"), new_key()
    made.ca.write_bytes(authority.certificate.public_bytes(Encoding.PEM))
    made.certificate.write_bytes(authority.server(key, name).public_bytes(Encoding.PEM))
    write_private(made.key, pem(key))
    return made


def make_client(directory: Path) -> Clients:
    """Write a client's certificate with its key (mode 0600), and its authority's."""
    made = Clients(directory / "client.pem", directory / "client-key.pem", directory / "client-ca.pem")
    authority, key = Authority("Simulated CA of clients"), new_key()
    made.ca.write_bytes(authority.certificate.public_bytes(Encoding.PEM))
    made.certificate.write_bytes(authority.client("keymuster", key).public_bytes(Encoding.PEM))
    write_private(made.key, pem(key))
    return made


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def pem(key: ec.EllipticCurvePrivateKey, passphrase: bytes = b"") -> bytes:
    encryption = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


def pin(certificate: Path) -> str:
    """What curl's --pinnedpubkey takes for a certificate in PEM. Raises OSError, ValueError."""
    key = x509.load_pem_x509_certificate(certificate.read_bytes()).public_key()
    public = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return f"sha256//{base64.b64encode(hashlib.sha256(public).digest()).decode('ascii')}"


def write_private(path: Path, data: bytes) -> None:
    """Write a file that only its owner can read, from its first byte on."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)


def _builder(
    subject: str, issuer: str, key: ec.EllipticCurvePrivateKey, valid: timedelta = VALID
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + valid)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
