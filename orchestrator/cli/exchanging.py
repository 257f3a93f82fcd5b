"""`export` and `import`: a run leaves a store as NDJSON, and comes into another."""

from __future__ import annotations

import secrets
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import anyio
import anyio.to_thread

from orchestrator.cli.arguments import Home
from orchestrator.cli.errors import BadInput, Exit
from orchestrator.cli.output import check_output, written_to
from orchestrator.cli.storing import find_run, opened, stored
from orchestrator.exchange import ExchangeError, Reader, exported, may_be_moved
from orchestrator.run_state import RunState
from orchestrator.store import Store, StoreError
from orchestrator.store.unlisted import TwiceError

BATCH = 1000


async def export_run(home: Home, run: str | None, file: Path | None) -> Exit:
    await anyio.to_thread.run_sync(check_output, file)
    async with stored(home) as store:
        record = await find_run(store, run)
        if not may_be_moved(record.state):
            or_pause = "" if record.state is RunState.CANCELLING else ", or `keymuster pause` it first"
            raise BadInput(f"run {record.id} is {record.state.value}: export it when it has ended{or_pause}")
        row = await store.unlisted.run_row(record.id)
        assert row is not None  # noqa: S101 - it has been found, and runs that have ended are not pruned meanwhile
        with written_to(file, "; write the export anew") as out:
            async for text in exported(store.unlisted, row):
                out.write(text)
    if not record.state.over:
        sys.stderr.write(
            f"run {record.id} is {record.state.value}, and may go on in one store only: when it has been imported, "
            f"`keymuster cancel {record.id}` here\n"
        )
    return Exit.OK


async def import_run(home: Home, file: Path) -> Exit:
    """Nothing of it is there before all of it is."""
    with _lines(file) as lines:
        reader = Reader(lines)
        try:
            row = await anyio.to_thread.run_sync(reader.header)
            async with opened(home) as store:
                await _brought_in(store, reader, str(row["id"]))
        except ExchangeError as error:
            raise BadInput(f"{file}: {error}") from None
    goes_on = "" if RunState(row["state"]).over else f", and `keymuster resume {row['id']}` goes on with it"
    sys.stderr.write(f"run {row['id']} imported; `keymuster report {row['id']}` shows it{goes_on}\n")
    return Exit.OK


async def _brought_in(store: Store, reader: Reader, run: str) -> None:
    """Raises ExchangeError, BadInput."""
    token, whole = secrets.token_hex(8), False
    try:
        await store.unlisted.begin(run, token, time.time())
    except StoreError as error:
        raise BadInput(str(error)) from None
    batches = reader.batches(BATCH)
    try:
        while (batch := await anyio.to_thread.run_sync(next, batches, None)) is not None:
            await store.unlisted.put(run, token, time.time(), *batch)
        await store.unlisted.finish(run, token, time.time(), reader.run)
        whole = True
    except TwiceError as error:
        raise ExchangeError(f"line {reader.number}, or one of the {BATCH} before it: {error}") from None
    except StoreError as error:
        raise BadInput(f"nothing was imported: {error}") from None
    finally:
        if not whole:
            # Where even that fails, `runs prune` clears up.
            with anyio.CancelScope(shield=True), suppress(StoreError):
                await store.unlisted.drop(run, token, time.time())


@contextmanager
def _lines(file: Path) -> Iterator[Iterator[str]]:
    """Of a file, or of stdin (`-`). Raises BadInput."""
    if str(file) == "-":
        yield iter(sys.stdin)
        return
    try:
        with file.open(encoding="utf-8") as lines:
            yield iter(lines)
    except OSError as error:
        raise BadInput(f"cannot read {file}: {error.strerror}") from None
