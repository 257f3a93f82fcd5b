"""The vault's secrets while it runs: found by id, path, name and field, in a state that can be changed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from targets.estate import Secret
from targets.faults import SecretState
from targets.material import Material
from targets.secret_server.folders import Folders
from targets.secret_server.secrets import Heartbeat, StoredSecret
from targets.secret_server.text_index import TextIndex

DECOY_FOLDER = "\\Archive"
_SEPARATOR = "\0"
_TERMS = ("", "machine")
"""What whole texts are looked up in, rather than searched for."""


class VaultStore:
    """A secret that is `missing` is kept, but answers to nothing; one that is `ambiguous` has a decoy of its name."""

    def __init__(self, seed: int, secrets: Iterable[Secret]) -> None:
        self._seed = seed
        self.folders = Folders()
        self._by_id: dict[int, StoredSecret] = {}
        self._by_term: defaultdict[str, list[int]] = defaultdict(list)
        self._by_path: dict[str, int] = {}
        self._by_folder: defaultdict[int, list[int]] = defaultdict(list)
        self._originals: dict[str, StoredSecret] = {}
        self._decoys: dict[str, StoredSecret] = {}
        self._ordered: list[StoredSecret] = []
        self._indexes: dict[str, TextIndex] = {}
        for secret in secrets:
            self._originals[secret.name] = self._add(secret, secret.folder, secret.material, secret.state)
            if secret.state is SecretState.AMBIGUOUS:
                self.set_state(secret.name, secret.state)
        self._index("")  # or the first search would wait for it

    def get(self, secret_id: int) -> StoredSecret | None:
        found = self._by_id.get(secret_id)
        return found if found and found.state is not SecretState.MISSING else None

    def at_path(self, path: str) -> StoredSecret | None:
        secret_id = self._by_path.get(path.casefold())
        return None if secret_id is None else self.get(secret_id)

    def named(self, name: str) -> StoredSecret:
        """The estate's secret of this very name. Raises KeyError for a name the estate does not have."""
        return self._originals[name]

    def is_original(self, secret: StoredSecret) -> bool:
        """Is it the one that the estate's hosts know, and no decoy?"""
        return self._originals.get(secret.name) is secret

    def search(self, text: str, *, exact: bool) -> Sequence[StoredSecret]:
        """Secrets whose name or Machine field is (or contains) the text, in whatever case; by name, then id."""
        return list(self.matching(text, exact=exact))

    def matching(self, text: str, *, exact: bool, slug: str = "") -> Iterator[StoredSecret]:
        """As `search`, or by another field than name and Machine; by name, then id. An empty text matches all."""
        if not text:
            yield from (s for s in self.ordered() if s.state is not SecretState.MISSING)
            return
        if not exact or slug.casefold() not in _TERMS:
            found: Iterable[StoredSecret] = self._containing(text, slug)
        else:
            found = sorted((self._by_id[i] for i in self._by_term.get(text.casefold(), ())), key=_order)
        wanted = text.casefold()
        for secret in found:
            if secret.state is SecretState.MISSING:
                continue
            if slug and exact and _field_text(secret, slug).casefold() != wanted:
                continue
            yield secret

    def in_folders(self, folders: Iterable[int]) -> list[StoredSecret]:
        found = (s for folder in folders for i in self._by_folder.get(folder, ()) if (s := self.get(i)))
        return sorted(found, key=_order)

    def ordered(self) -> Sequence[StoredSecret]:
        """Every secret, missing ones too; by name, then id."""
        if len(self._ordered) != len(self._by_id):
            self._ordered = sorted(self._by_id.values(), key=_order)
            self._indexes.clear()
        return self._ordered

    def set_state(self, name: str, state: SecretState) -> None:
        """Raises KeyError for a name the estate does not have."""
        secret = self._originals[name]
        secret.state = state
        if state is SecretState.OUT_OF_SYNC:
            secret.heartbeat = Heartbeat.FAILED
        if state is SecretState.AMBIGUOUS and name not in self._decoys:
            material = Material(self._seed, f"decoy|{name}")
            self._decoys[name] = self._add(secret, DECOY_FOLDER, material, SecretState.READABLE)
        if decoy := self._decoys.get(name):
            decoy.state = SecretState.READABLE if state is SecretState.AMBIGUOUS else SecretState.MISSING

    def change(self, name: str, material: Material) -> None:
        """New material, in place of what was written. Raises KeyError for a name the estate does not have."""
        secret = self._originals[name]
        secret.material = material
        secret.edited.pop("password", None)

    def edit(self, secret: StoredSecret, slug: str, value: str) -> None:
        """Write a field's value."""
        secret.edited[slug] = value
        self._indexes.clear()
        if slug == "machine" and secret.id not in self._by_term[value.casefold()]:
            self._by_term[value.casefold()].append(secret.id)

    def _containing(self, text: str, slug: str) -> Iterator[StoredSecret]:
        ordered = self.ordered()
        return (ordered[position] for position in self._index(slug).containing(text))

    def _index(self, slug: str) -> TextIndex:
        """Of a field, or, for an empty slug, of name and Machine; made when it is first asked for."""
        ordered = self.ordered()
        if slug not in self._indexes:
            self._indexes[slug] = TextIndex([_field_text(s, slug) if slug else _terms(s) for s in ordered])
        return self._indexes[slug]

    def _add(self, like: Secret | StoredSecret, folder: str, material: Material, state: SecretState) -> StoredSecret:
        added = StoredSecret(
            id=len(self._by_id) + 1,
            name=like.name,
            template_name=like.template if isinstance(like, Secret) else like.template_name,
            folder=folder,
            folder_id=self.folders.add(folder),
            user=like.user,
            machine=like.machine,
            domain=like.domain,
            material=material,
            holds_key=like.holds_key,
            password_too=like.password_too,
            holds_hash=like.holds_hash,
            state=state,
            security=like.security,
            heartbeat=Heartbeat.FAILED if state is SecretState.OUT_OF_SYNC else Heartbeat.PENDING,
        )
        self._by_id[added.id] = added
        self._by_path[added.path.casefold()] = added.id
        self._by_folder[added.folder_id].append(added.id)
        for term in {added.name.casefold(), added.machine.casefold()} - {""}:
            self._by_term[term].append(added.id)
        return added


def _order(secret: StoredSecret) -> tuple[str, int]:
    return secret.name.casefold(), secret.id


def _terms(secret: StoredSecret) -> str:
    return f"{secret.name}{_SEPARATOR}{secret.edited.get('machine', secret.machine)}"


def _field_text(secret: StoredSecret, slug: str) -> str:
    """A field that may be searched: passwords and files may not."""
    field = secret.template.field(slug)
    return "" if field is None or field.is_password or field.is_file else secret.text(field)
