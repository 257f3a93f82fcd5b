"""Leases in the store, and the fence that each write of a lease's holder passes.

A lease is a row: its name, who holds it, the random token of this taking, and a number that its holder counts up while
it lives. It is taken from another by comparing and setting: of two that try, one has it.

**Fencing.** What may be written by a lease's holder only looks at the row first, in the same transaction, and keeps it
from being changed until that is committed (FOR SHARE; SQLite has one writer). So a write comes before the take-over,
and who takes over reads it, or it finds another token and writes nothing. A token is drawn, not counted: a store that
is restored from a copy goes back in time, and a number would come again that somebody else has had.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, delete, select, update

from orchestrator.store.database import Database
from orchestrator.store.errors import StoreError
from orchestrator.store.frozen import end_frozen
from orchestrator.store.schema import leases

_THESE = leases.c.name.in_(bindparam("names", expanding=True))
_TOKENS = select(leases.c.name, leases.c.token).where(_THESE).order_by(leases.c.name)
_LOOK, _LOCK = _TOKENS.with_for_update(read=True), _TOKENS.with_for_update()
_COUNT = update(leases).where(_THESE).values(beat=leases.c.beat + 1)


class FencedError(StoreError):
    """The lease that this was to be written under has been taken over; nothing was written."""


@dataclass(frozen=True, slots=True)
class LeaseRow:
    name: str
    owner: str
    token: str
    beat: int


Held = tuple[str, str]
"""A lease as its holder has it: its name, and the token of its taking."""


def lost(connection: Connection, held: Collection[Held]) -> list[Held]:
    """Which of these are no longer held so; the others stay so until the transaction ends."""
    names = sorted({name for name, _ in held})
    found = {row.name: row.token for row in connection.execute(_LOOK, {"names": names})} if names else {}
    return [(name, token) for name, token in held if found.get(name) != token]


class Fences:
    """The leases of runs that this process holds, or has held and not put down: writes of such a run are fenced."""

    def __init__(self) -> None:
        self._held: dict[str, Held] = {}
        """By run."""

    def put_up(self, run: str, name: str, token: str) -> None:
        self._held[run] = name, token

    def take_down(self, run: str) -> None:
        """Nothing of ours writes about the run any more."""
        self._held.pop(run, None)

    def check(self, connection: Connection, run: str) -> None:
        """First in a transaction that writes about the run. Raises FencedError."""
        known = self._held.get(run)
        if known is not None and lost(connection, [known]):
            raise FencedError(f"run {run} has been taken over by another orchestrator")


class Leases:
    """Durable when a call returns. Every call raises StoreError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> dict[str, LeaseRow]:
        """By name."""
        rows = await self._database.read(lambda connection: connection.execute(select(leases)).all())
        return {row.name: LeaseRow(row.name, row.owner, row.token, row.beat) for row in rows}

    async def take(self, wanted: Mapping[str, LeaseRow | None], owner: str, token: str) -> list[str]:
        """Take leases, each as it was seen: held by nobody (None), or so. Those that were had."""

        def step(connection: Connection) -> list[str]:
            had = []
            for name, seen in sorted(wanted.items()):
                values = {"name": name, "owner": owner, "token": token, "beat": 0}
                if seen is None:
                    done = connection.execute(new, values)
                else:
                    mine = leases.c.name == name, leases.c.token == seen.token, leases.c.beat == seen.beat
                    done = connection.execute(update(leases).where(*mine).values(values))
                had += [name] * done.rowcount
            return had

        new = self._database.insert(leases).on_conflict_do_nothing()
        return await self._database.write(step) if wanted else []

    async def end_frozen(self) -> int:
        """The sessions of frozen processes that are ended: what they hold locked is in nobody's way any more."""
        return await end_frozen(self._database)

    async def renew(self, held: Mapping[str, str]) -> list[str]:
        """Count these up (name -> token); those that are no longer held so."""

        def step(connection: Connection) -> list[str]:
            found = {row.name: row.token for row in connection.execute(_LOCK, {"names": sorted(held)})}
            ours = [name for name, token in held.items() if found.get(name) == token]
            if ours:
                connection.execute(_COUNT, {"names": ours})
            return [name for name in held if name not in ours]

        return await self._database.write(step) if held else []

    async def give_back(self, held: Mapping[str, str]) -> None:
        """Those that are no longer held so stay as they are."""

        def step(connection: Connection) -> None:
            for name, token in sorted(held.items()):
                connection.execute(delete(leases).where(leases.c.name == name, leases.c.token == token))

        if held:
            await self._database.write(step)

    async def forget(self, rows: Iterable[LeaseRow]) -> None:
        """What dead holders have left, and nobody takes over: each as it was seen."""

        def step(connection: Connection) -> None:
            for row in dead:
                mine = leases.c.name == row.name, leases.c.token == row.token, leases.c.beat == row.beat
                connection.execute(delete(leases).where(*mine))

        dead: Sequence[LeaseRow] = sorted(rows, key=lambda row: row.name)
        if dead:
            await self._database.write(step)
