"""A secret's private key, decrypted; and where it cannot be had, whether the key or its passphrase is at fault.

A wrong passphrase shows in the forms of a key in different ways. OpenSSH's has a check of its own. PEM's (RFC 1423) has
the padding alone, which one wrong passphrase in 240 leaves looking right: what is decrypted then is noise, which cannot
be told from a damaged key. And what is damaged ends in asyncssh as any of several exceptions.
"""

from __future__ import annotations

import anyio.to_thread
import asyncssh

from appliance.contract import Failure, Phase, named
from appliance.login.decoders import DAMAGE
from appliance.vault.credential import Credential

_PASSPHRASE_NAMED = ("passphrase", "decrypt")
"""In asyncssh's texts, which are constants where they say so."""

_UNDER_THE_CIPHER = (
    "invalid pem private key",
    "invalid rsa private key",
    "invalid ec private key",
    "invalid dsa private key",
)
"""asyncssh's texts for what is no key, where it has got as far as decrypting one."""

_BEFORE_NAMED = {
    b"PuTTY-User-Key-File": "a PuTTY key: export it for OpenSSH (puttygen KEY.ppk -O private-openssh -o KEY)",
    b"-----BEGIN PUBLIC": "a public key",
    b"-----BEGIN RSA PUBLIC": "a public key",
    b"---- BEGIN SSH2 PUBLIC": "a public key",
    b"-----BEGIN CERTIFICATE": "an X.509 certificate",
    b"ssh-": "a public key",
    b"ecdsa-": "a public key",
    b"sk-": "a public key",
}
"""How that begins which is often stored in a private key's place."""


async def import_key(credential: Credential) -> asyncssh.SSHKey | Failure:
    """The private key, decrypted off the loop: OpenSSH's key derivation takes 0.1 s of CPU, RSA's checks as much."""
    data, passphrase = _unwrapped(credential.private_key), credential.passphrase or None
    if not data:
        return Failure(Phase.VAULT, named("SECRET_FIELD_MISSING"), "the secret holds no private key")
    try:
        return await anyio.to_thread.run_sync(asyncssh.import_private_key, data, passphrase, abandon_on_cancel=True)
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as error:
        words = str(error).lower()  # which may quote the key: it is matched, and never shown
    except DAMAGE:
        words = ""
    if any(word in words for word in _PASSPHRASE_NAMED) or (_pem_cipher(data) and words in _UNDER_THE_CIPHER):
        missing = "missing" if passphrase is None else "wrong"
        return Failure(Phase.VAULT, named("SECRET_PASSPHRASE_WRONG"), f"the passphrase is {missing}")
    return Failure(Phase.VAULT, named("SECRET_KEY_UNREADABLE"), _what_it_is(data))


def _unwrapped(data: bytes) -> bytes:
    """As asyncssh reads it: editors and forms add a byte order mark and indents, and end lines by CR."""
    if b"-----BEGIN " not in data:
        return data  # may be DER, whose bytes are no text
    return b"\n".join(line.strip() for line in data.removeprefix(b"\xef\xbb\xbf").splitlines())


def _pem_cipher(data: bytes) -> bool:
    return b"\nProc-Type: 4,ENCRYPTED" in data


def _what_it_is(data: bytes) -> str:
    for beginning, what in _BEFORE_NAMED.items():
        if data.lstrip().startswith(beginning):
            return f"the secret holds {what}, and no private key"
    if b"PRIVATE KEY-----" not in data:
        return "neither a PEM nor an OpenSSH private key"
    if b"\n" not in data:
        return "the private key has lost its line breaks: store it as a file, or in a field of several lines"
    return "the private key is damaged or cut short, or of a kind that is not known here"
