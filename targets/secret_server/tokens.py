"""Logins at the vault: the password grant, refresh tokens, expiry, and the lock after too many failures.

A token is in one of three states for a request: alive, expired (answered 403 with a fixed text) or foreign (401).
Tokens are markers too, so that a scan of memory finds them; unlike everything else in an estate they are random, or a
restarted vault would take the tokens of its predecessor.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from targets.spec import VaultSpec

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
class _Refresh:
    valid_until: float
    left: int


class VaultLogins:
    """`clock` gives seconds that only grow."""

    def __init__(self, spec: VaultSpec, password: str, clock: Callable[[], float]) -> None:
        self._spec = spec
        self._password = password
        self._clock = clock
        self._tokens: dict[str, float] = {}
        self._refreshes: dict[str, _Refresh] = {}
        self._failures = 0

    @property
    def user(self) -> str:
        return self._spec.user

    @property
    def locked(self) -> bool:
        return self._failures >= self._spec.login_failures

    def login(self, user: str, password: str, domain: str) -> Grant | None:
        """None: refused, be it a wrong name, a wrong password or a locked user; the product does not say which."""
        if "\\" in user and not domain:
            domain, user = user.split("\\", 1)
        right = (
            hmac.compare_digest(password.encode(), self._password.encode())
            and user.casefold() == self._spec.user.casefold()
            and domain.casefold() == self._spec.domain.casefold()
        )
        if self.locked or not right:
            self._failures += 1
            return None
        self._failures = 0
        return self._issue(REFRESHES)

    def refresh(self, token: str) -> Grant | None:
        """A refresh token is good once. None: unknown, used, too old, or none are given out."""
        known = self._refreshes.pop(token, None)
        if known is None or known.valid_until <= self._clock():
            return None
        return self._issue(known.left - 1)

    def state(self, token: str) -> TokenState:
        expires = self._tokens.get(token)
        if expires is None:
            return TokenState.FOREIGN
        return TokenState.ALIVE if self._clock() < expires else TokenState.EXPIRED

    def expire_all(self) -> None:
        self._tokens = dict.fromkeys(self._tokens, self._clock())

    def _issue(self, refreshes: int) -> Grant:
        expires = self._clock() + self._spec.token_lifetime
        token = _token()
        self._tokens[token] = expires
        if len(self._tokens) > TOKENS_KEPT:
            self._tokens.pop(next(iter(self._tokens)))
        if not self._spec.refresh_tokens or refreshes == 0:
            return Grant(token, self._spec.token_lifetime)
        refresh = _token()
        self._refreshes[refresh] = _Refresh(expires + REFRESH_GRACE, refreshes)
        if len(self._refreshes) > TOKENS_KEPT:
            self._refreshes.pop(next(iter(self._refreshes)))
        return Grant(token, self._spec.token_lifetime, refresh)


def _token() -> str:
    return "KMS-" + secrets.token_hex(12)
