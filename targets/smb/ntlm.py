"""NTLMv2 as a server speaks it: the challenge, and the proof that an answer makes (MS-NLMP)."""

from __future__ import annotations

import hmac
import struct
from dataclasses import dataclass
from hashlib import md5

from Cryptodome.Cipher import ARC4
from Cryptodome.Hash import MD4

from targets.smb.spnego import NTLMSSP
from targets.smb.wire import WireError

UNICODE, REQUEST_TARGET, SIGN, SEAL, NTLM = 0x1, 0x4, 0x10, 0x20, 0x200
ALWAYS_SIGN, TARGET_IS_DOMAIN, TARGET_IS_SERVER = 0x8000, 0x10000, 0x20000
EXTENDED_SESSION_SECURITY, TARGET_INFO, VERSION = 0x80000, 0x800000, 0x2000000
KEY_128, KEY_EXCHANGE, KEY_56 = 0x20000000, 0x40000000, 0x80000000
_ALWAYS = UNICODE | REQUEST_TARGET | NTLM | EXTENDED_SESSION_SECURITY | TARGET_INFO | VERSION
_IF_ASKED = SIGN | SEAL | ALWAYS_SIGN | KEY_128 | KEY_EXCHANGE | KEY_56
_AV_END, _AV_HOST, _AV_DOMAIN, _AV_DNS_HOST, _AV_DNS_DOMAIN, _AV_FLAGS, _AV_TIME = 0, 1, 2, 3, 4, 6, 7
_HAS_MIC = 0x2
_MIC_AT = 72


@dataclass(frozen=True, slots=True)
class Names:
    """What a host says of itself in its challenge."""

    host: str
    domain: str
    dns_domain: str = ""
    version: tuple[int, int, int] = (10, 0, 17763)
    """Windows major, minor, build."""

    @property
    def is_member(self) -> bool:
        return self.domain.casefold() != self.host.casefold()


@dataclass(frozen=True, slots=True)
class Answer:
    """A client's AUTHENTICATE message (2.2.1.3)."""

    user: str
    domain: str
    workstation: str
    proof: bytes
    """The NTLMv2 response: proof string and blob. Empty from an anonymous client; 24 bytes from one of NTLMv1."""
    session_key: bytes
    flags: int
    mic: bytes
    raw: bytes

    @property
    def anonymous(self) -> bool:
        return not self.user and not self.proof


def client_flags(message: bytes) -> int:
    """Of a NEGOTIATE message (2.2.1.1)."""
    if len(message) < 16 or not message.startswith(NTLMSSP) or message[8:12] != b"\1\0\0\0":
        raise WireError("no NTLM negotiate message")
    return int.from_bytes(message[12:16], "little")


def challenge(names: Names, nonce: bytes, flags: int, now: int) -> bytes:
    """2.2.1.2, for a client that has sent `flags`; `now` is a FILETIME."""
    target = names.domain if names.is_member else names.host
    title = target.upper().encode("utf-16-le")
    pairs = _pairs(names, now)
    kind = TARGET_IS_DOMAIN if names.is_member else TARGET_IS_SERVER
    chosen = _ALWAYS | kind | (flags & _IF_ASKED)
    start = 56
    return (
        NTLMSSP
        + struct.pack("<IHHI", 2, len(title), len(title), start)
        + struct.pack("<I8s8s", chosen, nonce, bytes(8))
        + struct.pack("<HHI", len(pairs), len(pairs), start + len(title))
        + struct.pack("<BBH3xB", *names.version, 15)
        + title
        + pairs
    )


def _pairs(names: Names, now: int) -> bytes:
    dns_host = f"{names.host}.{names.dns_domain}" if names.dns_domain else names.host
    values = [
        (_AV_DOMAIN, names.domain.upper().encode("utf-16-le")),
        (_AV_HOST, names.host.upper().encode("utf-16-le")),
        (_AV_DNS_DOMAIN, (names.dns_domain or names.host).lower().encode("utf-16-le")),
        (_AV_DNS_HOST, dns_host.lower().encode("utf-16-le")),
        (_AV_TIME, struct.pack("<Q", now)),
        (_AV_END, b""),
    ]
    return b"".join(struct.pack("<HH", kind, len(value)) + value for kind, value in values)


