"""Password changes: ordered now, done a little later, first on one side and then on the other.

A change takes `rotation_time` until its first side has the new password and `rotation_lag` until the other one has it;
which side is first, the estate file says. Until both have it the secret is `changing`. Secrets with a schedule order
their own. Nothing happens between two calls of `tick`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from targets.metrics import VaultMetrics
from targets.secret_server.audit import Action, AuditLog
from targets.secret_server.clock import VaultClock
from targets.secret_server.secrets import Heartbeat, StoredSecret
from targets.vault_spec import RotationOrder, VaultSpec


class Where(StrEnum):
    """Who gets a new password."""

    VAULT = "vault"
    HOSTS = "hosts"
    BOTH = "both"


@dataclass(slots=True)
class _Change:
    secret: StoredSecret
    password: str
    due: float
    left: list[Where]


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
        self._pending: list[_Change] = []
        self._scheduled: dict[int, tuple[float, StoredSecret]] = {}

    def schedule(self, secrets: Iterable[StoredSecret]) -> None:
        """Let those that have a schedule change by it from now on."""
        now = self._clock.seconds()
        for secret in secrets:
            if secret.security.rotate_every:
                self._scheduled[secret.id] = (now + secret.security.rotate_every, secret)

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
        self._pending.append(_Change(secret, password, due, sides))

    def stop(self, secret: StoredSecret) -> bool:
        """Was there a change that no side had yet? It is given up."""
        for change in self._pending:
            if change.secret is secret and (len(change.left) == 2 or change.left == [Where.BOTH]):
                self._pending.remove(change)
                secret.changing = False
                return True
        return False

    def tick(self) -> None:
        """Do what is due."""
        if not self._pending and not self._scheduled:
            return
        now = self._clock.seconds()
        for secret_id, (due, secret) in self._scheduled.items():
            if due <= now:
                self._scheduled[secret_id] = (now + secret.security.rotate_every, secret)
                self.order(secret)
        for change in list(self._pending):
            while change.left and change.due <= now:
                where = change.left.pop(0)
                follows = where is not Where.BOTH and not change.left
                self._rotate(change.secret, where, change.password, follows=follows)
                change.due += self._spec.rotation_lag
            if not change.left:
                self._pending.remove(change)
                self._done(change.secret)

    def _done(self, secret: StoredSecret) -> None:
        secret.changing = secret.expired = False
        secret.changed_at = self._clock.now()
        secret.heartbeat = Heartbeat.PENDING
        self._counters.password_changes += 1
        self._audit.record_system(secret, Action.PASSWORD_CHANGED)
