"""The public key of a certificate, as it stands there.

Whoever reads the key and writes it anew may write it otherwise (parameters of RSA-PSS and of curves, compressed
points), and can read no key of a kind that he does not know: its digest is another then than that of the bytes.
"""

from __future__ import annotations

_SEQUENCE, _VERSION = 0x30, 0xA0
_BEFORE_KEY = 5
"""Serial number, signature's algorithm, issuer, validity, subject."""


def public_key_in(certificate: bytes) -> bytes:
    """The SubjectPublicKeyInfo of a certificate in DER. Raises ValueError for what is none."""
    at, _ = _content(certificate, 0, _SEQUENCE)
    at, _ = _content(certificate, at, _SEQUENCE)
    if certificate[at : at + 1] == bytes([_VERSION]):
        _, at = _content(certificate, at)
    for _ in range(_BEFORE_KEY):
        _, at = _content(certificate, at)
    _, end = _content(certificate, at, _SEQUENCE)
    return certificate[at:end]


def _content(der: bytes, at: int, tag: int | None = None) -> tuple[int, int]:
    """Where the content of the value at `at` begins and ends. Raises ValueError where there is none, or no `tag`."""
    head = der[at : at + 2]
    if len(head) < 2 or (tag is not None and head[0] != tag):
        raise ValueError("no certificate in DER")
    begin, length = at + 2, head[1]
    if length & 0x80:
        begin += length & 0x7F
        length = int.from_bytes(der[at + 2 : begin], "big")
    if begin + length > len(der):
        raise ValueError("a certificate that is cut short")
    return begin, begin + length
