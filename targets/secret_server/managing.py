"""What changes a secret: password changes, heartbeats, values, activity. Everything here wants at least Edit."""

from __future__ import annotations

from collections.abc import Callable

from targets.metrics import VaultMetrics
from targets.secret_server.audit import Action, AuditLog
from targets.secret_server.changes import PasswordChanges
from targets.secret_server.clock import VaultClock
from targets.secret_server.gate import Ask
from targets.secret_server.mode import Mode
from targets.secret_server.reading import Place, Reading
from targets.secret_server.refusal import Refused, Why
from targets.secret_server.rights import Access
from targets.secret_server.secrets import Heartbeat, StoredSecret
from targets.secret_server.store import VaultStore
from targets.secret_server.users import Caller


class Managing:
    """`probe` tries a secret's password on its hosts, as a heartbeat does."""

    def __init__(
        self,
        store: VaultStore,
        clock: VaultClock,
        audit: AuditLog,
        counters: VaultMetrics,
        reading: Reading,
        changes: PasswordChanges,
        mode: Mode,
        probe: Callable[[StoredSecret], Heartbeat],
    ) -> None:
        self._store = store
        self._clock = clock
        self._audit = audit
        self._counters = counters
        self._reading = reading
        self._changes = changes
        self._mode = mode
        self._probe = probe
        self._beating: list[StoredSecret] = []

    def change_password(self, caller: Caller, place: Place, ask: Ask, password: str = "") -> StoredSecret | Refused:
        """Queue a change, to the given password or a fresh one; it is done later."""
        secret = self._editable(caller, place, ask)
        if isinstance(secret, Refused):
            return secret
        self._changes.order(secret, password)
        self._audit.record(secret, caller, Action.PASSWORD_ORDERED, ask.comment, ask.ticket)
        return secret

    def stop_change(self, caller: Caller, place: Place) -> bool | Refused:
        """Was there a change that could still be stopped?"""
        secret = self.owned(caller, place, Access.EDIT)
        if isinstance(secret, Refused):
            return secret
        stopped = self._changes.stop(secret)
        if stopped:
            self._audit.record(secret, caller, Action.PASSWORD_STOPPED)
        return stopped

    def heartbeat(self, caller: Caller, place: Place) -> StoredSecret | Refused:
        """Queue a check of the password; its result comes with the next tick."""
        secret = self.owned(caller, place, Access.VIEW)
        if isinstance(secret, Refused):
            return secret
        if secret.heartbeat is not Heartbeat.PROCESSING:
            secret.heartbeat = Heartbeat.PROCESSING
            self._beating.append(secret)
        self._audit.record(secret, caller, Action.HEARTBEAT)
        return secret

    def expire(self, caller: Caller, place: Place) -> StoredSecret | Refused:
        secret = self.owned(caller, place, Access.EDIT)
        if isinstance(secret, Refused):
            return secret
        secret.expired = True
        self._audit.record(secret, caller, Action.EXPIRE)
        return secret

    def write(self, caller: Caller, place: Place, values: dict[str, str], ask: Ask) -> StoredSecret | Refused:
        """Values by slug, in the vault alone: no host hears of a password that is written so."""
        secret = self._editable(caller, place, ask)
        if isinstance(secret, Refused):
            return secret
        fields = {slug: secret.template.field(slug) for slug in values}
        if any(field is None or field.is_file for field in fields.values()):
            return Refused(Why.NO_FIELD)
        for slug, field in fields.items():
            if field is not None and secret.text(field) != values[slug]:
                self._store.edit(secret, field.slug, values[slug])
        self._audit.record(secret, caller, Action.UPDATE, ask.comment, ask.ticket)
        return secret

    def attach(
        self, caller: Caller, place: Place, slug: str, file: tuple[str, bytes], ask: Ask
    ) -> StoredSecret | Refused:
        """A file (name, content) in place of a field's attachment."""
        secret = self._editable(caller, place, ask)
        if isinstance(secret, Refused):
            return secret
        field = secret.template.field(slug)
        if field is None or not field.is_file:
            return Refused(Why.NO_FIELD)
        secret.attached[field.slug] = file
        self._audit.record(secret, caller, Action.UPDATE, ask.comment, ask.ticket)
        return secret

    def set_active(self, caller: Caller, place: Place, *, active: bool) -> StoredSecret | Refused:
        secret = self.owned(caller, place, Access.OWNER)
        if isinstance(secret, Refused):
            return secret
        secret.active = active
        self._audit.record(secret, caller, Action.ACTIVATE if active else Action.DEACTIVATE)
        return secret

    def owned(self, caller: Caller, place: Place, access: Access) -> StoredSecret | Refused:
        """A secret that the caller may write to with this access, whatever its security asks for."""
        found = self._reading.find(place)
        if found is None or caller.user.access(found) < access:
            return Refused(Why.ACCESS_DENIED)
        return Refused(Why.READ_ONLY) if self._mode.read_only else found

    def tick(self) -> None:
        """Do the heartbeats that are due."""
        for secret in self._beating:
            secret.heartbeat = self._probe(secret)
            secret.heartbeat_at = self._clock.now()
            self._counters.heartbeats += 1
        self._beating.clear()

    def _editable(self, caller: Caller, place: Place, ask: Ask) -> StoredSecret | Refused:
        secret = self.owned(caller, place, Access.EDIT)
        return secret if isinstance(secret, Refused) else self._reading.admitted(caller, place, ask)
