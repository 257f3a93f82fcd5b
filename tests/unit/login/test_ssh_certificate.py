from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from contextlib import suppress

import asyncssh
import pytest
from asyncssh.packet import Byte, MPInt, String, UInt32, UInt64
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from appliance.login.ssh_certificate import CertificateError, UserCertificate, read_certificate
from appliance.login.ssh_host_keys import key_line

NOW = 1_800_000_000
KEY = asyncssh.generate_private_key("ssh-ed25519")
AUTHORITY = asyncssh.generate_private_key("ssh-ed25519")


def certificate(
    *, principals: tuple[str, ...] = ("scan",), after: int = NOW - 60, before: int = NOW + 60
) -> UserCertificate:
    made = AUTHORITY.generate_user_certificate(
        KEY, "job-7", principals=list(principals), valid_after=after, valid_before=before
    )
    return read_certificate(made.export_certificate(), key_line(KEY.convert_to_public()))


def test_what_it_says() -> None:
    found = certificate(principals=("scan", "audit"))
    assert (found.key_id, found.principals) == ("job-7", ("scan", "audit"))
    assert found.authority == AUTHORITY.get_fingerprint()
    assert found.facts() == {"certificate": f"job-7 of {found.authority}, until 2027-01-15 08:01:00 UTC"}


@pytest.mark.parametrize(
    ("made", "reason", "says"),
    [
        (certificate(before=NOW), "CERT_EXPIRED", "has not been valid since 2027-01-15 08:00:00 UTC"),
        (certificate(after=NOW + 1), "CERT_EXPIRED", "is not valid before 2027-01-15 08:00:01 UTC"),
        (certificate(principals=("audit",)), "CERT_PRINCIPAL", "names audit, and not scan"),
        (certificate(principals=()), "CERT_PRINCIPAL", "names nobody, and not scan"),
        (certificate(), "CERT_REFUSED", "certificate 'job-7' of authority SHA256:"),
    ],
    ids=["expired", "early", "other", "nobody", "unknown"],
)
def test_why_it_was_refused(made: UserCertificate, reason: str, says: str) -> None:
    code, text = made.why_refused("scan", NOW)
    assert code == reason
    assert says in text


def test_one_without_an_end() -> None:
    endless = certificate(before=0xFFFFFFFFFFFFFFFF)
    assert endless.facts() == {"certificate": f"job-7 of {endless.authority}"}
    assert endless.why_refused("scan", NOW)[0] == "CERT_REFUSED"


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "cannot be read"),
        (b"-----BEGIN OPENSSH PRIVATE KEY-----\nU0VDUkVU\n", "cannot be read"),
        (KEY.convert_to_public().export_public_key(), "is a public key, and no certificate"),
        (AUTHORITY.generate_host_certificate(KEY, "h").export_certificate(), "host's certificate"),
        (AUTHORITY.generate_user_certificate(AUTHORITY, "u").export_certificate(), "certificate of another key"),
    ],
    ids=["nothing", "private", "public", "host", "another"],
)
def test_what_is_none(data: bytes, says: str) -> None:
    with pytest.raises(CertificateError, match=says) as refused:
        read_certificate(data, key_line(KEY.convert_to_public()))
    assert "U0VDUkVU" not in str(refused.value)


def line(blob: bytes) -> bytes:
    return b"ssh-ed25519-cert-v01@openssh.com " + base64.b64encode(blob) + b" a comment\n"


def signed(authority: bytes, sign: Callable[[bytes], bytes], critical: bytes = b"") -> bytes:
    """A certificate of KEY as ssh-keygen makes it, which asyncssh makes of no authority in hardware."""
    public = KEY.public_data[-32:]
    said = (String("job-7"), String(String("scan")), UInt64(NOW - 60), UInt64(NOW + 60), String(critical))
    body = String("ssh-ed25519-cert-v01@openssh.com") + String(bytes(32)) + String(public) + UInt64(1) + UInt32(1)
    body += b"".join(said) + String(String("permit-pty") + String(b"")) + String(b"") + String(authority)
    return line(body + String(sign(body)))


TOUCHED = Byte(1) + UInt32(7)
"""A person was there, and how often the token has signed."""


def told_to_token(body: bytes) -> bytes:
    return hashlib.sha256(b"ssh:").digest() + TOUCHED + hashlib.sha256(body).digest()


def by_ed25519_token(critical: bytes = b"") -> bytes:
    kind, token = String("sk-ssh-ed25519@openssh.com"), ed25519.Ed25519PrivateKey.generate()
    public = token.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    authority = kind + String(public) + String("ssh:")
    return signed(authority, lambda body: kind + String(token.sign(told_to_token(body))) + TOUCHED, critical)


def by_ecdsa_token() -> bytes:
    kind, token = String("sk-ecdsa-sha2-nistp256@openssh.com"), ec.generate_private_key(ec.SECP256R1())
    public = token.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

    def sign(body: bytes) -> bytes:
        r, s = decode_dss_signature(token.sign(told_to_token(body), ec.ECDSA(hashes.SHA256())))
        return kind + String(MPInt(r) + MPInt(s)) + TOUCHED

    return signed(kind + String("nistp256") + String(public) + String("ssh:"), sign)


@pytest.mark.parametrize("made", [by_ed25519_token, by_ecdsa_token])
def test_one_signed_by_an_authority_in_hardware(made: Callable[[], bytes]) -> None:
    found = read_certificate(made(), key_line(KEY.convert_to_public()))
    assert (found.key_id, found.principals, found.valid_before) == ("job-7", ("scan",), NOW + 60)
    assert found.authority == found.certificate.signing_key.get_fingerprint()


def test_one_that_asks_for_what_is_not_known() -> None:
    with pytest.raises(CertificateError, match="critical option"):
        read_certificate(by_ed25519_token(String("new@example") + String(b"")), key_line(KEY.convert_to_public()))


@pytest.mark.parametrize("authority", ["ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa"])
def test_one_that_is_damaged_anywhere(authority: str) -> None:
    made = asyncssh.generate_private_key(authority).generate_user_certificate(KEY, "job-7", principals=["scan"])
    whole, key = made.public_data, key_line(KEY.convert_to_public())
    assert read_certificate(line(whole), key).certificate == made
    for at in range(len(whole)):
        for bit in (1, 0x80):
            damaged = bytes((*whole[:at], whole[at] ^ bit, *whole[at + 1 :]))
            with suppress(CertificateError):
                read_certificate(line(damaged), key)
    with pytest.raises(CertificateError, match="its signature is not its authority's: it is damaged"):
        read_certificate(line(whole[:-1] + bytes([whole[-1] ^ 1])), key)
    with pytest.raises(CertificateError, match=r"^it is damaged"):
        read_certificate(line(whole[:-1]), key)
