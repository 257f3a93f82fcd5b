r"""Who is let in: passwords, one-time codes, SDK clients, addresses; and the lock after too many failures.

Rules:
1. A refusal does not say why. It counts for the user whose name was right, and locks that user at the threshold; from
   then on the right password is refused too, and counts.
2. A user comes from an allowed address, at the grant and at every call. A refusal for the address does not count.
3. An SDK client is onboarded once by a rule, and acts as the rule's user; its secret is its own.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from enum import Enum, auto

from targets.secret_server.audit import AuditLog
from targets.secret_server.clock import VaultClock
from targets.secret_server.rights import address_range, allowed
from targets.secret_server.tokens import Grant, Tokens, TokenState, new_secret
from targets.secret_server.users import Caller, VaultUser, VaultUsers
from targets.vault_spec import VaultSpec


@dataclass(frozen=True, slots=True)
class ClientAccount:
    """An SDK client's account; `id` is what the vault numbers it by."""

    id: int
    client_id: str
    client_secret: str = field(repr=False)
    user_id: int


class Barred(Enum):
    """Why a live token's user is refused."""

    ADDRESS = auto()


class VaultLogins:
    def __init__(self, spec: VaultSpec, users: VaultUsers, audit: AuditLog, clock: VaultClock) -> None:
        self._spec = spec
        self._users = users
        self._audit = audit
        self.tokens = Tokens(clock, spec.token_lifetime, refreshes=spec.refresh_tokens)
        self._clients: dict[str, ClientAccount] = {}

    @property
    def locked(self) -> bool:
        """Is the scanner's user?"""
        return self.is_locked(self._users.first)

    def is_locked(self, user: VaultUser) -> bool:
        return user.failures >= self._spec.login_failures

    def unlock(self, user: VaultUser) -> None:
        user.failures = 0

    def login(self, name: str, password: str, domain: str, *, code: str = "", address: str = "") -> Grant | None:
        """A password grant. None: refused, for whatever reason; the product does not say which."""
        if "\\" in name and not domain:
            domain, name = name.split("\\", 1)
        user = self._users.named(name)
        if user is None or domain.casefold() != user.domain.casefold():
            self._audit.login_failed(name, 0, address)
            return None
        coded = not user.one_time_code or hmac.compare_digest(user.one_time_code.encode(), code.encode())
        right = user.proves(password) and coded
        if self.is_locked(user) or not right:
            user.failures += 1
            self._audit.login_failed(name, user.id, address)
            return None
        if not user.enabled or not self._may_come_from(user, address):
            self._audit.login_failed(name, user.id, address)
            return None
        user.failures = 0
        return self.tokens.issue(user.id)

    def refresh(self, token: str, *, address: str = "") -> Grant | None:
        """None: unknown, used, too old, none are given out, or the user may no longer come in."""
        taken = self.tokens.take_refresh(token)
        if taken is None:
            return None
        user_id, left = taken
        user = self._users.get(user_id)
        if user is None or not self._may_call(user, address):
            return None
        return self.tokens.issue(user_id, refreshes=left)

    def onboard(self, client_id: str, rule: str, key: str, *, address: str = "") -> ClientAccount | None:
        """An account for an SDK client. None: no such rule, a wrong key, a wrong address, or a client that has one."""
        found = next((r for r in self._spec.onboarding if r.rule.casefold() == rule.casefold()), None)
        if found is None or not client_id or client_id in self._clients:
            return None
        ranges = tuple(address_range(text) for text in found.addresses)
        if not hmac.compare_digest(found.key.encode(), key.encode()):
            return None
        if not allowed(address, ranges, local_always=self._spec.local_always_allowed):
            return None
        user = self._users.named(found.user)
        if user is None:
            return None
        made = ClientAccount(len(self._clients) + 1, f"sdk-client-{client_id}", new_secret(), user.id)
        self._clients[client_id] = made
        return made

    def client_login(self, client_id: str, client_secret: str, *, address: str = "") -> Grant | None:
        """A client credentials grant; there is no refresh token with it."""
        account = self._clients.get(client_id.removeprefix("sdk-client-"))
        if account is None or not hmac.compare_digest(account.client_secret.encode(), client_secret.encode()):
            self._audit.login_failed(client_id, 0, address)
            return None
        user = self._users.get(account.user_id)
        if user is None or not self._may_call(user, address):
            return None
        return self.tokens.issue(user.id, refreshes=0)

    def caller(self, token: str, *, address: str = "") -> Caller | TokenState | Barred:
        """Who holds this token; EXPIRED or FOREIGN where it is worth nothing, Barred for a wrong address."""
        state = self.tokens.state(token)
        if state is not TokenState.ALIVE:
            return state
        user = self._users.get(self.tokens.user_id(token))
        if user is None or not user.enabled:
            return TokenState.EXPIRED
        if not self._may_come_from(user, address):
            return Barred.ADDRESS
        return Caller(user, address)

    def _may_call(self, user: VaultUser, address: str) -> bool:
        return user.enabled and not self.is_locked(user) and self._may_come_from(user, address)

    def _may_come_from(self, user: VaultUser, address: str) -> bool:
        return allowed(address, user.addresses, local_always=self._spec.local_always_allowed)
