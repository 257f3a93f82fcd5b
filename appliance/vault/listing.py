"""Many secrets out of one listing of the vault, or by a search for each. What is listed of them, `machines` and `names`
say.

No value of a secret is read, and no view shows in the vault's audit, either way.

Rules:
1. A listing is all secrets that the vault's user may list, LISTED at a time; what it has read answers from memory.
2. That is worth it for many only: the first FIRST of a process are searched for one by one, and so is everybody as long
   as fewer have been searched for than the listing has pages. (So it never costs more than twice what is the least.)
3. Who comes then helps to read for at most READ_ON seconds, and searches if that was not enough: nobody waits longer,
   no page is read twice.
4. It is given up for good where the vault lists more than MOST secrets, takes more than PATIENCE for all pages, or
   fails more than FAILURES times. Then each is searched for, which is what rule 2 began with.
5. It answers nothing where fewer secrets came than the vault has counted.
6. By SOAP a summary shows no field and a search for nothing finds what it likes. So there it is a search for each,
   which what has settled is remembered of (`secret_server`).
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from math import inf
from typing import Generic, TypeVar

import anyio

from appliance.contract import Failure
from appliance.phases import off_the_clock
from appliance.vault.answers import Page, Summary
from appliance.vault.dialect import Dialect
from appliance.vault.dialogue import Dialogue, said
from appliance.vault.flight import SingleFlight
from appliance.vault.rest import LISTED
from appliance.vault.session import Session
from appliance.vault.trip import Trip
from appliance.vault.turns import Rank

FIRST = 16
READ_ON = 3.0
"""Seconds. A scan settles within 5, and a search comes after it."""
MOST = 50_000
"""Secrets: a hundred pages, and twenty megabytes (measured)."""
PATIENCE = 30.0
"""Seconds, spent reading."""
FAILURES = 3

Wanted = TypeVar("Wanted")


class Listing(ABC, Generic[Wanted]):
    """The secrets of a vault, as far as they have been read. Pure."""

    def __init__(self) -> None:
        self.searched = 0
        """How many were searched for by themselves."""
        self.spent = 0.0
        self.failures = 0
        self.given_up = False
        self.skip = 0
        self.read = False
        """All pages have been."""
        self.whole_at: float | None = None
        """When it was whole."""
        self._total: int | None = None
        self._ids: set[int] = set()

    @property
    def worth_reading(self) -> bool:
        pages = -(-max(self._total or 0, self.skip) // LISTED)
        return self.searched >= max(FIRST, pages) and self.whole_at is None and not self.given_up

    def take(self, page: Page) -> None:
        """The next page."""
        if page.total is not None and self._total is None:
            self._total = page.total
        for found in page.records:
            if found.id not in self._ids:
                self._ids.add(found.id)
                self._keep(found)
        self.skip += len(page.records)
        self.read = not page.more
        if (self._total or 0) > MOST or self.skip > MOST:
            self.give_up()

    def give_up(self) -> None:
        self.given_up = True
        self._ids.clear()
        self._forget()

    def hits(self, wanted: Wanted) -> Sequence[Summary] | None:
        """What a search would find; None where only a search can tell."""
        if self.whole_at is None or self.given_up or len(self._ids) < (self._total or 0):
            return None
        return self._hits(wanted)

    def step(self, dialect: Dialect) -> Dialogue[bool | Failure]:
        """A page, or after the last one what else it takes. True where the listing is whole."""
        if self.read:
            return self._complete(dialect)
        return self._next(dialect)

    def _next(self, dialect: Dialect) -> Dialogue[bool | Failure]:
        page = yield from self._page(dialect)
        if isinstance(page, Failure):
            return page
        if page is None:
            self.give_up()
        else:
            self.take(page)
        return False

    def _complete(self, _dialect: Dialect) -> Dialogue[bool | Failure]:
        return said(True)

    @abstractmethod
    def _page(self, dialect: Dialect) -> Dialogue[Page | Failure | None]:
        """From `skip` on; None where no listing can be had."""

    @abstractmethod
    def search(self, dialect: Dialect, wanted: Wanted) -> Dialogue[list[Summary] | Failure]:
        """For this one by itself."""

    @abstractmethod
    def _keep(self, found: Summary) -> None: ...

    @abstractmethod
    def _forget(self) -> None: ...

    @abstractmethod
    def _hits(self, wanted: Wanted) -> Sequence[Summary] | None: ...


class Listed(Generic[Wanted]):
    """One vault's, for all who ask in this process."""

    def __init__(
        self,
        begin: Callable[[], Listing[Wanted]],
        max_age: float = inf,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._begin = begin
        self._max_age = max_age
        self._clock = clock
        self._listing = begin()
        self._reading: SingleFlight[None] = SingleFlight()

    async def hits(self, wanted: Wanted, session: Session, trip: Trip) -> Sequence[Summary] | Failure:
        """All secrets that are like this, the inactive ones too. Fails as a search does."""
        listing = self._current()
        if listing.worth_reading:
            # It serves all, and waits for its turns in the task of another attempt.
            with off_the_clock(), anyio.move_on_after(READ_ON):
                await self._reading.share("", lambda: self._read(listing, session))
        known = listing.hits(wanted)
        if known is not None:
            return known
        listing.searched += 1
        return await session.converse(lambda dialect: listing.search(dialect, wanted), trip)

    def _current(self) -> Listing[Wanted]:
        old = self._listing
        if old.whole_at is not None and self._clock() - old.whole_at > self._max_age:
            self._listing = self._begin()
            self._listing.searched, self._listing.given_up = old.searched, old.given_up
        return self._listing

    async def _read(self, listing: Listing[Wanted], session: Session) -> None:
        """Read on from where the last one stopped. What is cut off here is read by the next."""
        began = self._clock()
        try:
            while listing.worth_reading:
                step = await session.converse(listing.step, Trip(rank=Rank.ALL_WAIT))
                if isinstance(step, Failure):
                    listing.failures += 1
                    break
                if step:
                    listing.whole_at = self._clock()
        finally:
            listing.spent += self._clock() - began
            if listing.whole_at is None and (listing.spent > PATIENCE or listing.failures > FAILURES):
                listing.give_up()
