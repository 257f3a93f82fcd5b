"""Searches: which secrets a caller finds, by name, field, folder and what they are. No values, no view, no audit.

A secret is found by who may list it. Restricted ones (check-out aside: it hides nothing) are left out unless they are
asked for, inactive ones too.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from targets.secret_server.gate import holder
from targets.secret_server.refusal import Refused, Why
from targets.secret_server.rights import Access
from targets.secret_server.secrets import StoredSecret
from targets.secret_server.store import VaultStore
from targets.secret_server.users import Caller


class Scope(StrEnum):
    ALL = "all"
    RECENT = "recent"
    """Those that the caller has been audited for."""
    FAVORITES = "favorites"
    """None: nobody has marked any."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a search asks for; the defaults ask for everything that is active and open."""

    text: str = ""
    exact: bool = False
    field: str = ""
    """The slug or name of the field to search in; empty: name and Machine."""
    exposed: Container[str] | None = None
    """Slugs: such a field is searched only if it is one of these. None: any."""
    folder: int = 0
    """0: any."""
    subfolders: bool = False
    active: bool = True
    inactive: bool = False
    restricted: bool = False
    templates: frozenset[int] = frozenset()
    """Ids; empty: any."""
    access: Access = Access.LIST
    heartbeat: str = ""
    double_locked: bool = True
    checked_out: bool = False
    """Only those that somebody has checked out."""
    checked_out_by_caller: bool = False
    changes_only: bool = False
    """Only those whose password the vault changes by itself."""
    scope: Scope = Scope.ALL
    site: int = 1
    """There is one, of number 1."""


SORTS: dict[str, Callable[[StoredSecret], Any]] = {
    "id": lambda s: s.id,
    "name": lambda s: s.name.casefold(),
    "secretname": lambda s: s.name.casefold(),
    "secrettemplateid": lambda s: s.template.id,
    "secrettemplatename": lambda s: s.template.name,
    "folderid": lambda s: s.folder_id,
    "folderpath": lambda s: s.folder.casefold(),
    "active": lambda s: s.shown_active,
    "lastheartbeatstatus": lambda s: s.heartbeat,
}
"""What a listing can be sorted by, by folded name."""


def search(store: VaultStore, caller: Caller, wanted: Wanted, now: float) -> Iterator[StoredSecret]:
    """By name, then id; lazily, so that a page costs no more than what comes before its end."""
    if wanted.scope is Scope.FAVORITES or wanted.site != 1:
        return
    for secret in _candidates(store, wanted):
        if _fits(secret, caller, wanted, now):
            yield secret


def sort(found: list[StoredSecret], keys: list[tuple[str, bool]]) -> list[StoredSecret] | Refused:
    """By (name, descending) keys, the first of which counts most. Refused: one that nothing can be sorted by."""
    for name, descending in reversed(keys):
        if name.casefold() not in SORTS:
            return Refused(Why.INVALID, f"sortBy {name}")
        found.sort(key=SORTS[name.casefold()], reverse=descending)
    return found


def _candidates(store: VaultStore, wanted: Wanted) -> Iterator[StoredSecret]:
    if not wanted.folder:
        yield from store.matching(wanted.text, exact=wanted.exact, slug=wanted.field)
        return
    folders = {wanted.folder}
    if wanted.subfolders:
        folders |= {folder.id for folder in store.folders.below(wanted.folder)}
    if not wanted.text:
        yield from store.in_folders(folders)
        return
    for secret in store.matching(wanted.text, exact=wanted.exact, slug=wanted.field):
        if secret.folder_id in folders:
            yield secret


def _fits(secret: StoredSecret, caller: Caller, wanted: Wanted, now: float) -> bool:
    if not (wanted.active if secret.shown_active else wanted.inactive):
        return False
    asks = secret.security
    if asks.double_lock and not wanted.double_locked:
        return False
    if not wanted.restricted and (secret.needs_comment or asks.approvers or asks.double_lock):
        return False
    if wanted.exposed is not None:
        field = secret.template.field(wanted.field)
        if field is None or not field.may_be_exposed or field.slug not in wanted.exposed:
            return False
    if wanted.templates and secret.template.id not in wanted.templates:
        return False
    if wanted.heartbeat and secret.heartbeat.casefold() != wanted.heartbeat.casefold():
        return False
    if wanted.changes_only and not asks.rotate_every:
        return False
    if wanted.scope is Scope.RECENT and not any(row.user_id == caller.user.id for row in secret.audits):
        return False
    if wanted.checked_out or wanted.checked_out_by_caller:
        held = holder(secret, now)
        if held is None or (wanted.checked_out_by_caller and held.user_id != caller.user.id):
            return False
    return caller.user.access(secret) >= wanted.access
