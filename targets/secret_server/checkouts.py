"""Check-out: one user at a time, for an interval; then the vault checks in by itself.

Rules:
1. A check-out ends by its holder's check-in, by somebody else's forced one (Force Check In), or when its interval has
   run out. A password change follows each of these where the secret asks for one; until it is done nobody can check
   the secret out.
2. Who holds the secret and checks it out again, holds it on, to the end of the first interval.
"""

from __future__ import annotations

from dataclasses import replace

from targets.metrics import VaultMetrics
from targets.secret_server.audit import Action, AuditLog
from targets.secret_server.changes import PasswordChanges
from targets.secret_server.clock import VaultClock
from targets.secret_server.gate import Ask, binds_checkout, held_by, holder
from targets.secret_server.mode import Mode
from targets.secret_server.refusal import Refused, Why
from targets.secret_server.rights import Access, Permission
from targets.secret_server.secrets import Checkout, StoredSecret
from targets.secret_server.users import Caller
from targets.vault_spec import SecuritySpec


class Checkouts:
    def __init__(
        self, clock: VaultClock, audit: AuditLog, counters: VaultMetrics, changes: PasswordChanges, mode: Mode
    ) -> None:
        self._clock = clock
        self._audit = audit
        self._counters = counters
        self._changes = changes
        self._mode = mode
        self._held: dict[int, StoredSecret] = {}

    def needed(self, secret: StoredSecret, caller: Caller) -> bool:
        """Must the caller still check it out to see it?"""
        return binds_checkout(secret, caller) and not held_by(secret, caller, self._clock.seconds())

    def take(self, secret: StoredSecret, caller: Caller, ask: Ask) -> Refused | None:
        """Check out for the caller, who may view it. None: done, or the caller has it already."""
        if not secret.security.checkout:
            return Refused(Why.NOT_POSSIBLE, "the secret is not one that is checked out")
        now = self._clock.seconds()
        if held_by(secret, caller, now):
            return None
        if self._mode.read_only:
            return Refused(Why.READ_ONLY)
        if (held := holder(secret, now)) is not None:
            if not (ask.force_check_in and caller.user.may(Permission.FORCE_CHECK_IN)):
                return Refused(Why.CHECKED_OUT, held.user)
            self._end(secret)
            self._counters.forced_checkins += 1
            self._audit.record(secret, caller, Action.FORCED_CHECK_IN, ask.comment, ask.ticket)
        if secret.changing:
            return Refused(Why.CHANGE_PENDING)
        secret.checkout = Checkout(caller.user.id, caller.user.name, now + secret.security.checkout_interval)
        self._held[secret.id] = secret
        self._counters.checkouts += 1
        self._audit.record(secret, caller, Action.CHECK_OUT, ask.comment, ask.ticket)
        return None

    def check_in(self, secret: StoredSecret, caller: Caller, ask: Ask) -> Refused | None:
        if self._mode.read_only:
            return Refused(Why.READ_ONLY)
        held = holder(secret, self._clock.seconds())
        if held is None:
            return Refused(Why.NOT_CHECKED_OUT)
        own = held.user_id == caller.user.id
        if not own and not (ask.force_check_in and caller.user.may(Permission.FORCE_CHECK_IN)):
            return Refused(Why.CHECKED_OUT, held.user)
        self._end(secret)
        self._counters.checkins += own
        self._counters.forced_checkins += not own
        action = Action.CHECK_IN if own else Action.FORCED_CHECK_IN
        self._audit.record(secret, caller, action, ask.comment, ask.ticket)
        return None

    def extend(self, secret: StoredSecret, caller: Caller, minutes: int, notes: str) -> float | Refused:
        """The new end of the caller's own check-out, in seconds of the vault's clock."""
        if self._mode.read_only:
            return Refused(Why.READ_ONLY)
        held = holder(secret, self._clock.seconds())
        if held is None or held.user_id != caller.user.id:
            return Refused(Why.NOT_CHECKED_OUT) if held is None else Refused(Why.CHECKED_OUT, held.user)
        if not 0 < minutes <= 24 * 60:
            return Refused(Why.INVALID, "minutesToAdd")
        secret.checkout = replace(held, until=held.until + minutes * 60.0)
        self._audit.record(secret, caller, Action.EXTENDED, notes)
        return secret.checkout.until

    def secure(self, secret: StoredSecret, caller: Caller, security: SecuritySpec) -> Refused | None:
        """Other settings on the Security tab; without check-out, a check-out that there is ends."""
        if caller.user.access(secret) < Access.OWNER:
            return Refused(Why.ACCESS_DENIED)
        if self._mode.read_only:
            return Refused(Why.READ_ONLY)
        if security.double_lock and security.checkout:
            return Refused(Why.NOT_POSSIBLE, "a double-locked secret cannot be checked out")
        secret.security = security
        if not security.checkout:
            secret.checkout = None
            self._held.pop(secret.id, None)
        self._audit.record(secret, caller, Action.UPDATE, "security settings")
        return None

    def held(self) -> int:
        """How many secrets are checked out now."""
        return len(self._held)

    def tick(self) -> None:
        """Check in whatever has run out."""
        now = self._clock.seconds()
        for secret in [s for s in self._held.values() if s.checkout is None or now >= s.checkout.until]:
            self._end(secret)
            self._counters.automatic_checkins += 1
            self._audit.record_system(secret, Action.CHECK_IN, "the interval has run out")

    def _end(self, secret: StoredSecret) -> None:
        secret.checkout = None
        self._held.pop(secret.id, None)
        if secret.security.change_on_checkin:
            self._changes.order(secret)
