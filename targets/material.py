"""What is secret in an estate, derived from its seed: every value is a marker that a scan of memory or files can find.

A marker is `KMS-` and 24 hex digits. Passwords and passphrases are markers; a private key carries one as its comment.
Nothing is random: the same seed and label give the same password and, byte for byte, the same key file.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache

import bcrypt
from Cryptodome.Hash import MD4
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

MARKER = re.compile(rb"KMS-[0-9a-f]{24}")

BCRYPT_ROUNDS = 4
"""Far fewer than ssh-keygen's 24: a simulated key need not withstand guessing, and each round costs both sides 6 ms."""

_ED25519 = b"ssh-ed25519"


def derive(seed: int, *label: str) -> bytes:
    """32 bytes for a label; the parts are length-prefixed, so that no two labels run together."""
    text = "".join(f"{len(part)}:{part}" for part in label)
    return hashlib.sha256(f"{seed}|{text}".encode()).digest()


def marker(seed: int, *label: str) -> str:
    return "KMS-" + derive(seed, *label).hex()[:24]


@dataclass(frozen=True, slots=True)
class Material:
    """A password and a key pair; it stores the label they are derived from, not the values."""

    seed: int
    label: str
    fixed_password: str = ""
    """Given in the estate file instead of derived; empty for a marker."""

    @property
    def password(self) -> str:
        return self.fixed_password or marker(self.seed, "password", self.label)

    @property
    def nt_hash(self) -> str:
        """Of the password, as tools print it (MS-NLMP 3.3.1, NTOWFv1)."""
        return MD4.new(self.password.encode("utf-16-le")).hexdigest()  # noqa: S303 - it is what Windows keeps

    @property
    def passphrase(self) -> str:
        return marker(self.seed, "passphrase", self.label)

    @property
    def key_comment(self) -> str:
        return marker(self.seed, "key comment", self.label)

    @property
    def public_blob(self) -> bytes:
        """The public key as SSH sends it."""
        return public_blob(self.private_bytes)

    @property
    def private_bytes(self) -> bytes:
        return derive(self.seed, "key", self.label)

    def private_key_file(self) -> bytes:
        """The key as ssh-keygen writes it (OpenSSH format, ed25519), encrypted with the passphrase."""
        return _openssh_private_key(self.private_bytes, self.key_comment, self.passphrase)


def host_key(seed: int, address: str) -> bytes:
    """The 32 private bytes of a host's ed25519 key."""
    return derive(seed, "host key", address)


def public_blob(private: bytes) -> bytes:
    return _string(_ED25519) + _string(_public(private))


def public_line(private: bytes) -> str:
    """A public key as known_hosts and authorized_keys have it: `ssh-ed25519 BASE64`."""
    return f"ssh-ed25519 {base64.b64encode(public_blob(private)).decode()}"


def _public(private: bytes) -> bytes:
    return Ed25519PrivateKey.from_private_bytes(private).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def _string(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


@lru_cache(maxsize=4096)
def _openssh_private_key(private: bytes, comment: str, passphrase: str) -> bytes:
    """Format: OpenSSH's PROTOCOL.key. Libraries write it with a random salt; here it comes from the key itself."""
    salt = hashlib.sha256(b"salt" + private).digest()[:16]
    check = hashlib.sha256(b"check" + private).digest()[:4]
    secret = check * 2 + _string(_ED25519) + _string(_public(private)) + _string(private + _public(private))
    secret += _string(comment.encode())
    secret += bytes(range(1, -len(secret) % 16 + 1))
    stretched = bcrypt.kdf(passphrase.encode(), salt, 48, BCRYPT_ROUNDS, ignore_few_rounds=True)
    encryptor = Cipher(algorithms.AES(stretched[:32]), modes.CTR(stretched[32:])).encryptor()
    body = (
        b"openssh-key-v1\0"
        + _string(b"aes256-ctr")
        + _string(b"bcrypt")
        + _string(_string(salt) + BCRYPT_ROUNDS.to_bytes(4, "big"))
        + (1).to_bytes(4, "big")
        + _string(public_blob(private))
        + _string(encryptor.update(secret) + encryptor.finalize())
    )
    text = base64.b64encode(body).decode()
    lines = "\n".join(text[i : i + 70] for i in range(0, len(text), 70))
    return f"-----BEGIN OPENSSH PRIVATE KEY-----\n{lines}\n-----END OPENSSH PRIVATE KEY-----\n".encode()
