"""Vaults that a run finds away: who waits for them, and who looks whether they are back. Pure; time comes from outside.

The rules, stated here and nowhere else:

 V1 away      A deferral that names a vault as away makes it so, from then on, and rests it until the time it names.
 V2 parked    A job that only vaults that are away could serve is not dispatched. All others go on.
 V3 probe     When the rest is over one parked job goes out, the one that waits longest, and the next one a rest later:
              FIRST_REST, doubled up to LONGEST_REST.
 V4 back      An attempt that was dispatched since, and came to its target, shows that the vault is back: an appliance
              that finds it away dials nobody. All that were parked go on.
 V5 patience  At `vault_patience` after V1 nobody waits any more: what is sent from then on has no time left, so that an
              appliance which still finds the vault away ends it with the vault's own words.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Generic, TypeVar

J = TypeVar("J")

FIRST_REST, LONGEST_REST = 2.0, 30.0
LONGEST_ASKED = 300.0
"""A vault may ask for a longer rest than we would give it; no longer one than this."""


@dataclass(frozen=True, slots=True)
class Away:
    """A vault that is away, for those who watch the run."""

    vault: str
    since: float
    waiting: int


@dataclass(slots=True)
class _State(Generic[J]):
    since: float
    until: float
    rest: float = FIRST_REST
    parked: deque[J] = field(default_factory=deque)


class VaultWatch(Generic[J]):
    """`J` is whatever the dispatcher calls a job."""

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._away: dict[str, _State[J]] = {}

    # -- what is heard -------------------------------------------------------------------------------------------------

    def away(self, vault: str, *, now: float, until: float) -> None:
        state = self._away.setdefault(vault, _State(now, now))
        state.until = max(state.until, min(until, now + LONGEST_ASKED))

    def back(self, vault: str, dispatched_at: float) -> tuple[J, ...]:
        """The jobs that go on, if this tells anything: an attempt from before may have had its credential already."""
        state = self._away.get(vault)
        if state is None or dispatched_at < state.since:
            return ()
        del self._away[vault]
        return tuple(state.parked)

    # -- what may go out -----------------------------------------------------------------------------------------------

    def parked_by(self, vaults: Collection[str], now: float) -> str | None:
        """The vault that a job must wait for, if it could be served by these only; None where it may go out."""
        if not self._away or any(vault not in self._away for vault in vaults):
            return None
        vault = max(vaults, key=lambda title: self._away[title].since, default=None)
        return None if vault is None or now >= self._away[vault].since + self._patience else vault

    def park(self, vault: str, job: J) -> None:
        self._away[vault].parked.append(job)

    def released(self, now: float) -> list[J]:
        """Who goes out now, whatever `parked_by` says of them."""
        going: list[J] = []
        for state in self._away.values():
            if now >= state.since + self._patience:
                going += state.parked
                state.parked.clear()
            elif state.parked and now >= state.until:
                going.append(state.parked.popleft())
                state.until = now + state.rest
                state.rest = min(2 * state.rest, LONGEST_REST)
        return going

    def gives_up_at(self, vaults: Collection[str]) -> float | None:
        """When the patience with these vaults ends, where all of them are away."""
        if not self._away or not vaults or any(vault not in self._away for vault in vaults):
            return None
        return max(self._away[vault].since for vault in vaults) + self._patience

    # -- questions -----------------------------------------------------------------------------------------------------

    @property
    def parked(self) -> int:
        return sum(len(state.parked) for state in self._away.values())

    def next_due(self) -> float | None:
        """When somebody who is parked may go out, if nothing is heard."""
        dues = [min(s.until, s.since + self._patience) for s in self._away.values() if s.parked]
        return min(dues, default=None)

    def those_away(self) -> tuple[Away, ...]:
        return tuple(Away(vault, state.since, len(state.parked)) for vault, state in self._away.items())
