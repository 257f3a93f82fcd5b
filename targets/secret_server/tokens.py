"""Sessions at the vault: a token belongs to a user, lives for a while, and may be refreshed a few times.

A token is in one of three states for a request: alive, expired (REST answers 403 with a fixed text) or foreign (401).
Tokens are markers too, so that a scan of memory finds them; unlike everything else in an estate they are random, or a
restarted vault would take the tokens of its predecessor.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from enum import StrEnum

from targets.secret_server.clock import VaultClock

TOKENS_KEPT = 10_000
"""Beyond this the oldest are forgotten, and become foreign."""

REFRESHES = 3
"""How often a session may be refreshed (the product's default)."""

REFRESH_GRACE = 15 * 60.0
"""A refresh token outlives its access token by this many seconds."""


class TokenState(StrEnum):
    ALIVE = "alive"
    EXPIRED = "expired"
    FOREIGN = "foreign"


@dataclass(frozen=True, slots=True)
class Grant:
    access_token: str
    expires_in: int
    refresh_token: str = ""


@dataclass(frozen=True, slots=True)
class _Session:
    user_id: int
    until: float


@dataclass(frozen=True, slots=True)
class _Refresh:
    user_id: int
    until: float
    left: int


class Tokens:
    """`lifetime` in seconds. Users are known by id here."""

    def __init__(self, clock: VaultClock, lifetime: int, *, refreshes: bool) -> None:
        self._clock = clock
        self._lifetime = lifetime
        self._gives_refreshes = refreshes
        self._sessions: dict[str, _Session] = {}
        self._refreshes: dict[str, _Refresh] = {}

    def issue(self, user_id: int, *, refreshes: int = REFRESHES) -> Grant:
        until = self._clock.seconds() + self._lifetime
        token = new_secret()
        self._sessions[token] = _Session(user_id, until)
        if len(self._sessions) > TOKENS_KEPT:
            self._sessions.pop(next(iter(self._sessions)))
        if not self._gives_refreshes or refreshes == 0:
            return Grant(token, self._lifetime)
        refresh = new_secret()
        self._refreshes[refresh] = _Refresh(user_id, until + REFRESH_GRACE, refreshes)
        if len(self._refreshes) > TOKENS_KEPT:
            self._refreshes.pop(next(iter(self._refreshes)))
        return Grant(token, self._lifetime, refresh)

    def take_refresh(self, token: str) -> tuple[int, int] | None:
        """A refresh token is good once: whose it was, and how many refreshes are left after it."""
        known = self._refreshes.pop(token, None)
        if known is None or known.until <= self._clock.seconds():
            return None
        return known.user_id, known.left - 1

    def state(self, token: str) -> TokenState:
        session = self._sessions.get(token)
        if session is None:
            return TokenState.FOREIGN
        return TokenState.ALIVE if self._clock.seconds() < session.until else TokenState.EXPIRED

    def user_id(self, token: str) -> int:
        """Whose it is. Raises KeyError for a foreign one."""
        return self._sessions[token].user_id

    def expire(self, token: str) -> None:
        if session := self._sessions.get(token):
            self._sessions[token] = _Session(session.user_id, self._clock.seconds())

    def expire_all(self) -> None:
        for token in self._sessions:
            self.expire(token)

    def forget_all(self) -> None:
        """As a restart does it: what was issued is foreign, refresh tokens too."""
        self._sessions.clear()
        self._refreshes.clear()


def new_secret() -> str:
    return "KMS-" + secrets.token_hex(12)
