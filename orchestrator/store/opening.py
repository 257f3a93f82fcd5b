"""Open a store: make the file, set up the connections, bring the schema up to date."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import anyio
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from orchestrator.store.attempts import Attempts
from orchestrator.store.condition import Condition, condition_of
from orchestrator.store.database import Database, make_engine
from orchestrator.store.errors import StoreBusyError, StoreError
from orchestrator.store.host_keys import HostKeys
from orchestrator.store.ledger import Ledger
from orchestrator.store.records import ApprovalRow, CheckOutRow
from orchestrator.store.remainders import Remainders
from orchestrator.store.run_secrets import RunSecrets
from orchestrator.store.runs import Runs
from orchestrator.store.schedules import Schedules
from orchestrator.store.schema import approvals, check_outs
from orchestrator.store.searches import Searches
from orchestrator.store.stops import StopTable
from orchestrator.store.timings import Timings
from orchestrator.store.upgrade import upgrade

OPENING_S, RETRY_S = 2.0, 0.05
BUSY_TIMEOUT_S = 5.0
"""How long another process may hold the store before that is an error."""


@dataclass(frozen=True, slots=True)
class Store:
    """What survives: runs, attempts and outcomes, the permit ledger, known host keys, stops. Made by `open_store`.

    Every method raises StoreError when the store cannot do it; what was not written then was not written at all.
    """

    runs: Runs
    attempts: Attempts
    remainders: Remainders
    ledger: Ledger
    host_keys: HostKeys
    check_outs: RunSecrets[CheckOutRow]
    approvals: RunSecrets[ApprovalRow]
    stops: StopTable
    schedules: Schedules
    searches: Searches
    timings: Timings
    _databases: tuple[Database, ...]

    async def condition(self) -> Condition:
        return await condition_of(self._databases[0])

    async def close(self) -> None:
        for database in self._databases:
            await database.close()


async def open_store(where: str | Path, *, busy_timeout: float = BUSY_TIMEOUT_S) -> Store:
    """Open the store in a file (made if it is not there, for its owner only), or at a `sqlite:///` URL.

    Raises StoreError: not writable, no store, of a newer release, or locked by another process.
    """
    url = _url(where)
    if not url.query:
        await anyio.to_thread.run_sync(_make_private, Path(str(url.database)))
    with anyio.move_on_after(OPENING_S):
        while True:
            try:
                return await _open(url, busy_timeout)
            except StoreBusyError:
                # SQLite's own waiting does not cover the switch of a new file to WAL: the loser is refused at once.
                await anyio.sleep(RETRY_S)
    return await _open(url, busy_timeout)


async def _open(url: URL, busy_timeout: float) -> Store:
    writers = anyio.Lock()
    main = Database(make_engine(url, busy_timeout=busy_timeout, synchronous="NORMAL"), writers)
    durable = Database(make_engine(url, busy_timeout=busy_timeout, synchronous="FULL"), writers)
    store = Store(
        runs=Runs(main, durable),
        attempts=Attempts(main),
        remainders=Remainders(main),
        ledger=Ledger(durable),
        host_keys=HostKeys(main),
        check_outs=RunSecrets(durable, check_outs, CheckOutRow),
        approvals=RunSecrets(durable, approvals, ApprovalRow),
        stops=StopTable(durable),
        schedules=Schedules(durable),
        searches=Searches(durable),
        timings=Timings(main),
        _databases=(main, durable),
    )
    try:
        await upgrade(main, url, busy_timeout)
    except BaseException:  # cancellation too: connections are threads
        await store.close()
        raise
    return store


def _url(where: str | Path) -> URL:
    if isinstance(where, Path) or "://" not in where:
        return URL.create("sqlite", database=str(where))
    try:
        url = make_url(where)
    except ArgumentError:
        raise StoreError(f"store {where!r}: this is no database URL; give a path, or sqlite:///PATH") from None
    if url.get_backend_name() != "sqlite" or url.database in {None, "", ":memory:"}:
        # A store in memory would be another one on each connection, and gone with the process.
        raise StoreError(
            f"store {url.render_as_string()}: only SQLite files are supported; give a path, or sqlite:///PATH"
        )
    return url.set(drivername="sqlite")


def _make_private(path: Path) -> None:
    try:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | getattr(os, "O_CLOEXEC", 0), 0o600))
    except OSError as error:
        raise StoreError(f"store {path}: {error.strerror}; check that its directory exists and is writable") from None
