"""The store of a command by itself: beside a process that holds the state directory, or without one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import anyio.to_thread

from orchestrator.cli.arguments import Home
from orchestrator.cli.errors import BadInput
from orchestrator.store import Store, StoreError, open_store
from orchestrator.store.records import RunRecord

FILE = "keymuster.db"
CLOSE_S = 5.0


async def is_there(home: Home) -> bool:
    """Whether there can be runs: a server is asked when it is opened."""
    return home.store is not None or await anyio.Path(home.state / FILE).exists()


async def open_in(home: Home) -> Store:
    """Raises BadInput."""
    told = home.store
    try:
        if told is None:
            await anyio.Path(home.state).mkdir(mode=0o700, parents=True, exist_ok=True)
            return await open_store(home.state / FILE)
        password = told.password
        if password is None and told.keyring:
            from orchestrator.cli.secret_references import from_keyring  # noqa: PLC0415 - few stores have theirs there

            password = await anyio.to_thread.run_sync(from_keyring, told.keyring, f"store {told.where}", "password")
        return await open_store(told.where, password=password)
    except StoreError as error:
        raise BadInput(str(error)) from None
    except OSError as error:
        raise BadInput(
            f"the state directory {home.state} cannot be used ({error.strerror}): make it writable for you, or name "
            "another one with --state"
        ) from None


@asynccontextmanager
async def stored(home: Home) -> AsyncIterator[Store]:
    """Raises BadInput where there is no store, or none that can be opened."""
    if not await is_there(home):
        raise BadInput(f"there is no run in {home.state} yet")
    async with opened(home) as store:
        yield store


@asynccontextmanager
async def opened(home: Home) -> AsyncIterator[Store]:
    """The same, made where there is none. Raises BadInput."""
    store = await open_in(home)
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
