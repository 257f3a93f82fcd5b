"""NATS's JSON web tokens (version 2): who an operator, an account or a user is, signed by whom they are told of.

A server in operator mode knows its operator alone. It takes an account that the operator has signed, and a user that
the account, or one of its signing keys, has signed; the user's token holds its permissions. So users are made without a
word to the server, and a revocation is a new token of their account.

Format: header and claims as JSON, base64url without padding, and an ed25519 signature over `header.claims`
(docs.nats.io, "Decentralized JWT Authentication"; the claims' fields as nats-server 2.11 reads them).
"""

from __future__ import annotations

import json
import os
from base64 import b32encode, urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from hashlib import sha256
from typing import Any

import nkeys

_HEADER = {"typ": "JWT", "alg": "ed25519-nkey"}
_UNLIMITED = -1
_CLOCKS_S = 60
"""Tokens are valid from so long ago on: the server's clock may be behind ours."""


class KeyKind(Enum):
    """What a key stands for; seeds begin with S and the letter, public keys with the letter."""

    OPERATOR = "O"
    ACCOUNT = "A"
    USER = "U"


_PREFIX = {
    KeyKind.OPERATOR: nkeys.PREFIX_BYTE_OPERATOR,
    KeyKind.ACCOUNT: nkeys.PREFIX_BYTE_ACCOUNT,
    KeyKind.USER: nkeys.PREFIX_BYTE_USER,
}


@dataclass(frozen=True, slots=True)
class KeyPair:
    seed: str = field(repr=False)
    """Secret: proves the key's owner. It is handed on by file descriptor or in a file of mode 0600, never by argv."""
    public: str


class BadKey(ValueError):
    """No seed, or one of another kind."""


class BadToken(ValueError):
    """No token of this format."""


def new_key(kind: KeyKind) -> KeyPair:
    seed: bytes = nkeys.encode_seed(os.urandom(32), _PREFIX[kind])
    return KeyPair(seed=seed.decode(), public=public_of(seed.decode(), kind))


def public_of(seed: str, kind: KeyKind) -> str:
    """The public half. Raises BadKey."""
    text = seed.strip()
    try:
        pair = nkeys.from_seed(bytearray(text.encode()))
    except (nkeys.NkeysError, ValueError):  # ValueError: what is not base32 at all
        raise BadKey(
            f"no nkey seed; that of an {kind.name.lower()} is the line that begins with S{kind.value}"
        ) from None
    try:
        public: str = pair.public_key.decode()
    finally:
        pair.wipe()
    if not text.startswith("S" + kind.value):
        raise BadKey(f"the seed of another kind of key; that of an {kind.name.lower()} begins with S{kind.value}")
    return public


def operator_token(operator: KeyPair, *, name: str, system_account: str, now: float) -> str:
    """An operator's own token, which its servers are configured with."""
    nats = {"type": "operator", "version": 2, "system_account": system_account}
    return _signed(operator, operator.public, name, nats, now)


def account_token(
    operator: KeyPair,
    account: str,
    *,
    name: str,
    signing_keys: Sequence[str] = (),
    revoked: Mapping[str, float] | None = None,
    jetstream: bool = False,
    now: float,
) -> str:
    """`revoked`: users by public key, and the time until which their tokens were made that no longer count."""
    storage = _UNLIMITED if jetstream else 0
    limits = dict.fromkeys(("subs", "data", "payload", "imports", "exports", "conn", "leaf"), _UNLIMITED)
    limits |= {"mem_storage": storage, "disk_storage": storage, "streams": storage, "consumer": storage}
    nats: dict[str, Any] = {
        "type": "account",
        "version": 2,
        "limits": {**limits, "wildcards": True},
        "signing_keys": list(signing_keys),
        "revocations": {user: int(at) for user, at in (revoked or {}).items()},
        "default_permissions": {"pub": {}, "sub": {}},
    }
    return _signed(operator, account, name, nats, now)


def user_token(
    signer: KeyPair,
    account: str,
    user: str,
    *,
    name: str,
    permissions: Mapping[str, Any],
    now: float,
    expires_at: float | None = None,
) -> str:
    """`permissions` as the server's configuration writes them (`users`), durations in seconds. `signer`: the account's
    key, or one of its signing keys.
    """
    nats: dict[str, Any] = {
        "type": "user",
        "version": 2,
        "pub": dict(permissions.get("publish", {})),
        "sub": dict(permissions.get("subscribe", {})),
        "subs": _UNLIMITED,
        "data": _UNLIMITED,
        "payload": _UNLIMITED,
    }
    if signer.public != account:
        nats["issuer_account"] = account
    if responses := permissions.get("allow_responses"):
        seconds = float(str(responses["expires"]).removesuffix("s"))
        nats["resp"] = {"max": responses["max"], "ttl": int(seconds * 1e9)}
    return _signed(signer, user, name, nats, now, expires_at)


def claims_of(token: str) -> dict[str, Any]:
    """What a token says; whether it is true, its signature tells. Raises BadToken."""
    try:
        _, body, _ = token.strip().split(".")
        claims = json.loads(urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    except (ValueError, Base64Error):
        raise BadToken("no NATS token: it is three parts of base64, with a dot between them") from None
    if not isinstance(claims, dict) or not isinstance(claims.get("nats"), dict):
        raise BadToken("no NATS token: it says nothing of NATS")
    return claims


def _signed(
    signer: KeyPair, subject: str, name: str, nats: Mapping[str, Any], now: float, expires_at: float | None = None
) -> str:
    at = int(now)
    claims: dict[str, Any] = {"iat": at, "iss": signer.public, "name": name, "sub": subject, "nats": dict(nats)}
    claims["nbf"] = at - _CLOCKS_S
    if expires_at is not None:
        claims["exp"] = int(expires_at)
    claims["jti"] = b32encode(sha256(_json(claims)).digest()).decode().rstrip("=")
    text = f"{_base64(_json(_HEADER))}.{_base64(_json(claims))}"
    pair = nkeys.from_seed(bytearray(signer.seed.encode()))
    try:
        return f"{text}.{_base64(pair.sign(text.encode()))}"
    finally:
        pair.wipe()


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _base64(data: bytes) -> str:
    return urlsafe_b64encode(data).decode().rstrip("=")
