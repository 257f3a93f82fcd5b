"""Secrets by their exact name, out of one listing (`listing`).

A name that it has not is searched for: the secret may be younger than the listing, and a missing one is a failed target
that somebody is told of.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from sys import intern

from appliance.contract import Failure
from appliance.vault.answers import Page, Summary
from appliance.vault.dialect import Dialect
from appliance.vault.dialogue import Dialogue
from appliance.vault.listing import Listing


class NameListing(Listing[str]):
    def __init__(self) -> None:
        super().__init__()
        self._by_name: dict[str, list[Summary]] = {}

    def search(self, dialect: Dialect, wanted: str) -> Dialogue[list[Summary] | Failure]:
        return dialect.by_name(wanted)

    def _page(self, dialect: Dialect) -> Dialogue[Page | Failure | None]:
        return dialect.names(self.skip)

    def _keep(self, found: Summary) -> None:
        kept = replace(found, name="", template=intern(found.template), folder_path=intern(found.folder_path))
        self._by_name.setdefault(found.name, []).append(kept)

    def _forget(self) -> None:
        self._by_name.clear()

    def _hits(self, wanted: str) -> Sequence[Summary] | None:
        return self._by_name.get(wanted)
