"""Secrets by the Machine field of their template: read out of one listing of the vault, or by a search for each host.

No value of a secret is read, and no view shows in the vault's audit, either way.

Rules:
1. By REST a summary shows fields that its template exposes for display, if asked for them (`extendedFields`). So all
   secrets that the vault's user may list are paged through, LISTED at a time, and every host is then answered from
   memory, the one without a secret too.
2. That is worth it for many hosts only: the first FIRST of a process are searched for one by one. Who comes then helps
   to read for at most READ_ON seconds, and searches if that was not enough: nobody waits longer, no page is read twice.
3. It is given up for good where the vault lists more than MOST secrets, takes more than PATIENCE for all pages, or
   fails more than FAILURES times. Then each host is searched for, which is what rule 2 began with.
4. A listing answers for a machine only if it shows it: not where a template has the field and does not expose it
   (then a secret of it may have the same machine), unless the record narrows to a template that does; and not where
   fewer secrets came than the vault has counted.
5. By SOAP a summary shows no field at all, and the operations that do read whole secrets. So there it is a search for
   each host, which what has settled is remembered of (`secret_server`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import inf
from sys import intern

import anyio

from appliance.contract import Failure
from appliance.vault.answers import Page, Summary
from appliance.vault.choice import Machine, folded
from appliance.vault.dialect import Dialect
from appliance.vault.dialogue import Dialogue
from appliance.vault.exchange import Trip
from appliance.vault.flight import SingleFlight
from appliance.vault.session import Session
from appliance.vault.turns import Rank

FIRST = 16
READ_ON = 3.0
"""Seconds. A scan settles within 5, and a search comes after it."""
MOST = 50_000
"""Secrets: a hundred pages, and twenty megabytes (measured)."""
PATIENCE = 30.0
"""Seconds, spent reading."""
FAILURES = 3
MOST_TEMPLATES = 100


class Listing:
    """The secrets of a vault by machine, as far as they have been read. Pure."""

    def __init__(self, searched: int = 0, *, given_up: bool = False) -> None:
        self.searched = searched
        """Machines that were searched for by themselves."""
        self.spent = 0.0
        self.failures = 0
        self.given_up = given_up
        self.skip = 0
        self.read = False
        """All pages have been."""
        self.whole_at: float | None = None
        """When it was whole: the templates that show nothing are known, too."""
        self._total: int | None = None
        self._ids: set[int] = set()
        self._by_machine: dict[str, list[Summary]] = {}
        self._showing: set[int] = set()
        self._blind: dict[int, str] = {}
        """Templates by id, of which no secret has shown a machine."""

    @property
    def worth_reading(self) -> bool:
        return self.searched >= FIRST and self.whole_at is None and not self.given_up

    def take(self, page: Page) -> None:
        """The next page."""
        if page.total is not None and self._total is None:
            self._total = page.total
        for found in page.records:
            if found.id in self._ids:
                continue
            self._ids.add(found.id)
            template = intern(found.template)
            if found.machine is not None:
                self._showing.add(found.template_id)
                if found.machine.strip():  # what thousands have alike is kept once
                    kept = replace(found, name="", template=template, folder_path=intern(found.folder_path))
                    self._by_machine.setdefault(folded(found.machine), []).append(kept)
            elif found.template_id not in self._showing:
                self._blind[found.template_id] = template
        self.skip += len(page.records)
        self.read = not page.more
        if (self._total or 0) > MOST or self.skip > MOST:
            self.give_up()

    @property
    def doubtful(self) -> list[int]:
        """Ids of the templates that may have the field, and have not shown it."""
        return [number for number in self._blind if number not in self._showing]

    def has_no_machine(self, template: int) -> None:
        self._blind.pop(template, None)

    def give_up(self) -> None:
        self.given_up = True
        self._by_machine.clear()
        self._ids.clear()

    def hits(self, wanted: Machine) -> Sequence[Summary] | None:
        """What a search would find; None where only a search can tell (rule 4)."""
        if self.whole_at is None or self.given_up or len(self._ids) < (self._total or 0):
            return None
        blind = {folded(self._blind[number]) for number in self.doubtful}
        if blind and (not wanted.template or folded(wanted.template) in blind):
            return None
        return self._by_machine.get(wanted.key, ())


class Machines:
    """One vault's, for all who ask in this process."""

    def __init__(self, max_age: float = inf, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_age = max_age
        self._clock = clock
        self._listing = Listing()
        self._reading: SingleFlight[None] = SingleFlight()

    async def hits(self, wanted: Machine, session: Session, trip: Trip) -> Sequence[Summary] | Failure:
        """All secrets with this machine, the inactive ones too, before template and folder narrow them. Fails as a
        search does.
        """
        listing = self._current()
        if listing.worth_reading:
            with anyio.move_on_after(READ_ON):
                await self._reading.share("", lambda: self._read(listing, session))
        known = listing.hits(wanted)
        if known is not None:
            return known
        listing.searched += 1
        return await session.converse(lambda dialect: dialect.by_machine(wanted), trip)

    def _current(self) -> Listing:
        whole_at = self._listing.whole_at
        if whole_at is not None and self._clock() - whole_at > self._max_age:
            self._listing = Listing(self._listing.searched, given_up=self._listing.given_up)
        return self._listing

    async def _read(self, listing: Listing, session: Session) -> None:
        """Read on from where the last one stopped. What is cut off here is read by the next."""
        began = self._clock()
        try:
            while listing.worth_reading:
                step = await session.converse(lambda dialect: _next(dialect, listing), Trip(rank=Rank.ALL_WAIT))
                if isinstance(step, Failure):
                    listing.failures += 1
                    break
                if step:
                    listing.whole_at = self._clock()
        finally:
            listing.spent += self._clock() - began
            if listing.whole_at is None and (listing.spent > PATIENCE or listing.failures > FAILURES):
                listing.give_up()


def _next(dialect: Dialect, listing: Listing) -> Dialogue[bool | Failure]:
    """A page, or after the last one what the templates say. True where the listing is whole."""
    if not listing.read:
        page = yield from dialect.machines(listing.skip)
        if isinstance(page, Failure):
            return page
        if page is None:
            listing.give_up()
        else:
            listing.take(page)
        return False
    for template in listing.doubtful[:MOST_TEMPLATES]:
        has = yield from dialect.has_machine(template)
        if has is False:
            listing.has_no_machine(template)
    return True
