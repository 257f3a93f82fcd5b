"""The store of a state directory by itself: beside a process that holds the directory, or without one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio

from orchestrator.cli.errors import BadInput
from orchestrator.store import Store, StoreError, open_store
from orchestrator.store.records import RunRecord

FILE = "keymuster.db"
CLOSE_S = 5.0


async def open_in(state: Path) -> Store:
    """Raises BadInput."""
    try:
        return await open_store(state / FILE)
    except StoreError as error:
        raise BadInput(str(error)) from None


@asynccontextmanager
async def stored(state: Path) -> AsyncIterator[Store]:
    """Raises BadInput where there is no store, or none that can be opened."""
    if not await anyio.Path(state / FILE).exists():
        raise BadInput(f"there is no run in {state} yet")
    async with opened(state) as store:
        yield store


@asynccontextmanager
async def opened(state: Path) -> AsyncIterator[Store]:
    """The same, made where there is none. Raises BadInput."""
    store = await open_in(state)
    try:
        yield store
    finally:
        with anyio.move_on_after(CLOSE_S, shield=True):
            await store.close()


async def find_run(store: Store, run: str | None) -> RunRecord:
    """A run by its id, or the latest. Raises BadInput."""
    record = await (store.runs.get(run) if run else store.runs.latest())
    if record is None:
        raise BadInput(f"there is no run {run}; `keymuster runs` lists them" if run else "there is no run yet")
    return record
