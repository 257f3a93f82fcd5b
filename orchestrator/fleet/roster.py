"""Who has enrolled, and by which invitation. The store keeps them (`FleetRows`)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Invitation:
    """So many machines may become appliances of this zone until then. Times are Unix seconds."""

    id: str
    zone: str
    enrolments: int
    expires_at: float
    used: int = 0

    @property
    def left(self) -> int:
        return self.enrolments - self.used


@dataclass(frozen=True, slots=True)
class Member:
    """An appliance that has enrolled."""

    name: str
    public: str
    """Its nkey."""
    sealing: str
    """The key that its vault logins are sealed to, base64."""
    zone: str
    release: str
    invitation: str
    enrolled_at: float
    revoked_at: float | None = None


@dataclass(frozen=True, slots=True)
class StoredLogin:
    """A vault's login as it lies in the store."""

    title: str
    encrypted: str = field(repr=False)
    changed_at: float


@dataclass(frozen=True, slots=True)
class Drain:
    """Takes no more jobs, from then on, until somebody says otherwise."""

    zone: str
    appliance: str
    """Empty: all of the zone."""
    since: float
    by: str
    why: str = ""

    @property
    def label(self) -> str:
        return f"appliance {self.appliance!r}" if self.appliance else f"zone {self.zone!r}"


class FleetRows(Protocol):
    """Each method raises StoreError; what it wrote is durable when it returns."""

    async def invite(self, invitation: Invitation) -> None: ...

    async def invitation(self, invitation: str) -> Invitation | None: ...

    async def enrol(self, member: Member, now: float) -> str:
        """Note it against its invitation, in one step; or why not: `expired`, `used up`, `unknown`, `taken` (its name
        is another one's), `known` (its key has enrolled otherwise, or was revoked). The same key by the same invitation
        under the same name enrols once, however often it asks.
        """
        ...

    async def members(self) -> list[Member]:
        """By name, revoked ones too."""
        ...

    async def revoke(self, name: str, at: float) -> list[Member]:
        """Those of this name that were not revoked yet, as they are now. Their invitations are void from then on."""
        ...

    async def keep_login(self, login: StoredLogin) -> None:
        """In place of the one that the vault's title had."""
        ...

    async def drop_login(self, title: str) -> bool:
        """False where there is none."""
        ...

    async def logins(self) -> list[StoredLogin]: ...

    async def drain(self, drain: Drain) -> None:
        """One that stands already stays as it is."""
        ...

    async def undrain(self, zone: str, appliance: str) -> bool:
        """False where it was not drained."""
        ...

    async def drains(self) -> list[Drain]:
        """By zone and appliance."""
        ...
