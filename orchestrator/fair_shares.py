"""What each run of a holder gets of the appliances' capacity. Pure.

The rules, stated here and nowhere else:

 F1 weight     Runs that all want more than there is get it in proportion to their priorities.
 F2 demand     Nobody is given more than it can use while another could use it: a run that waits for an account's
               permits leaves the rest to the others.
 F3 spare      What nobody has use for now is dealt out by weight, so that a run may grow at once.
 F4 one        Every run has at least one place, however low its priority and however many runs there are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Party:
    run: str
    priority: int
    """At least 1."""
    demand: int
    """Places that it could use now."""


def fair_shares(capacity: int, parties: Sequence[Party]) -> Mapping[str, int]:
    """Places by run; together `capacity`, or one each where there are more runs than places."""
    if capacity <= 0:
        return {party.run: 0 for party in parties}
    got = {party.run: 1 for party in parties}  # F4
    left = capacity - len(parties)
    # In an order of their own: where the last places do not go round, it says who has them.
    wanting = sorted((party for party in parties if party.demand > 1), key=lambda party: party.run)
    while left > 0 and wanting:
        total = sum(party.priority for party in wanting)
        # Of the places together with those that each has already: else many with one place each would be too well off.
        whole = left + sum(got[party.run] for party in wanting)
        met = [party for party in wanting if party.demand * total <= whole * party.priority]  # F2
        for party in met or wanting:
            wanted = party.demand if met else max(got[party.run], whole * party.priority // total)  # F1
            more = min(wanted - got[party.run], left)
            got[party.run] += more
            left -= more
        if not met:
            break
        wanting = [party for party in wanting if party not in met]
    _deal(left, wanting or parties, got)
    return got


def _deal(left: int, parties: Sequence[Party], got: dict[str, int]) -> None:
    """Spare places, and what rounding has left (F3): each to whoever has the least for its weight."""
    if left <= 0 or not parties:
        return
    total = sum(party.priority for party in parties)
    dealt = {party.run: left * party.priority // total for party in parties}
    for party in parties:
        got[party.run] += dealt[party.run]
    rest = left - sum(dealt.values())
    for party in sorted(parties, key=lambda p: (got[p.run] / p.priority, p.run))[:rest]:
        got[party.run] += 1
