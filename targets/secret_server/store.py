"""The vault's secrets while it runs: found by id, name and path, in a state that can be changed, with an audit each."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from targets.estate import Secret
from targets.faults import SecretState
from targets.material import Material

AUDITS_KEPT = 1000
"""Audit rows per secret; beyond it the oldest are dropped."""

DECOY_FOLDER = "\\Archive"


@dataclass(frozen=True, slots=True)
class AuditRow:
    id: int
    action: str
    user: str
    recorded: datetime
    notes: str = ""


@dataclass(slots=True)
class StoredSecret:
    id: int
    name: str
    template: str
    folder: str
    folder_id: int
    user: str
    machine: str
    material: Material
    holds_key: bool
    state: SecretState
    audits: deque[AuditRow] = field(default_factory=lambda: deque(maxlen=AUDITS_KEPT))

    @property
    def active(self) -> bool:
        return self.state is not SecretState.INACTIVE

    @property
    def path(self) -> str:
        return f"{self.folder}\\{self.name}"


class VaultStore:
    """A secret that is `missing` is kept, but answers to nothing; one that is `ambiguous` has a decoy of its name."""

    def __init__(self, seed: int, secrets: Iterable[Secret]) -> None:
        self._seed = seed
        self._by_id: dict[int, StoredSecret] = {}
        self._by_term: defaultdict[str, list[int]] = defaultdict(list)
        self._by_path: dict[str, int] = {}
        self._originals: dict[str, StoredSecret] = {}
        self._decoys: dict[str, StoredSecret] = {}
        self._folders: dict[str, int] = {}
        self._audit_rows = 0
        for secret in secrets:
            self._originals[secret.name] = self._add(secret, secret.folder, secret.material, secret.state)
            self.set_state(secret.name, secret.state)

    def get(self, secret_id: int) -> StoredSecret | None:
        found = self._by_id.get(secret_id)
        return found if found and found.state is not SecretState.MISSING else None

    def at_path(self, path: str) -> StoredSecret | None:
        secret_id = self._by_path.get(path.casefold())
        return None if secret_id is None else self.get(secret_id)

    def search(self, text: str, *, exact: bool) -> Sequence[StoredSecret]:
        """Secrets whose name or Machine field is (or contains) the text, in whatever case; by name, then id."""
        folded = text.casefold()
        if exact:
            ids: Iterable[int] = self._by_term.get(folded, ())
        else:
            ids = {i for term, found in self._by_term.items() if folded in term for i in found}
        hits = [found for i in ids if (found := self.get(i))]
        return sorted(hits, key=lambda s: (s.name.casefold(), s.id))

    def set_state(self, name: str, state: SecretState) -> None:
        """Raises KeyError for a name the estate does not have."""
        secret = self._originals[name]
        secret.state = state
        if state is SecretState.AMBIGUOUS and name not in self._decoys:
            material = Material(self._seed, f"decoy|{name}")
            self._decoys[name] = self._add(secret, DECOY_FOLDER, material, SecretState.READABLE)
        if decoy := self._decoys.get(name):
            decoy.state = SecretState.READABLE if state is SecretState.AMBIGUOUS else SecretState.MISSING

    def change(self, name: str, material: Material) -> None:
        """Raises KeyError for a name the estate does not have."""
        self._originals[name].material = material

    def audit(self, secret: StoredSecret, user: str, action: str, notes: str = "") -> None:
        self._audit_rows += 1
        secret.audits.append(AuditRow(self._audit_rows, action, user, datetime.now(UTC), notes))

    def _add(self, like: Secret | StoredSecret, folder: str, material: Material, state: SecretState) -> StoredSecret:
        added = StoredSecret(
            id=len(self._by_id) + 1,
            name=like.name,
            template=like.template,
            folder=folder,
            folder_id=self._folders.setdefault(folder.casefold(), len(self._folders) + 2),
            user=like.user,
            machine=like.machine,
            material=material,
            holds_key=like.holds_key,
            state=state,
        )
        self._by_id[added.id] = added
        self._by_path[added.path.casefold()] = added.id
        for term in {added.name.casefold(), added.machine.casefold()} - {""}:
            self._by_term[term].append(added.id)
        return added
