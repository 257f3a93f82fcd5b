"""Pins, and what is said of a client certificate or key that will not do. No message quotes a key."""

from __future__ import annotations

import base64
import hashlib
import ssl
import time
from contextlib import suppress
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from appliance.certificates import CertificateError, ClientCertificate, client_certificate, pin_of
from targets.secret_server import tls

BY_OPENSSL = """-----BEGIN CERTIFICATE-----
MIIBhjCCAS2gAwIBAgIUPMJh3MGJA/732h/4X74CROFG2gMwCgYIKoZIzj0EAwIw
GDEWMBQGA1UEAwwNdmF1bHQuZXhhbXBsZTAgFw0yNjExMjYwMTU0MjVaGA8yMTI2
MTEwMjAxNTQyNVowGDEWMBQGA1UEAwwNdmF1bHQuZXhhbXBsZTBZMBMGByqGSM49
AgEGCCqGSM49AwEHA0IABPNQ9OmPpmbzLhoNsevE3m/L5FdeCar4vAMVYUevv7g6
C7DlB5ih8NEH4ciSJpkTDW1PMlXcA7N9CuphDloTfhajUzBRMB0GA1UdDgQWBBTK
QQnPsDahXquuBlESjARocABnNjAfBgNVHSMEGDAWgBTKQQnPsDahXquuBlESjARo
cABnNjAPBgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0cAMEQCIAjFY0AiXjF6
nBMidxSframg8sNYL3zuJ7sNbApMaD34AiBT66V9j6aSoAIyL2JknpqKW6oxUefO
v7TWpBDFW3Qlhw==
-----END CERTIFICATE-----
"""
"""`openssl req -x509 -newkey ec`, and what the command that our error names says of it:"""
ITS_PIN = "sha256//Y44nA5YDhYdBwYGba7okw9tiLzuVRZ8weZn+MfwEelQ="

COMPRESSED = """-----BEGIN CERTIFICATE-----
MIIBTDCB86ADAgECAhRxT3oe/hnyESX374aWwHf0CV31yTAKBggqhkjOPQQDAjAM
MQowCAYDVQQDDAF4MB4XDTI2MTEyNzAxMjQxM1oXDTI2MTIyNzAxMjQxM1owDDEK
MAgGA1UEAwwBeDA5MBMGByqGSM49AgEGCCqGSM49AwEHAyIAAqViPgE/HI8QOVDt
+fQvOP7ZCyQhwVJut12hE1RJm0B8o1MwUTAdBgNVHQ4EFgQUXQZV1whrd4PSMy/E
tPM4uQprzyswHwYDVR0jBBgwFoAUXQZV1whrd4PSMy/EtPM4uQprzyswDwYDVR0T
AQH/BAUwAwEB/zAKBggqhkjOPQQDAgNIADBFAiB9yQWU7FLp33FuP9SSLzPUgF4R
7xHs/2AE2OrBsF2CgAIhAKNs1UCQxXyu7Kz8NW/UZUVX4nvLSC+NYFRqTOMmo2s4
-----END CERTIFICATE-----
"""
"""As above, of a key whose point is compressed, which few libraries write as it was:"""
ITS_OWN_PIN = "sha256//zvCnF/QVSczxXFnz9dEDrBcEpA6QSYfZnQZCVTT/g78="

ELLIPTIC, UNKNOWN = bytes.fromhex("06072a8648ce3d0201"), bytes.fromhex("06072a8648ce3d0279")
"""Kinds of key, the second of which is none."""
EXTENDED_USE, UNKNOWN_EXTENSION = bytes.fromhex("0603551d25"), bytes.fromhex("0603551d79")

AUTHORITY, KEY = tls.Authority("CA"), tls.new_key()
NOW = time.time()


def pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)


def der(text: str) -> bytes:
    return ssl.PEM_cert_to_DER_cert(text)


def changed(certificate: x509.Certificate, old: bytes, new: bytes) -> bytes:
    """In PEM, without a signature that would be its authority's: nobody looks at that here."""
    return ssl.DER_cert_to_PEM_cert(certificate.public_bytes(Encoding.DER).replace(old, new)).encode()


def refused(chain: bytes, key: bytes, passphrase: str = "", now: float = NOW) -> CertificateError:
    with pytest.raises(CertificateError) as caught:
        client_certificate(chain, key, passphrase, now)
    lines = [line for line in tls.pem(KEY).decode().splitlines() if not line.startswith("-")]
    assert not [line for line in lines if line in str(caught.value)]
    assert caught.value.__cause__ is None
    return caught.value


def test_a_pin_is_what_openssl_and_curl_make_of_it() -> None:
    assert pin_of(der(BY_OPENSSL)) == ITS_PIN