def read_answer(message: bytes) -> Answer:
    """Raises WireError."""
    if len(message) < 64 or not message.startswith(NTLMSSP) or message[8:12] != b"\3\0\0\0":
        raise WireError("no NTLM authenticate message")
    flags = int.from_bytes(message[60:64], "little")
    encoding = "utf-16-le" if flags & UNICODE else "latin-1"
    try:
        domain, user, workstation = (_field(message, at).decode(encoding) for at in (28, 36, 44))
    except UnicodeDecodeError:
        raise WireError("a name that is no text") from None
    proof = _field(message, 20)
    has_mic = _blob_flags(proof) & _HAS_MIC and len(message) >= _MIC_AT + 16
    mic = message[_MIC_AT : _MIC_AT + 16] if has_mic else b""
    return Answer(user, domain, workstation, proof, _field(message, 52), flags, mic, message)


def proves(answer: Answer, nonce: bytes, password: str) -> bytes | None:
    """The session's base key (3.3.2), if the answer was made with this password; else None."""
    key = _key(answer, password)
    proof, blob = answer.proof[:16], answer.proof[16:]
    if len(answer.proof) < 44 or not hmac.compare_digest(proof, _mac(key, nonce + blob)):
        return None
    return _mac(key, proof)


def exported_key(answer: Answer, base: bytes) -> bytes:
    """The session key that both sides go on with (3.4.5.1)."""
    if answer.flags & KEY_EXCHANGE and len(answer.session_key) == 16:
        return ARC4.new(base).encrypt(answer.session_key)
    return base


def mic_is_right(answer: Answer, key: bytes, earlier: bytes) -> bool:
    """Where the client promised a MIC, it signs all three messages; `earlier` is the first two."""
    if not answer.mic:
        return True
    blanked = answer.raw[:_MIC_AT] + bytes(16) + answer.raw[_MIC_AT + 16 :]
    return hmac.compare_digest(answer.mic, _mac(key, earlier + blanked))


def signature(key: bytes, text: bytes, *, by_client: bool, sealed: bool) -> bytes:
    """Of the first message in one direction, for a mechListMIC (3.4.4.2). `sealed`: a key exchange was negotiated."""
    side = b"client-to-server" if by_client else b"server-to-client"
    signing = md5(key + b"session key to " + side + b" signing key magic constant\0").digest()  # noqa: S324 - MS-NLMP 3.4.5.2
    mac = _mac(signing, bytes(4) + text)[:8]
    if sealed:
        sealing = md5(key + b"session key to " + side + b" sealing key magic constant\0").digest()  # noqa: S324 - 3.4.5.3
        mac = ARC4.new(sealing).encrypt(mac)
    return b"\1\0\0\0" + mac + bytes(4)


def _key(answer: Answer, password: str) -> bytes:
    hashed = MD4.new(password.encode("utf-16-le")).digest()  # noqa: S303 - NTLM is made of it
    return _mac(hashed, (answer.user.upper() + answer.domain).encode("utf-16-le"))


def _mac(key: bytes, text: bytes) -> bytes:
    return hmac.digest(key, text, "md5")


def _field(message: bytes, at: int) -> bytes:
    length, _, offset = struct.unpack_from("<HHI", message, at)
    if length and len(message) < offset + length:
        raise WireError("an NTLM field that points out of its message")
    return message[offset : offset + length] if length else b""


def _blob_flags(proof: bytes) -> int:
    """MsvAvFlags among the pairs of an NTLMv2 blob (2.2.2.1); 0 where there are none."""
    at = 44
    while at + 4 <= len(proof):
        kind, length = struct.unpack_from("<HH", proof, at)
        if kind == _AV_END:
            break
        if kind == _AV_FLAGS and length == 4 and at + 8 <= len(proof):
            return int.from_bytes(proof[at + 4 : at + 8], "little")
        at += 4 + length
    return 0
