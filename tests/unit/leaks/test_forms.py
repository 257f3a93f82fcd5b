"""Whatever way a secret was written down, one of its forms is in what was written."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from Cryptodome.Hash import MD4
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)

from appliance.leaks.forms import SHORTEST, client_key_forms, key_forms, text_forms

PASSWORD = "pä55 \"w<r>d\\&'/"


def found(forms: dict[bytes, str], written: bytes) -> set[str]:
    return {name for form, name in forms.items() if form in written}


def nt_hash(secret: str) -> MD4.MD4Hash:
    return MD4.new(secret.encode("utf-16-le"))  # noqa: S303 - it is what Windows keeps


WAYS: list[tuple[str, Callable[[str], bytes]]] = [
    ("as it is", lambda s: f"password={s};".encode()),
    ("UTF-16", lambda s: s.encode("utf-16-le")),
    ("JSON", lambda s: json.dumps({"password": s}).encode()),
    ("HTML", lambda s: f"<td>{html.escape(s)}</td>".encode()),
    ("URL", lambda s: f"?p={quote(s, safe='')}&x".encode()),
    ("URL", lambda s: f"?p={quote_plus(s)}&x".encode()),
    ("hex", lambda s: s.encode().hex().encode()),
    ("hex of UTF-16", lambda s: s.encode("utf-16-le").hex().upper().encode()),
    ("NT hash", lambda s: b"\0" + nt_hash(s).digest() + b"\0"),
    ("NT hash in hex", lambda s: nt_hash(s).hexdigest().encode()),
]


@pytest.mark.parametrize(("name", "write"), WAYS)
@pytest.mark.parametrize("secret", [PASSWORD, "KMS-0123456789abcdef01234567"])
def test_a_text_is_found_however_it_was_written(name: str, write: Callable[[str], bytes], secret: str) -> None:
    assert found(text_forms(secret), write(secret)) & {name, "as it is"}


@pytest.mark.parametrize("before", ["", "0" * 32 + ":"])
def test_a_secret_that_is_an_nt_hash_is_found_as_its_bytes_and_in_either_case(before: str) -> None:
    digest = nt_hash(PASSWORD)
    forms = text_forms(before + digest.hexdigest().upper())
    for written in (digest.digest(), digest.hexdigest().encode(), digest.hexdigest().upper().encode()):
        assert found(forms, b"\0" + written + b"\0") & {"NT hash", "NT hash in hex"}


@pytest.mark.parametrize("before", ["", "a", "ab", "abc", "user:"])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le"])
def test_base64_is_found_whatever_stands_before(before: str, encode: Callable[[bytes], bytes], encoding: str) -> None:
    assert found(text_forms(PASSWORD), encode(f"{before}{PASSWORD}?".encode(encoding)))


def test_what_is_too_short_is_not_looked_for() -> None:
    assert text_forms("x" * (SHORTEST - 1)) == {}
    assert min(map(len, text_forms("x" * SHORTEST))) >= SHORTEST


def test_no_form_is_found_in_what_is_no_secret() -> None:
    text = json.dumps({"user": "svc_scan", "reason": "BAD_CREDENTIALS"}).encode() + bytes(range(256))
    assert found(text_forms(PASSWORD) | key_forms(openssh(ed25519.Ed25519PrivateKey.generate())), text) == set()


def openssh(key: object, how: KeySerializationEncryption = NoEncryption()) -> bytes:  # noqa: B008 - immutable
    return key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, how)  # type: ignore[attr-defined,no-any-return]


ED25519 = ed25519.Ed25519PrivateKey.generate()
RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())


@pytest.mark.parametrize("key", [ED25519, RSA, EC], ids=["ed25519", "rsa", "ec"])
def test_a_key_file_is_found_whole_and_decoded(key: object) -> None:
    file = openssh(key)
    forms = key_forms(file)
    assert "line of the key file" in found(forms, b"x" + file)
    body = base64.b64decode(b"".join(file.splitlines()[1:-1]))
    assert "decoded key file" in found(forms, body)


def test_two_keys_share_no_form() -> None:
    """What all files begin with must not be taken for a key."""
    one, other = (openssh(ed25519.Ed25519PrivateKey.generate()) for _ in range(2))
    assert found(key_forms(one), other) == set()


@pytest.mark.parametrize(
    ("key", "number"),
    [
        (ED25519, ED25519.private_bytes_raw()),
        (RSA, RSA.private_numbers().d.to_bytes(256, "big").lstrip(b"\0")),
        (RSA, RSA.private_numbers().p.to_bytes(128, "little")),
        (EC, EC.private_numbers().private_value.to_bytes(32, "big").lstrip(b"\0")),
    ],
    ids=["ed25519", "rsa-d", "rsa-p", "ec"],
)
@pytest.mark.parametrize("form", [PrivateFormat.OpenSSH, PrivateFormat.PKCS8])
def test_the_private_numbers_of_a_ciphered_key_are_found(key: object, number: bytes, form: PrivateFormat) -> None:
    how = BestAvailableEncryption(b"passphrase")
    file = key.private_bytes(Encoding.PEM, form, how)  # type: ignore[attr-defined]
    assert "private number of the key" in found(key_forms(file, "passphrase"), b"\0" + number + b"\0")


@pytest.mark.parametrize("data", [b"", b"-----BEGIN NOTHING-----\n", b"\x00\xff" * 9, b"= = =\nA\n"])
def test_what_is_no_key_breaks_nothing(data: bytes) -> None:
    assert all(isinstance(form, bytes) for form in key_forms(data, "x"))


def test_a_client_key_is_known_in_both_ways_to_write_it() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    written = [
        key.private_bytes(Encoding.PEM, encoding, NoEncryption())
        for encoding in (PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL)
    ]
    for known in written:
        forms = client_key_forms(known)
        for leaked in (
            *written,
            json.dumps(written[0].decode()).encode(),
            key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()),
        ):
            assert [form for form in forms if form in leaked]