def test_a_pin_is_of_the_key_as_it_stands_in_the_certificate() -> None:
    """Whatever it is: curl and openssl read no key for it either."""
    assert pin_of(der(COMPRESSED)) == ITS_OWN_PIN
    assert pin_of(der(BY_OPENSSL).replace(bytes.fromhex("a003020102"), bytes.fromhex("a003020101"))) == ITS_PIN
    unknown = der(BY_OPENSSL).replace(ELLIPTIC, UNKNOWN)
    key = unknown[unknown.index(UNKNOWN) - 4 :][:91]
    assert pin_of(unknown) == f"sha256//{base64.b64encode(hashlib.sha256(key).digest()).decode()}"


def test_a_certificate_that_is_cut_short_or_damaged_has_a_pin_or_none() -> None:
    whole = der(BY_OPENSSL)
    for end in range(len(whole)):
        with pytest.raises(ValueError, match="certificate"):
            pin_of(whole[:end])
    for at in range(len(whole)):
        for byte in (0, 0x80, 0xFF):
            with suppress(ValueError):
                pin_of(bytes((*whole[:at], byte, *whole[at + 1 :])))


def test_a_pin_outlives_a_renewal_and_no_new_key() -> None:
    first, renewed, other = (AUTHORITY.server(key) for key in (KEY, KEY, tls.new_key()))
    pins = [pin_of(c.public_bytes(Encoding.DER)) for c in (first, renewed, other)]
    assert first.serial_number != renewed.serial_number
    assert pins[0] == pins[1] != pins[2]


def test_a_pin_of_no_certificate() -> None:
    with pytest.raises(ValueError, match="no certificate"):
        pin_of(b"no certificate")


def test_what_is_right_comes_out_as_it_is_and_nothing_else() -> None:
    """The certificate first, wherever it stood; and no key that stood among the certificates."""
    own, authority = pem(AUTHORITY.client("c", KEY)), pem(AUTHORITY.certificate)
    made = client_certificate(authority + tls.pem(KEY) + own, tls.pem(KEY), "", NOW)
    assert made.chain == (own + authority).decode()
    assert made.key == tls.pem(KEY).decode()
    assert "PRIVATE" not in repr(made)
    again = client_certificate(own, tls.pem(KEY, b"open sesame"), "open sesame", NOW)
    assert again == ClientCertificate(own.decode(), tls.pem(KEY).decode())


def test_an_authority_whose_key_is_of_an_unknown_kind_leads_there_too() -> None:
    own, unknown = pem(AUTHORITY.client("c", KEY)), changed(AUTHORITY.certificate, ELLIPTIC, UNKNOWN)
    assert client_certificate(unknown + own, tls.pem(KEY), "", NOW).chain == (own + unknown).decode()


def test_a_certificate_that_says_a_thing_twice() -> None:
    other = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.121"), b"\x05\x00")
    made = AUTHORITY._issued("c", KEY, ExtendedKeyUsageOID.CLIENT_AUTH, timedelta(days=1))
    twice = changed(
        made.add_extension(other, critical=False).sign(KEY, hashes.SHA256()), UNKNOWN_EXTENSION, EXTENDED_USE
    )
    error = refused(twice, tls.pem(KEY))
    assert (error.key, str(error)) == ("client_cert", "has extensions that cannot be read; have it issued anew")


@pytest.mark.parametrize(
    ("key", "passphrase", "text"),
    [
        (b"", "", "is no private key in PEM form; a .pfx file's is had by: openssl pkcs12"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "", "is no private key in PEM form"),
        (tls.pem(KEY, b"right"), "", "is encrypted; say where its passphrase is (client_key_passphrase)"),
        (tls.pem(KEY, b"right"), "wrong", "cannot be decrypted with the passphrase; correct it"),
        (tls.pem(KEY), "any", "is not encrypted; remove client_key_passphrase"),
    ],
)
def test_a_key_that_cannot_be_read(key: bytes, passphrase: str, text: str) -> None:
    error = refused(pem(AUTHORITY.client("c", KEY)), key, passphrase)
    assert error.key == "client_key"
    assert str(error).startswith(text)


@pytest.mark.parametrize(
    ("chain", "text"),
    [
        (b"\x30\x82", "holds no certificate in PEM form; a .pfx file's is had by: openssl pkcs12"),
        (tls.pem(KEY), "holds no certificate in PEM form"),
        (
            changed(AUTHORITY.client("c", KEY), bytes.fromhex("a003020102"), bytes.fromhex("a003020107")),
            "holds no certificate in PEM form",
        ),
        (pem(AUTHORITY.client("c", tls.new_key())), "does not belong to the client key; name the certificate that"),
        (pem(AUTHORITY.client("c", KEY, valid=timedelta(hours=-1))), "expired on 20"),
        (
            pem(AUTHORITY.server(KEY)),
            "is not meant for clients; have one issued with the extended key usage clientAuth",
        ),
    ],
)
def test_a_certificate_that_will_not_do(chain: bytes, text: str) -> None:
    error = refused(chain, tls.pem(KEY))
    assert error.key == "client_cert"
    assert str(error).startswith(text)


def test_a_certificate_of_the_future() -> None:
    error = refused(pem(AUTHORITY.client("c", KEY)), tls.pem(KEY), now=NOW - 7 * 86400)
    assert "compare this machine's clock" in str(error)
