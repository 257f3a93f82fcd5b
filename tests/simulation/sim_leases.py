"""The leases of a simulated store: as `store.leases`, with the time that a transaction takes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping

from orchestrator.store.leases import Held, LeaseRow


class SimLeases:
    """`rows` outlive the process; `turn` is half a transaction's time; `alive` tells whether this process still is."""

    def __init__(
        self, rows: dict[str, LeaseRow], turn: Callable[[], Awaitable[None]], alive: Callable[[], bool]
    ) -> None:
        self.rows, self._turn, self._alive = rows, turn, alive

    async def all(self) -> dict[str, LeaseRow]:
        await self._turn()
        found = dict(self.rows)
        await self._turn()
        return found

    async def take(self, wanted: Mapping[str, LeaseRow | None], owner: str, token: str) -> list[str]:
        await self._turn()
        had = [name for name, seen in wanted.items() if self.rows.get(name) == seen] if self._alive() else []
        self.rows |= {name: LeaseRow(name, owner, token, 0) for name in had}
        await self._turn()
        return had

    async def end_frozen(self) -> int:
        """Nobody is frozen in the middle of a transaction here."""
        await self._turn()
        return 0

    async def renew(self, held: Mapping[str, str]) -> list[str]:
        await self._turn()
        ours = [name for name, token in held.items() if not self.lost([(name, token)])]
        if self._alive():
            for name in ours:
                row = self.rows[name]
                self.rows[name] = LeaseRow(name, row.owner, row.token, row.beat + 1)
        await self._turn()
        return [name for name in held if name not in ours]

    async def give_back(self, held: Mapping[str, str]) -> None:
        await self._turn()
        if self._alive():
            for name in [name for name, token in held.items() if not self.lost([(name, token)])]:
                del self.rows[name]
        await self._turn()

    async def forget(self, rows: Iterable[LeaseRow]) -> None:
        await self._turn()
        for row in rows if self._alive() else ():
            if self.rows.get(row.name) == row:
                del self.rows[row.name]
        await self._turn()

    def lost(self, held: Collection[Held]) -> list[Held]:
        return [(name, token) for name, token in held if name not in self.rows or self.rows[name].token != token]
