"""Which of the secrets that a search has found is the one that is meant. Pure.

Rules:
1. One active secret is the one; several are none (SECRET_AMBIGUOUS_NAME, with their ids and folders), and where there
   are inactive ones alone, that is said (SECRET_INACTIVE).
2. Machines are compared without case, as the names of hosts are. Where a summary shows its machine, that decides;
   where it does not, the vault's word for the match is taken.
3. Template and folder narrow what was found by machine. What they leave out is told, since that is where a slip shows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from appliance.contract import Failure
from appliance.vault.answers import Summary
from appliance.vault.failures import fail, reason_of

SHOWN = 5
"""Secrets that a text lists of those that were left out; of several that fit it lists what it can hold."""


@dataclass(frozen=True, slots=True)
class Machine:
    """A secret by its Machine field."""

    value: str
    template: str = ""
    """A template's name; empty: of any."""
    folder: str = ""
    """A folder's path, for what is in it or below it; empty: in any."""

    @property
    def key(self) -> str:
        return folded(self.value)

    def is_of(self, found: Summary) -> bool:
        """Has it this machine, as far as it shows one?"""
        return found.machine is None or folded(found.machine) == self.key

    def fits(self, found: Summary) -> bool:
        if self.template and folded(found.template) != folded(self.template):
            return False
        wanted, place = folded(self.folder).rstrip("\\"), folded(found.folder_path)
        return not wanted or place == wanted or place.startswith(wanted + "\\")


def folded(text: str) -> str:
    return text.strip().casefold()


def only(hits: Sequence[Summary]) -> Summary | Failure:
    """The one active secret among those of one name, or for one machine."""
    active = [s for s in hits if s.active]
    if len(active) == 1:
        return active[0]
    if not active:
        return fail("SECRET_INACTIVE") if hits else fail("SECRET_NOT_FOUND")
    return fail("SECRET_AMBIGUOUS_NAME", f"{len(active)} secrets: {_listed(active)}", hits=str(len(active)))


def chosen(hits: Iterable[Summary], wanted: Machine) -> Summary | Failure:
    """The one for a machine, among those that a search for it has found."""
    fitting: list[Summary] = []
    others: list[Summary] = []
    for hit in hits:
        (fitting if wanted.fits(hit) else others).append(hit)
    found = only(fitting)
    if isinstance(found, Summary) or reason_of(found) == "SECRET_AMBIGUOUS_NAME":
        return found
    if fitting:
        return replace(found, text=fail("", f"machine {wanted.value!r}: {_listed(fitting)}").text)
    narrowed = "".join(
        (
            f", of template {wanted.template!r}" if wanted.template else "",
            f", in {wanted.folder}" if wanted.folder else "",
        )
    )
    elsewhere = f"; left out: {_listed(others, templates=True)}" if others else ""
    return fail("SECRET_NOT_FOUND", f"no secret has the machine {wanted.value!r}{narrowed}{elsewhere}")


def _listed(found: list[Summary], *, templates: bool = False) -> str:
    ordered = sorted(found, key=lambda s: s.id)
    shown = [
        f"id {s.id} in {s.folder_path or 'an unnamed folder'}"
        + (f" ({s.template})" if templates and s.template else "")
        for s in (ordered[:SHOWN] if templates else ordered)
    ]
    return ", ".join(shown) + (f" and {len(found) - len(shown)} more" if len(shown) < len(found) else "")
