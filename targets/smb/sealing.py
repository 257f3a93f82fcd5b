"""Encryption of SMB 3 messages (MS-SMB2 2.2.41, 3.1.4.3): a message in, a transformed frame out, and back."""

from __future__ import annotations

import secrets
import struct
from dataclasses import dataclass
from typing import Any

from Cryptodome.Cipher import AES

from targets.smb.signing import derive
from targets.smb.wire import SMB_3_1_1, WireError

TRANSFORMED = b"\xfdSMB"
AES_128_CCM, AES_128_GCM = 1, 2
"""Ciphers as a negotiate context names them (2.2.3.1.2)."""
_NONCE = {AES_128_CCM: 11, AES_128_GCM: 12}
_HEADER = struct.Struct("<4s16s16sIHHQ")
_AUTHENTICATED_FROM = 20
"""What follows the protocol's name and the signature is signed along with the message."""
_ENCRYPTED = 1


@dataclass(frozen=True, slots=True)
class Sealer:
    """Encrypts what the server sends in one session, and decrypts what it gets."""

    session: int
    cipher: int
    incoming: bytes
    outgoing: bytes

    @classmethod
    def of(cls, dialect: int, session: int, session_key: bytes, preauth: bytes, cipher: int) -> Sealer:
        """`preauth` is the session's hash, for 3.1.1; before it there is one cipher, AES-128-CCM."""
        session_key = session_key[:16].ljust(16, b"\0")
        if dialect == SMB_3_1_1:
            incoming, outgoing = (b"SMBC2SCipherKey\0", preauth), (b"SMBS2CCipherKey\0", preauth)
        else:
            incoming, outgoing = (b"SMB2AESCCM\0", b"ServerIn \0"), (b"SMB2AESCCM\0", b"ServerOut\0")
        return cls(session, cipher, derive(session_key, *incoming), derive(session_key, *outgoing))

    def seal(self, message: bytes) -> bytes:
        nonce = secrets.token_bytes(_NONCE[self.cipher])
        fields = (nonce.ljust(16, b"\0"), len(message), 0, _ENCRYPTED, self.session)
        head = _HEADER.pack(TRANSFORMED, bytes(16), *fields)
        sealed, tag = self._cipher(self.outgoing, nonce, head).encrypt_and_digest(message)
        return _HEADER.pack(TRANSFORMED, tag, *fields) + bytes(sealed)

    def open(self, frame: bytes) -> bytes:
        """Raises WireError where it was not sealed with this session's key."""
        _, tag, nonce, size, _, _, _ = _HEADER.unpack_from(frame)
        cipher = self._cipher(self.incoming, nonce[: _NONCE[self.cipher]], frame)
        if size != len(frame) - _HEADER.size:
            raise WireError("an encrypted message of another size than it says")
        try:
            return bytes(cipher.decrypt_and_verify(frame[_HEADER.size :], tag))
        except ValueError:
            raise WireError("an encrypted message that is not of this session") from None

    def _cipher(self, key: bytes, nonce: bytes, head: bytes) -> Any:
        mode = AES.MODE_GCM if self.cipher == AES_128_GCM else AES.MODE_CCM
        cipher = AES.new(key, mode, nonce=nonce, mac_len=16)
        cipher.update(head[_AUTHENTICATED_FROM : _HEADER.size])
        return cipher


def session_of(frame: bytes) -> int:
    """Which session a transformed frame belongs to. Raises WireError."""
    if len(frame) < _HEADER.size:
        raise WireError("an encrypted message that is cut off")
    return int(_HEADER.unpack_from(frame)[6])
