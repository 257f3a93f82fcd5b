"""Signatures of SMB 2 and 3 (MS-SMB2 3.1.4.1, 3.1.4.2) and the hash that 3.1.1 keeps of its first messages."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from hashlib import sha512

from Cryptodome.Cipher import AES
from Cryptodome.Hash import CMAC

from targets.smb.wire import HEADER, SIGNED, SMB_3_0, SMB_3_1_1

_FLAGS_AT, _SIGNATURE_AT = 16, 48


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs and checks the messages of one session."""

    key: bytes
    cmac: bool

    @classmethod
    def of(cls, dialect: int, session_key: bytes, preauth: bytes) -> Signer:
        """`preauth` is the session's hash, for 3.1.1."""
        session_key = session_key[:16].ljust(16, b"\0")
        if dialect < SMB_3_0:
            return cls(session_key, cmac=False)
        if dialect < SMB_3_1_1:
            return cls(derive(session_key, b"SMB2AESCMAC\0", b"SmbSign\0"), cmac=True)
        return cls(derive(session_key, b"SMBSigningKey\0", preauth), cmac=True)

    def sign(self, message: bytes) -> bytes:
        flags = int.from_bytes(message[_FLAGS_AT : _FLAGS_AT + 4], "little") | SIGNED
        message = message[:_FLAGS_AT] + flags.to_bytes(4, "little") + message[_FLAGS_AT + 4 :]
        return message[:_SIGNATURE_AT] + self._signature(message) + message[HEADER:]

    def is_right(self, message: bytes) -> bool:
        return hmac.compare_digest(message[_SIGNATURE_AT:HEADER], self._signature(message))

    def _signature(self, message: bytes) -> bytes:
        blanked = message[:_SIGNATURE_AT] + bytes(16) + message[HEADER:]
        if self.cmac:
            return CMAC.new(self.key, msg=blanked, ciphermod=AES).digest()
        return hmac.digest(self.key, blanked, "sha256")[:16]


def derive(key: bytes, label: bytes, context: bytes) -> bytes:
    """SP 800-108 in counter mode with HMAC-SHA256: 128 bits."""
    text = b"\0\0\0\1" + label + b"\0" + context + (128).to_bytes(4, "big")
    return hmac.digest(key, text, "sha256")[:16]


def preauth(before: bytes, message: bytes) -> bytes:
    """The integrity hash after one more message (3.3.5.4); it begins as 64 zero bytes."""
    return sha512(before + message).digest()
