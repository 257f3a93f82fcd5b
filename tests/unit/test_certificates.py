"""Pins, and what is said of a client certificate or key that will not do. No message quotes a key."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

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

AUTHORITY, KEY = tls.Authority("CA"), tls.new_key()
NOW = time.time()


def pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)


def refused(chain: bytes, key: bytes, passphrase: str = "", now: float = NOW) -> CertificateError:
    with pytest.raises(CertificateError) as caught:
        client_certificate(chain, key, passphrase, now)
    lines = [line for line in tls.pem(KEY).decode().splitlines() if not line.startswith("-")]
    assert not [line for line in lines if line in str(caught.value)]
    assert caught.value.__cause__ is None
    return caught.value


def test_a_pin_is_what_openssl_and_curl_make_of_it() -> None:
    assert pin_of(x509.load_pem_x509_certificate(BY_OPENSSL.encode()).public_bytes(Encoding.DER)) == ITS_PIN


def test_a_pin_outlives_a_renewal_and_no_new_key() -> None:
    first, renewed, other = (AUTHORITY.server(key) for key in (KEY, KEY, tls.new_key()))
    pins = [pin_of(c.public_bytes(Encoding.DER)) for c in (first, renewed, other)]
    assert first.serial_number != renewed.serial_number
    assert pins[0] == pins[1] != pins[2]


def test_a_pin_of_no_certificate() -> None:
    with pytest.raises(ValueError, match="asn1"):
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
