"""The keys of a session, from the one that the login has made (MS-SMB2 3.2.5.3.1)."""

from __future__ import annotations

from impacket import crypto
from impacket.smb3structs import SMB2_DIALECT_30, SMB2_DIALECT_311


def derived(dialect: int, key: bytes, preauth: bytes) -> dict[str, bytes]:
    """By impacket's names; none before SMB 3.0. `preauth`: the session's integrity hash, for 3.1.1."""
    if dialect < SMB2_DIALECT_30:
        return {}
    if dialect == SMB2_DIALECT_311:
        labels = {
            "SigningKey": (b"SMBSigningKey\x00", preauth),
            "ApplicationKey": (b"SMBAppKey\x00", preauth),
            "EncryptionKey": (b"SMBC2SCipherKey\x00", preauth),
            "DecryptionKey": (b"SMBS2CCipherKey\x00", preauth),
        }
    else:
        labels = {
            "SigningKey": (b"SMB2AESCMAC\x00", b"SmbSign\x00"),
            "ApplicationKey": (b"SMB2APP\x00", b"SmbRpc\x00"),
            "EncryptionKey": (b"SMB2AESCCM\x00", b"ServerIn \x00"),
            "DecryptionKey": (b"SMB2AESCCM\x00", b"ServerOut\x00"),
        }
    return {name: crypto.KDF_CounterMode(key, label, context, 128) for name, (label, context) in labels.items()}
