"""The envelope around NTLM messages: SPNEGO (RFC 4178), as much of it as one mechanism needs.

A token that is bare NTLM is passed as it is, in both directions.
"""

from __future__ import annotations

from dataclasses import dataclass

from targets.smb.wire import WireError

NTLMSSP = b"NTLMSSP\0"
_NTLM_OID = bytes.fromhex("060a2b06010401823702020a")
_KERBEROS_OID = bytes.fromhex("06092a864886f712010202")
_SPNEGO_OID = bytes.fromhex("06062b0601050502")
ACCEPT_COMPLETED, ACCEPT_INCOMPLETE, REJECT = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Token:
    """What a client sent."""

    ntlm: bytes
    """Empty where it began with another mechanism: it will send this one when told to."""
    bare: bool
    mechanisms: bytes = b""
    """The DER of its list of mechanisms, which a mechListMIC signs; empty after its first token."""
    mic: bytes = b""


def offer(*, ntlm: bool = True) -> bytes:
    """NegTokenInit of a server that knows NTLM alone; or that says so of Kerberos."""
    mechanisms = _der(0xA0, _der(0x30, _NTLM_OID if ntlm else _KERBEROS_OID))
    return _der(0x60, _SPNEGO_OID + _der(0xA0, _der(0x30, mechanisms)))


def read(token: bytes) -> Token:
    """Raises WireError."""
    if token.startswith(NTLMSSP):
        return Token(token, bare=True)
    tag, body, _ = _element(token)
    if tag == 0x60:
        oid, _, rest = _element(body)
        if oid != 0x06:
            raise WireError("a GSS token without a mechanism")
        tag, body, _ = _element(rest)
    fields = dict(_elements(_element(body)[1]))
    if tag == 0xA0:
        mechanisms = fields.get(0xA0, b"")
        first = _element(_element(mechanisms)[1]) if mechanisms else (0, b"", b"")
        optimistic = _octets(fields.get(0xA2, b"")) if _der(first[0], first[1]) == _NTLM_OID else b""
        return Token(optimistic, bare=False, mechanisms=mechanisms)
    if tag == 0xA1:
        return Token(_octets(fields.get(0xA2, b"")), bare=False, mic=_octets(fields.get(0xA3, b"")))
    raise WireError("no SPNEGO token")


def answer(state: int, ntlm: bytes = b"", *, names_mechanism: bool = False, mic: bytes = b"") -> bytes:
    """NegTokenResp."""
    body = _der(0xA0, _der(0x0A, bytes([state])))
    if names_mechanism:
        body += _der(0xA1, _NTLM_OID)
    if ntlm:
        body += _der(0xA2, _der(0x04, ntlm))
    if mic:
        body += _der(0xA3, _der(0x04, mic))
    return _der(0xA1, _der(0x30, body))


def _octets(field: bytes) -> bytes:
    return _element(field)[1] if field else b""


def _der(tag: int, body: bytes) -> bytes:
    length = len(body)
    if length < 0x80:
        return bytes([tag, length]) + body
    size = (length.bit_length() + 7) // 8
    return bytes([tag, 0x80 | size]) + length.to_bytes(size, "big") + body


def _element(data: bytes) -> tuple[int, bytes, bytes]:
    """Tag, contents and what follows."""
    if len(data) < 2:
        raise WireError("DER that is cut off")
    tag, length, start = data[0], data[1], 2
    if length & 0x80:
        size = length & 0x7F
        if not 1 <= size <= 4 or len(data) < 2 + size:
            raise WireError("DER of a length that cannot be")
        length, start = int.from_bytes(data[2 : 2 + size], "big"), 2 + size
    if len(data) < start + length:
        raise WireError("DER that is cut off")
    return tag, data[start : start + length], data[start + length :]


def _elements(data: bytes) -> list[tuple[int, bytes]]:
    found = []
    while data:
        tag, body, data = _element(data)
        found.append((tag, body))
    return found
