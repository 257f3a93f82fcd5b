"""The vault's audit: a row for every view, check-out, check-in, change and failed login. What is written, stays.

A reconciliation of a scan's claims with this audit must notice an audit that lies: rows can be dropped, doubled or
forged on order (`faults`, `forge`), each of them counted.
"""

from __future__ import annotations

import random
from datetime import datetime
from enum import StrEnum

from targets.secret_server.clock import VaultClock
from targets.secret_server.secrets import AuditRow, StoredSecret
from targets.secret_server.users import Caller
from targets.vault_weather import AuditFaultsSpec

KEPT = 1000
"""Audit rows per secret, and of logins; beyond it the oldest are dropped."""


class Action(StrEnum):
    """UNSURE: the product's spellings vary by release; no client should match them."""

    VIEW = "VIEW"
    PASSWORD_SHOWN = "WEBSERVICE PASSWORD DISPLAYED"  # noqa: S105 - an audit action
    CHECK_OUT = "CHECK OUT"
    CHECK_IN = "CHECK IN"
    FORCED_CHECK_IN = "FORCED CHECK IN"
    EXTENDED = "CHECK OUT EXTENDED"
    COMMENT = "COMMENT"
    UPDATE = "UPDATE"
    PASSWORD_ORDERED = "PASSWORD CHANGE QUEUED"  # noqa: S105 - as above
    PASSWORD_CHANGED = "PASSWORD CHANGE"  # noqa: S105 - as above
    PASSWORD_STOPPED = "PASSWORD CHANGE STOPPED"  # noqa: S105 - as above
    HEARTBEAT = "HEARTBEAT"
    EXPIRE = "EXPIRE"
    DEACTIVATE = "DELETE"
    ACTIVATE = "UNDELETE"
    REQUEST = "ACCESS REQUEST"
    APPROVED = "ACCESS APPROVED"
    DENIED = "ACCESS DENIED"
    LOGIN_FAILED = "LOGIN FAILED"


class AuditLog:
    def __init__(self, clock: VaultClock, seed: int) -> None:
        self._clock = clock
        self._rng = random.Random(f"{seed}|audit faults")
        self._rows = 0
        self.faults = AuditFaultsSpec()
        self.dropped = self.duplicated = self.forged = 0
        self.logins: list[AuditRow] = []
        """Failed logins, oldest first."""

    def record(self, secret: StoredSecret, caller: Caller, action: Action, notes: str = "", ticket: str = "") -> None:
        copies = 1
        if self.faults.drop and self._rng.random() < self.faults.drop:
            self.dropped += 1
            copies = 0
        elif self.faults.duplicate and self._rng.random() < self.faults.duplicate:
            self.duplicated += 1
            copies = 2
        for _ in range(copies):
            user = caller.user
            self._write(secret, action, user.name, user.id, self._clock.now(), notes, ticket, caller.address)

    def record_system(self, secret: StoredSecret, action: Action, notes: str = "") -> None:
        """What the vault does by itself: automatic check-ins, password changes."""
        self._write(secret, action, "System", 0, self._clock.now(), notes, "", "")

    def login_failed(self, user: str, user_id: int, address: str) -> None:
        self._rows += 1
        row = AuditRow(self._rows, 0, Action.LOGIN_FAILED, user[:64], user_id, self._clock.now(), address=address)
        self.logins.append(row)
        del self.logins[:-KEPT]

    def forge(self, secret: StoredSecret, *, user: str, action: str, notes: str, address: str, date: datetime) -> None:
        """A row for what never happened."""
        self.forged += 1
        self._write(secret, action, user, 0, date, notes, "", address)

    def _write(
        self,
        secret: StoredSecret,
        action: str,
        user: str,
        user_id: int,
        recorded: datetime,
        notes: str,
        ticket: str,
        address: str,
    ) -> None:
        self._rows += 1
        secret.audits.append(AuditRow(self._rows, secret.id, action, user, user_id, recorded, notes, ticket, address))
        if len(secret.audits) > KEPT:
            del secret.audits[0]
