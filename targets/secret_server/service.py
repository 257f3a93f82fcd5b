"""The vault's service: who may do what, what is refused and how it is named, what is audited and what is counted.

It knows no HTTP and no clock but the one it is given, and waits for nothing. REST and SOAP stand upon it side by side:
they find out who calls (`logins`), turn a request into a call, and a value or a `Refused` into an answer.

    logins     grants, refreshes, SDK clients; the caller behind a token
    reading    a secret's values and standing        searching.search   which secrets there are
    checkouts  check-out, check-in, extension         requests          access requests and their answers
    managing   password changes, heartbeats, values   audit, store, users, clock: what these work on

`tick` does what time alone brings: automatic check-ins, password changes, heartbeats. Call it before a request is
looked at, and now and then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from targets.estate import Estate
from targets.metrics import VaultMetrics
from targets.secret_server import gate, searching
from targets.secret_server.access_requests import AccessRequests
from targets.secret_server.audit import Action, AuditLog
from targets.secret_server.changes import PasswordChanges, Rotate
from targets.secret_server.checkouts import Checkouts
from targets.secret_server.clock import VaultClock
from targets.secret_server.gate import Ask, SecretStanding
from targets.secret_server.logins import VaultLogins
from targets.secret_server.managing import Managing
from targets.secret_server.mode import Mode
from targets.secret_server.reading import Place, Reading
from targets.secret_server.refusal import Refused, Why
from targets.secret_server.rights import Access
from targets.secret_server.searching import Wanted
from targets.secret_server.secrets import Heartbeat, StoredSecret
from targets.secret_server.store import VaultStore
from targets.secret_server.users import Caller, VaultUsers

VERSION = "11.2.000002"


class Vault:
    """`rotate` gives a secret's side a new password; `probe` tries the secret on its hosts."""

    def __init__(
        self,
        estate: Estate,
        clock: VaultClock,
        counters: VaultMetrics,
        rotate: Rotate,
        probe: Callable[[StoredSecret], Heartbeat],
    ) -> None:
        self.spec = estate.vault
        self.clock = clock
        self.mode = Mode()
        self.counters = counters
        self.store = VaultStore(estate.seed, estate.secrets.values())
        self.users = VaultUsers(self.spec.all_users, estate.password_of)
        self.audit = AuditLog(clock, estate.seed)
        self.logins = VaultLogins(self.spec, self.users, self.audit, clock)
        self.changes = PasswordChanges(self.spec, clock, self.audit, counters, rotate)
        self.checkouts = Checkouts(clock, self.audit, counters, self.changes, self.mode)
        self.requests = AccessRequests(clock, self.audit, self.mode)
        self.reading = Reading(self.spec, self.store, clock, self.audit, counters, self.checkouts, self.requests)
        self.managing = Managing(self.store, clock, self.audit, counters, self.reading, self.changes, self.mode, probe)
        self.changes.schedule(self.store.ordered())

    def tick(self) -> None:
        self.changes.tick()
        self.checkouts.tick()
        self.changes.tick()
        self.managing.tick()

    def search(self, caller: Caller, wanted: Wanted) -> Iterator[StoredSecret]:
        self.counters.searches += 1
        return searching.search(self.store, caller, wanted, self.clock.seconds())

    def standing(self, caller: Caller, secret: StoredSecret) -> SecretStanding:
        """What the caller must do before a view."""
        approved = self.requests.approved(secret, caller) is not None
        return gate.standing(secret, caller, self.clock.seconds(), approved=approved)

    def check_out(self, caller: Caller, place: Place, ask: Ask) -> StoredSecret | Refused:
        """Check out without a view."""
        found = self.reading.find(place)
        if found is None or caller.user.access(found) < Access.VIEW:
            return Refused(Why.ACCESS_DENIED)
        approved = self.requests.approved(found, caller) is not None
        refused = gate.refused_view(found, caller, ask, self.clock.seconds(), approved=approved)
        return refused or self.checkouts.take(found, caller, ask) or found

    def check_in(self, caller: Caller, place: Place, ask: Ask) -> StoredSecret | Refused:
        found = self.managing.owned(caller, place, Access.VIEW)
        if isinstance(found, Refused):
            return found
        return self.checkouts.check_in(found, caller, ask) or found

    def view_comment(self, caller: Caller, place: Place, ask: Ask) -> StoredSecret | Refused:
        """Say why, ahead of the views that it serves."""
        found = self.managing.owned(caller, place, Access.VIEW)
        if isinstance(found, Refused):
            return found
        if refused := gate.refused_words(found, ask):
            return refused
        self.reading.comment(found, caller, ask.comment)
        self.audit.record(found, caller, Action.COMMENT, ask.comment, ask.ticket)
        return found
