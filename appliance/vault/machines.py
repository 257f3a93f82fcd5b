"""Secrets by the Machine field of their template, out of one listing (`listing`).

By REST a summary shows fields that its template exposes for display, if asked for them (`extendedFields`). So a listing
answers for a machine only if it shows it: not where a template has the field and does not expose it (then a secret of
it may have the same machine), unless the record narrows to a template that does. Where it answers, it does so for the
machines without a secret too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from sys import intern

from appliance.contract import Failure
from appliance.vault.answers import Page, Summary
from appliance.vault.choice import Machine, folded
from appliance.vault.dialect import Dialect
from appliance.vault.dialogue import Dialogue
from appliance.vault.listing import Listing

MOST_TEMPLATES = 100


class MachineListing(Listing[Machine]):
    def __init__(self) -> None:
        super().__init__()
        self._by_machine: dict[str, list[Summary]] = {}
        self._showing: set[int] = set()
        self._blind: dict[int, str] = {}
        """Templates by id, of which no secret has shown a machine."""

    @property
    def doubtful(self) -> list[int]:
        """Ids of the templates that may have the field, and have not shown it."""
        return [number for number in self._blind if number not in self._showing]

    def has_no_machine(self, template: int) -> None:
        self._blind.pop(template, None)

    def search(self, dialect: Dialect, wanted: Machine) -> Dialogue[list[Summary] | Failure]:
        return dialect.by_machine(wanted)

    def _page(self, dialect: Dialect) -> Dialogue[Page | Failure | None]:
        return dialect.machines(self.skip)

    def _complete(self, dialect: Dialect) -> Dialogue[bool | Failure]:
        """After the last page, what the templates say."""
        for template in self.doubtful[:MOST_TEMPLATES]:
            has = yield from dialect.has_machine(template)
            if has is False:
                self.has_no_machine(template)
        return True

    def _keep(self, found: Summary) -> None:
        template = intern(found.template)
        if found.machine is not None:
            self._showing.add(found.template_id)
            if found.machine.strip():  # what thousands have alike is kept once
                kept = replace(found, name="", template=template, folder_path=intern(found.folder_path))
                self._by_machine.setdefault(folded(found.machine), []).append(kept)
        elif found.template_id not in self._showing:
            self._blind[found.template_id] = template

    def _forget(self) -> None:
        self._by_machine.clear()

    def _hits(self, wanted: Machine) -> Sequence[Summary] | None:
        blind = {folded(self._blind[number]) for number in self.doubtful}
        if blind and (not wanted.template or folded(wanted.template) in blind):
            return None
        return self._by_machine.get(wanted.key, ())
