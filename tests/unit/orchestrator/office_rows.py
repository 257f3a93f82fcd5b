"""What an office remembers, in memory: it outlives the office, and takes a moment to write."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Generic

import anyio

from orchestrator.vault_use import R


class Rows(Generic[R]):
    def __init__(self) -> None:
        self.rows: dict[tuple[str, str, int, str], R] = {}

    async def put(self, row: R) -> None:
        await anyio.sleep(0.001)
        self.rows[row.url, row.user, row.secret_id, row.run] = row

    async def drop(self, row: R) -> None:
        await anyio.sleep(0.001)
        self.rows.pop((row.url, row.user, row.secret_id, row.run), None)

    async def hand_over(self, row: R, dead: Collection[str]) -> R:
        await anyio.sleep(0.001)
        found = await self.of_secret(row)
        mine = next((one for one in found if one.run == row.run), row)
        same = [one for one in found if getattr(one, "request", 0) == getattr(mine, "request", 0)]
        heirs = sorted((one for one in same if one.run not in (row.run, *dead)), key=lambda one: not one.ours)
        if not heirs:
            return mine
        heir = replace(heirs[0], ours=mine.ours or heirs[0].ours)
        self.rows[heir.url, heir.user, heir.secret_id, heir.run] = heir
        self.rows.pop((row.url, row.user, row.secret_id, row.run), None)
        return heir

    async def of_secret(self, row: R) -> list[R]:
        secret = row.url, row.user, row.secret_id
        return [one for one in self.rows.values() if (one.url, one.user, one.secret_id) == secret]

    async def all(self) -> list[R]:
        return list(self.rows.values())
