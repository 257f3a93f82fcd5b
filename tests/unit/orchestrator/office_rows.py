"""What an office remembers, in memory: it outlives the office, and takes a moment to write."""

from __future__ import annotations

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

    async def all(self) -> list[R]:
        return list(self.rows.values())
