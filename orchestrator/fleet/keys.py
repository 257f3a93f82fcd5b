"""The keys of a fleet, and how they lie at rest: encrypted, in one file of mode 0600 in the state directory.

The account's signing key makes users: the orchestrator's, appliances', those of invitations. Who has founded the fleet
with us (`founding`) leaves the operator's key and the system account's here too: a revocation is a new token of the
account, which the operator signs and the system account hands to the servers. Where the operator is somebody else, that
is done with the operator's own tools.

Encryption is Fernet (AES-128-CBC and HMAC-SHA256) under a key that is no part of the file.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken

from appliance.bus.claims import BadKey, KeyKind, KeyPair, public_of
from orchestrator.fleet.errors import FleetError

FILE = "fleet.json"
_VERSION = 1


@dataclass(frozen=True, slots=True)
class FleetKeys:
    account: str
    """Public key of the account on whose subjects everything runs."""
    signing: KeyPair
    """The account's key, or one of its signing keys."""
    url: str
    """Where appliances find the bus."""
    voice: str = field(repr=False)
    """What vault logins are signed with, base64 (`sealing`)."""
    ca: str = ""
    """The authorities to trust there, as PEM; empty for the system's."""
    operator: KeyPair | None = None
    system: KeyPair | None = None
    """The system account's."""
    revoked: dict[str, float] = field(default_factory=dict)
    """Users by public key, and since when."""

    @property
    def revokes(self) -> bool:
        """Can we make the account's token anew?"""
        return self.operator is not None and self.system is not None


def new_fleet_key() -> str:
    """A key to encrypt with: 44 characters."""
    return Fernet.generate_key().decode()


def write_keys(state: Path, keys: FleetKeys, key: str) -> None:
    """Durable when it returns. Raises FleetError."""
    secrets = {"signing": keys.signing.seed, "voice": keys.voice}
    if keys.operator is not None and keys.system is not None:
        secrets |= {"operator": keys.operator.seed, "system": keys.system.seed}
    told = {
        "version": _VERSION,
        "account": keys.account,
        "url": keys.url,
        "ca": keys.ca,
        "revoked": keys.revoked,
        "sealed": _cipher(key).encrypt(json.dumps(secrets).encode()).decode(),
    }
    target, new = state / FILE, state / f"{FILE}.new"
    try:
        new.unlink(missing_ok=True)
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            json.dump(told, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        new.replace(target)
    except OSError as error:
        raise FleetError(f"cannot write {target}: {error.strerror}") from None


def encrypted(text: str, key: str) -> str:
    """For the store. Raises FleetError."""
    return _cipher(key).encrypt(text.encode()).decode()


def decrypted(text: str, key: str) -> str:
    """Raises FleetError."""
    try:
        return _cipher(key).decrypt(text.encode()).decode()
    except InvalidToken:
        raise FleetError("what the store has was encrypted under another key than the fleet key given") from None


def has_fleet(state: Path) -> bool:
    return (state / FILE).exists()


def read_keys(state: Path, key: str) -> FleetKeys:
    """Raises FleetError."""
    path = state / FILE
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FleetError(f"there is no fleet in {state}; `keymuster fleet init` makes one") from None
    except (OSError, ValueError):
        raise FleetError(f"{path} cannot be read; put it back from a backup") from None
    try:
        secrets = json.loads(_cipher(key).decrypt(told["sealed"].encode()))
        return FleetKeys(
            account=told["account"],
            signing=_pair(secrets["signing"], KeyKind.ACCOUNT),
            url=told["url"],
            voice=secrets["voice"],
            ca=told["ca"],
            operator=_pair(secrets["operator"], KeyKind.OPERATOR) if "operator" in secrets else None,
            system=_pair(secrets["system"], KeyKind.ACCOUNT) if "system" in secrets else None,
            revoked=dict(told["revoked"]),
        )
    except InvalidToken:
        raise FleetError(f"{path} was encrypted under another key than the fleet key given") from None
    except (KeyError, TypeError, AttributeError, ValueError, BadKey):
        raise FleetError(f"{path} is damaged; put it back from a backup") from None


def _pair(seed: str, kind: KeyKind) -> KeyPair:
    return KeyPair(seed=seed, public=public_of(seed, kind))


def _cipher(key: str) -> Fernet:
    try:
        return Fernet(key.strip().encode())
    except ValueError:
        raise FleetError("the fleet key is none: it has 44 characters, as `keymuster fleet init` has made it") from None
