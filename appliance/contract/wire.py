"""What every message is, and the words that all of them use."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Any, Final, Self

from pydantic import BaseModel, ConfigDict, ValidationError

OLDEST: Final = 1
VERSION: Final = 2
"""The contract versions that this release reads, the oldest and the newest. The newest rises with any change that an
older release could not read.
"""

PEER_TEXT_LIMIT = 512
"""Bytes of a peer's own text that evidence may carry (design: a hostile peer must not fill a store)."""


class ContractError(ValueError):
    """A message that this release cannot read: damaged, of another version, or with fields it does not know."""


class Wire(BaseModel):
    """A frozen message with a version that encodes to JSON bytes and back."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def encode(self) -> bytes:
        return self.model_dump_json().encode()

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read a message. Raises ContractError; its text names the field, never the value."""
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            raise ContractError(described(cls.__name__, error)) from None


def described(name: str, error: ValidationError) -> str:
    """What is wrong with a message, by its fields; no value is quoted."""
    faults = (f"{'.'.join(map(str, e['loc'])) or 'message'}: {e['msg']}" for e in error.errors(include_input=False))
    return f"unreadable {name}: " + "; ".join(faults)


class Technology(StrEnum):
    """A host technology in the sense of an authentication record."""

    WINDOWS = "windows"
    UNIX = "unix"


class Phase(StrEnum):
    """The phases of one job, in order. An attempt ends in exactly one of them."""

    PLAN = "plan"
    DISPATCH = "dispatch"
    LEASE = "lease"
    JUMP = "jump"
    """A session with the jump host, where the record has one: with one that stands, or until a new one does."""
    DNS = "dns"
    TCP = "tcp"
    NEGOTIATE = "negotiate"
    """First bytes: the SSH identification line, or SMB negotiate and the NTLM challenge."""
    KEX = "kex"
    KDC = "kdc"
    """Kerberos: what is said with a domain controller. Entered before the permit, and again to submit the password."""
    PERMIT = "permit"
    VAULT = "vault"
    AUTH = "auth"
    PRIVILEGE = "privilege"
    LOGOFF = "logoff"


def peer_text(raw: bytes | str) -> str:
    """A peer's own words, safe to store and print: decoded, controls escaped, at most PEER_TEXT_LIMIT bytes."""
    text = raw.decode("utf-8", "backslashreplace") if isinstance(raw, bytes) else raw
    text = text.strip()[: PEER_TEXT_LIMIT + 1]  # whatever comes behind is cut off anyway: no megabytes are escaped
    if not text.isprintable():
        text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    encoded = text.encode("utf-8", "backslashreplace")
    if len(encoded) <= PEER_TEXT_LIMIT:
        return encoded.decode()
    return encoded[: PEER_TEXT_LIMIT - 3].decode("utf-8", "ignore") + "..."


_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def canonical(value: Any) -> bytes:
    """Stable JSON of plain data: what ids and snapshots are hashed over."""
    return _CANONICAL.encode(value).encode()
