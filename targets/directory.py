r"""Accounts and what they count: the passwords that hosts accept, and the lock-out of directories shared by many hosts.

A directory counts a failed logon whatever host it was tried on, and locks the account at its threshold: from then on
the right password is refused too, until the lock-out has run out. One of the account's previous passwords is refused,
but not counted (as Active Directory does it). Accounts of a single host count, but never lock.
Names are folded: `CORP\u`, `u@corp` and `U` are one account of a directory.
"""

from __future__ import annotations

import asyncio
import hmac
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum, auto

from targets.estate import AccountKey, Host
from targets.material import Material
from targets.spec import DirectorySpec


class Logon(StrEnum):
    """How an account's logon by password ended."""

    OK = auto()
    WRONG = auto()
    LOCKED = auto()
    """Right or wrong: a locked account does not say."""


Verdict = Logon | asyncio.Future[Logon]
"""A logon's end, at once or, where another process keeps the account's counters, a moment later."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What somebody has proven to know of an account."""

    key: AccountKey
    right: bool
    former: bool
    """One of its previous passwords."""


@dataclass(slots=True)
class AccountRecord:
    """What an account has seen."""

    ok: int = 0
    failed: int = 0
    recent: deque[float] = field(default_factory=deque)
    """Times of the failures within the directory's window."""
    locked_until: float = 0.0
    lockouts: int = 0
    """How often its directory has locked it."""
    former: deque[Material] = field(default_factory=deque)
    """Its previous passwords, newest last."""


class Accounts:
    """Every account of the estate. `clock` gives seconds that only grow."""

    def __init__(
        self,
        materials: Mapping[AccountKey, Material],
        directories: Mapping[str, DirectorySpec],
        clock: Callable[[], float],
        former: Mapping[AccountKey, Material] | None = None,
    ) -> None:
        self._materials = dict(materials)
        self._directories = directories
        self._clock = clock
        self._records: dict[AccountKey, AccountRecord] = {}
        for key, material in (former or {}).items():
            self._remember(key, material)

    def change(self, key: AccountKey, material: Material) -> None:
        """From now on this is what opens the account; its counters stay as they are."""
        if key in self._materials:
            self._remember(key, self._materials[key])
        self._materials[key] = material

    def password(self, host: Host, user: str, password: str) -> Verdict:
        """A logon by password; it counts, known user or not."""
        return self.logon(host, user, lambda known: hmac.compare_digest(known.encode(), password.encode()))

    def logon(self, host: Host, user: str, proven: Callable[[str], bool]) -> Verdict:
        """A logon whose proof the caller can compare with a password; it counts, known user or not."""
        return self.settle(self.claim(host, user, proven))

    def claim(self, host: Host, user: str, proven: Callable[[str], bool]) -> Claim:
        """What a proof is worth. `proven` is called here, and nothing is counted yet."""
        key = self._key(host, user)
        known = self._materials.get(key)
        right = known is not None and proven(known.password)
        record = self._records.get(key)
        former = record is not None and not right and any(proven(old.password) for old in record.former)
        return Claim(key, right=right, former=former)

    def settle(self, claim: Claim) -> Verdict:
        """Count a logon, and judge it."""
        locked = self.locked(claim.key)
        self._count(claim.key, right=claim.right, former=claim.former)
        if locked:
            return Logon.LOCKED
        return Logon.OK if claim.right else Logon.WRONG

    def root(self, host: Host, password: str) -> bool:
        """Su's question for root's password: root is the host's own, whoever logs in to it. It counts."""
        key = host.root_key
        right = self.opens(key, password)
        self._count(key, right=right, former=False)
        return right

    def public_key(self, host: Host, user: str, blob: bytes) -> bool:
        """Is this key authorized? Keys are the host's business: a directory neither counts nor locks them."""
        known = self._materials.get(self._key(host, user))
        return known is not None and hmac.compare_digest(known.public_blob, blob)

    def opens(self, key: AccountKey, password: str) -> bool:
        """Would this password be accepted? Nothing is counted."""
        known = self._materials.get(key)
        return known is not None and hmac.compare_digest(known.password.encode(), password.encode())

    def of_directory(self, key: AccountKey) -> bool:
        return key.authority in self._directories

    def knows(self, host: Host, user: str) -> bool:
        """Is there such an account?"""
        return self._key(host, user) in self._materials

    def locked(self, key: AccountKey) -> bool:
        return key in self._records and self._clock() < self._records[key].locked_until

    def records(self) -> Mapping[AccountKey, AccountRecord]:
        """Accounts that have seen a logon by password, or have had more than one."""
        return self._records

    def _key(self, host: Host, user: str) -> AccountKey:
        authority = host.account_key.authority
        if authority not in self._directories:
            return AccountKey(authority, user)
        return AccountKey(authority, user.rsplit("\\", 1)[-1].split("@", 1)[0].casefold())

    def _remember(self, key: AccountKey, material: Material) -> None:
        policy = self._directories.get(key.authority)
        if policy is not None and policy.history:
            record = self._records.setdefault(key, AccountRecord())
            record.former = deque((*record.former, material), maxlen=policy.history)

    def _count(self, key: AccountKey, *, right: bool, former: bool) -> None:
        record = self._records.setdefault(key, AccountRecord())
        policy = self._directories.get(key.authority)
        now = self._clock()
        locked = now < record.locked_until
        if right and not locked:
            record.ok += 1
            record.recent.clear()
            return
        record.failed += 1
        if policy and policy.threshold and not locked and not former:
            record.recent.append(now)
            while record.recent[0] <= now - policy.window:
                record.recent.popleft()
            if len(record.recent) >= policy.threshold:
                record.locked_until = now + policy.lockout
                record.lockouts += 1
                record.recent.clear()
