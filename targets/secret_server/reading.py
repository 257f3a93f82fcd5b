"""Reading secrets: whole, by field, or only how they stand. A view is counted and audited exactly when values leave."""

from __future__ import annotations

from dataclasses import dataclass

from targets.faults import SecretState
from targets.metrics import VaultMetrics
from targets.secret_server import gate
from targets.secret_server.access_requests import AccessRequests
from targets.secret_server.audit import Action, AuditLog
from targets.secret_server.checkouts import Checkouts
from targets.secret_server.clock import VaultClock
from targets.secret_server.gate import Ask
from targets.secret_server.refusal import Refused, Why
from targets.secret_server.rights import Access, Permission
from targets.secret_server.secrets import AuditRow, StoredSecret
from targets.secret_server.store import VaultStore
from targets.secret_server.templates import Field
from targets.secret_server.users import Caller
from targets.vault_spec import VaultSpec

SLOW_S = 60.0
"""Seconds that a slow secret takes."""

FILE_SHOWN_AS = "*** Not Valid For Display ***"
"""What stands in place of a value that is not to be shown: an attachment's, and a hidden password's."""

Place = int | str
"""A secret's id, or its path."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A secret that may be shown to its reader."""

    secret: StoredSecret
    hidden: str | None = None
    """What stands in place of its passwords; None: they are shown."""

    def value(self, field: Field) -> str:
        """A field as it is shown among the others."""
        if field.is_file:
            return FILE_SHOWN_AS if self.secret.has_file(field) else ""
        return self.hidden if field.is_password and self.hidden is not None else self.secret.text(field)


class Reading:
    def __init__(
        self,
        spec: VaultSpec,
        store: VaultStore,
        clock: VaultClock,
        audit: AuditLog,
        counters: VaultMetrics,
        checkouts: Checkouts,
        requests: AccessRequests,
    ) -> None:
        self._spec = spec
        self._store = store
        self._clock = clock
        self._audit = audit
        self._counters = counters
        self._checkouts = checkouts
        self._requests = requests

    def find(self, place: Place) -> StoredSecret | None:
        return self._store.get(place) if isinstance(place, int) else self._store.at_path(place)

    def delay(self, place: Place) -> float:
        """Seconds after which this secret's values are answered: a fault of the estate."""
        found = self.find(place)
        return SLOW_S if found is not None and found.state is SecretState.SLOW else 0.0

    def listed(self, caller: Caller, place: Place) -> StoredSecret | Refused:
        """A secret that the caller can at least see in a list: what needs no view."""
        found = self.find(place)
        if found is None or caller.user.access(found) < Access.LIST:
            return Refused(Why.ACCESS_DENIED)
        return found

    def view(self, caller: Caller, place: Place, ask: Ask) -> Shown | Refused:
        """The whole secret."""
        secret = self.admitted(caller, place, ask)
        if isinstance(secret, Refused):
            return secret
        self._seen(secret, caller, Action.VIEW, ask)
        hidden = None if gate.may_see_passwords(secret, caller) else self._mask()
        return Shown(secret, hidden)

    def field(self, caller: Caller, place: Place, slug: str, ask: Ask) -> str | bytes | Refused:
        """One field: text, or an attachment's bytes."""
        secret = self.admitted(caller, place, ask)
        if isinstance(secret, Refused):
            return secret
        field = secret.template.field(slug)
        if field is None:
            return Refused(Why.NO_FIELD)
        if field.is_password and not gate.may_see_passwords(secret, caller):
            return Refused(Why.ROLE_MISSING, Permission.VIEW_LAUNCHER_PASSWORD)
        value = secret.file(field) if field.is_file else secret.text(field)
        if value is None:
            return Refused(Why.NO_FIELD)
        self._counters.field_reads += 1
        self._seen(secret, caller, Action.PASSWORD_SHOWN if field.is_password else Action.VIEW, ask)
        return value

    def admitted(self, caller: Caller, place: Place, ask: Ask) -> StoredSecret | Refused:
        """The secret, when its values may be shown now; checked out for the caller where that is asked for."""
        found = self.find(place)
        if found is None:
            return Refused(Why.ACCESS_DENIED)
        if found.state is SecretState.UNAVAILABLE:
            return Refused(Why.UNAVAILABLE)
        now = self._clock.seconds()
        approved = self._requests.approved(found, caller) is not None
        if refused := gate.refused_view(found, caller, ask, now, approved=approved):
            return refused
        if self._checkouts.needed(found, caller):
            held = gate.holder(found, now)
            if held is None and ask.no_auto_checkout:
                return Refused(Why.CHANGE_PENDING if found.changing else Why.CHECKOUT_REQUIRED)
            if refused := self._checkouts.take(found, caller, ask):
                return refused
        self.comment(found, caller, ask.comment)
        return found

    def comment(self, secret: StoredSecret, caller: Caller, comment: str) -> None:
        """From now on the comment serves its user for a while."""
        if secret.needs_comment and comment:
            secret.comments[caller.user.id] = self._clock.seconds() + self._spec.comment_interval

    def audits(self, caller: Caller, place: Place) -> list[AuditRow] | Refused:
        """Newest first."""
        found = self.find(place)
        if found is None or caller.user.access(found) < Access.VIEW:
            return Refused(Why.ACCESS_DENIED)
        if not caller.user.may(Permission.VIEW_AUDIT):
            return Refused(Why.ROLE_MISSING, Permission.VIEW_AUDIT)
        return found.audits[::-1]

    def _seen(self, secret: StoredSecret, caller: Caller, action: Action, ask: Ask) -> None:
        self._counters.views += 1
        self._counters.views_by_secret[secret.name] += 1
        self._audit.record(secret, caller, action, ask.comment, ask.ticket)
        if ask.auto_check_in and gate.held_by(secret, caller, self._clock.seconds()):
            self._checkouts.check_in(secret, caller, ask)

    def _mask(self) -> str:
        return FILE_SHOWN_AS if self._spec.hidden_password == "masked" else ""  # noqa: S105 - no password
