"""NT hashes: what NTLM's answers are made of, from a password, or as a secret holds it.

A hash opens Windows as its password does, and is kept as briefly. Whether a secret holds one, the record says: 32 hex
digits are a password too.
"""

from __future__ import annotations

import re

from Cryptodome.Hash import MD4

from appliance.contract import Candidate, Failure, Phase, named
from appliance.vault.credential import Credential

_HEX = re.compile(r"(?:[0-9A-Fa-f]{32}:)?([0-9A-Fa-f]{32})")
"""`NT`, or `LM:NT`, of which the first half is of no use."""


def nt_hash(password: str) -> bytes:
    """MS-NLMP 3.3.1, NTOWFv1. A vault may hold halves of surrogate pairs, which Windows would hash as they are."""
    return MD4.new(password.encode("utf-16-le", "surrogatepass")).digest()  # noqa: S303 - NTLM is made of it


EMPTY = nt_hash("")


def answering_key(candidate: Candidate, credential: Credential) -> bytes | Failure:
    """The NT hash that answers for a credential, or why there is none to be submitted."""
    held = credential.password
    # An empty user or password would make an anonymous session, which answers no question about the secret.
    if not held or not candidate.user:
        return Failure(Phase.VAULT, named("SECRET_FIELD_MISSING"), "the secret's password is empty")
    if not candidate.nt_hash:
        return nt_hash(held)
    found = _HEX.fullmatch(held)
    if found is None:
        return Failure(Phase.VAULT, named("SECRET_HASH_UNREADABLE"), "neither 32 hex digits nor LM:NT")
    key = bytes.fromhex(found[1])
    if key == EMPTY:
        # Tools that print hashes write it where there is none.
        return Failure(Phase.VAULT, named("SECRET_FIELD_MISSING"), "the secret's NT hash is that of an empty password")
    return key
