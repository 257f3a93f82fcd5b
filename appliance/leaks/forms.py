"""The byte strings by which a secret would be found, wherever somebody may have written it. Pure.

A text is looked for as it is, as UTF-16 (what NTLM hashes), in base64 at each of the three offsets that it may have in
a longer text, as JSON, HTML, URLs and hex write it, and as its NT hash, which opens Windows as the password does; what
is such a hash itself, as its bytes too.
A private key is looked for in parts that no other key shares: the later half of its file, line by line and decoded,
and the private numbers themselves.
"""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterator
from urllib.parse import quote, quote_plus

from Cryptodome.Hash import MD4
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    load_ssh_private_key,
)

SHORTEST = 6
"""Bytes; anything shorter is found everywhere by chance."""
PIECE = 24
"""Bytes of a decoded key file that stand for it."""

Forms = dict[bytes, str]
"""What to look for, and what it would be called."""


def text_forms(secret: str) -> Forms:
    """Forms of a password or passphrase; empty where it is too short to be looked for."""
    plain, wide = secret.encode(), secret.encode("utf-16-le")
    if len(plain) < SHORTEST:
        return {}
    found: Forms = {plain: "as it is", wide: "UTF-16"}
    for name, data in (("base64", plain), ("base64 of UTF-16", wide)):
        for piece in _base64(data):
            found.setdefault(piece, name)
    # ASCII alone: what escapes leave alone is the text as it is, which is there already.
    found.setdefault(json.dumps(secret)[1:-1].encode(), "JSON")
    for write in (html.escape, lambda s: html.escape(s, quote=False)):
        found.setdefault(write(secret).encode(), "HTML")
    for quoted in (quote(secret, safe=""), quote_plus(secret), quote(secret)):
        found.setdefault(quoted.encode(), "URL")
    return found | _hex(plain, "hex") | _hex(wide, "hex of UTF-16") | _nt_hash(wide) | _held_hash(secret)


def key_forms(key: bytes, passphrase: str = "") -> Forms:
    """Forms of a private key file (OpenSSH, PEM, PKCS#8), and of the numbers in it where it can be read."""
    lines = [line.strip() for line in key.splitlines() if re.fullmatch(rb"[A-Za-z0-9+/=]+", line.strip())]
    found: Forms = {line: "line of the key file" for line in lines[len(lines) // 2 :] if len(line) >= PIECE}
    try:
        body = base64.b64decode(b"".join(lines), validate=True)
    except ValueError:
        body = key
    middle = len(body) * 3 // 4
    if len(body) >= 4 * PIECE:
        found[body[middle - PIECE // 2 : middle + PIECE // 2]] = "decoded key file"
    for number in _numbers(key, passphrase):
        found.setdefault(number, "private number of the key")
    return found


def client_key_forms(key: bytes) -> Forms:
    """Forms of an unencrypted key in PEM, whichever of its two encodings somebody has written it in."""
    private = load_pem_private_key(key, None)
    encodings = (PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL)
    files = [private.private_bytes(Encoding.PEM, encoding, NoEncryption()) for encoding in encodings]
    return {form: called for file in files for form, called in key_forms(file).items()}


def _base64(data: bytes) -> Iterator[bytes]:
    """Whole groups of three bytes only: the rest depends on what stands beside it."""
    for offset in range(3):
        inner = data[(-offset) % 3 :]
        inner = inner[: len(inner) // 3 * 3]
        if len(inner) >= SHORTEST:
            yield base64.b64encode(inner)
            yield base64.urlsafe_b64encode(inner)


def _hex(data: bytes, name: str) -> Forms:
    return {data.hex().encode(): name, data.hex().upper().encode(): name}


def _nt_hash(wide: bytes) -> Forms:
    """MS-NLMP 3.3.1, NTOWFv1: MD4 of the UTF-16 password."""
    digest = MD4.new(wide).digest()  # noqa: S303 - it is what Windows keeps
    return {digest: "NT hash"} | _hex(digest, "NT hash in hex")


def _held_hash(secret: str) -> Forms:
    """Of a secret that is an NT hash itself. Here its shape may decide: to look for too much does no harm."""
    found = re.fullmatch(r"(?:[0-9A-Fa-f]{32}:)?([0-9A-Fa-f]{32})", secret)
    if found is None:
        return {}
    digest = bytes.fromhex(found[1])
    return {digest: "NT hash"} | _hex(digest, "NT hash in hex")


def _numbers(key: bytes, passphrase: str) -> Iterator[bytes]:
    """The secret integers, as files and messages write them and as OpenSSL keeps them (least byte first)."""
    for load in (load_ssh_private_key, load_pem_private_key):
        try:
            private = load(key, passphrase.encode() or None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            continue
        match private:
            case Ed25519PrivateKey():
                yield private.private_bytes_raw()
            case RSAPrivateKey():
                numbers = private.private_numbers()
                yield from _both_ways(numbers.d, numbers.p, numbers.q)
            case EllipticCurvePrivateKey():
                yield from _both_ways(private.private_numbers().private_value)
        return


def _both_ways(*numbers: int) -> Iterator[bytes]:
    for number in numbers:
        size = (number.bit_length() + 7) // 8
        yield number.to_bytes(size, "big")
        yield number.to_bytes(size, "little")
