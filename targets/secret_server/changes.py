"""Password changes: ordered now, done a little later, first on one side and then on the other.

A change takes `rotation_time` until its first side has the new password and `rotation_lag` until the other one has it;
which side is first, the estate file says. Until both have it the secret is `changing`. Secrets with a schedule order
their own. Nothing happens between two calls of `tick`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Protocol

from targets.metrics import VaultMetrics
from targets.secret_server.audit import Action, AuditLog
from targets.secret_server.clock import VaultClock
from targets.secret_server.secrets import Heartbeat, StoredSecret
from targets.vault_spec import RotationOrder, VaultSpec, Where


@dataclass(slots=True)
class _Change:
    secret: StoredSecret
    password: str
    due: float
    left: list[Where]
    begun: bool = False
    """A side has it."""


class Rotate(Protocol):
    """Gives one side a new password, the given one or a fresh marker; `follows`: the one that the other side has."""

    def __call__(self, secret: StoredSecret, where: Where, password: str, *, follows: bool) -> None: ...


class PasswordChanges:
    def __init__(
        self,
        spec: VaultSpec,
        clock: VaultClock,
        audit: AuditLog,
        counters: VaultMetrics,
        rotate: Rotate,
    ) -> None:
        self._spec = spec
        self._clock = clock
        self._audit = audit
        self._counters = counters
        self._rotate = rotate
        self._pending: dict[int, _Change] = {}
        """By the secret's id."""
        self._due: list[tuple[float, int]] = []
        """A heap of moments and ids of secrets: whose change may go on then, or (-id) whose schedule says so."""
        self._scheduled: dict[int, StoredSecret] = {}

    def schedule(self, secrets: Iterable[StoredSecret]) -> None:
        """Let those that have a schedule change by it from now on; who already does, keeps its next date."""
        now = self._clock.seconds()
        for secret in secrets:
            if secret.security.rotate_every and secret.id not in self._scheduled:
                self._scheduled[secret.id] = secret
                heappush(self._due, (now + secret.security.rotate_every, -secret.id))

    def order(self, secret: StoredSecret, password: str = "") -> None:
        """Queue a change; one that is under way already is as good."""
        if secret.changing:
            return
        secret.changing = True
        sides = [Where.HOSTS, Where.VAULT]
        if self._spec.rotation_order is RotationOrder.VAULT_FIRST:
            sides.reverse()
        if not self._spec.rotation_lag:
            sides = [Where.BOTH]
        due = self._clock.seconds() + self._spec.rotation_time
        self._pending[secret.id] = _Change(secret, password, due, sides)
        heappush(self._due, (due, secret.id))

    def stop(self, secret: StoredSecret) -> bool:
        """Was there a change that no side had yet? It is given up."""
        change = self._pending.get(secret.id)
        if change is None or change.begun:
            return False
        del self._pending[secret.id]
        secret.changing = False
        return True

    def tick(self) -> None:
        """Do what is due."""
        now = self._clock.seconds()
        while self._due and self._due[0][0] <= now:
            _, number = heappop(self._due)
            if number < 0:
                self._by_schedule(self._scheduled[-number], now)
            elif change := self._pending.get(number):
                self._go_on(change, now)

    def _by_schedule(self, secret: StoredSecret, now: float) -> None:
        if not secret.security.rotate_every:  # no more
            del self._scheduled[secret.id]
            return
        heappush(self._due, (now + secret.security.rotate_every, -secret.id))
        self.order(secret)

    def _go_on(self, change: _Change, now: float) -> None:
        """Give the sides whose time has come the new password."""
        change.secret.changed_at = self._clock.now()  # the API calls it the last *attempt*
        while change.left and change.due <= now:
            where = change.left.pop(0)
            follows = where is not Where.BOTH and change.begun
            self._rotate(change.secret, where, change.password, follows=follows)
            change.begun = True
            change.due += self._spec.rotation_lag
        if change.left:
            heappush(self._due, (change.due, change.secret.id))
        else:
            del self._pending[change.secret.id]
            self._done(change.secret)

    def _done(self, secret: StoredSecret) -> None:
        secret.changing = secret.expired = False
        secret.heartbeat = Heartbeat.PENDING
        self._counters.password_changes += 1
        self._audit.record_system(secret, Action.PASSWORD_CHANGED)
