"""Open a store: make the file, set up the connections, bring the schema up to date."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import anyio
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from orchestrator.store.attempts import Attempts
from orchestrator.store.condition import Condition, condition_of, leave_no_trace
from orchestrator.store.database import Database, StoreEngine
from orchestrator.store.errors import StoreBusyError, StoreError
from orchestrator.store.fleet import FleetTable
from orchestrator.store.host_keys import HostKeys
from orchestrator.store.leases import Fences, Leases
from orchestrator.store.ledger import Ledger
from orchestrator.store.records import ApprovalRow, CheckOutRow
from orchestrator.store.remainders import Remainders
from orchestrator.store.run_secrets import RunSecrets
from orchestrator.store.runs import Runs
from orchestrator.store.schedules import Schedules
from orchestrator.store.schema import approvals, check_outs
from orchestrator.store.searches import Searches
from orchestrator.store.sqlite import SqliteEngine
from orchestrator.store.stops import StopTable
from orchestrator.store.timings import Timings
from orchestrator.store.unlisted import Unlisted
from orchestrator.store.upgrade import upgrade

OPENING_S, RETRY_S = 2.0, 0.05
_URLS = "sqlite:///PATH or postgresql://USER@HOST/DATABASE"
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
    fleet: FleetTable
    leases: Leases
    fences: Fences
    unlisted: Unlisted
    _databases: tuple[Database, ...]

    async def condition(self) -> Condition:
        return await condition_of(self._databases[0])

    async def check_writable(self) -> None:
        """Write, and leave nothing behind. Raises StoreError."""
        await self._databases[0].write(leave_no_trace)

    async def close(self) -> None:
        for database in self._databases:
            await database.close()


async def open_store(where: str | Path, *, password: str | None = None, busy_timeout: float = BUSY_TIMEOUT_S) -> Store:
    """Open the store in a file (made if it is not there, for its owner only), or at a `sqlite:///` or `postgresql://`
    URL. `password`: the PostgreSQL user's, where neither the URL nor a .pgpass file has it.

    Raises StoreError: not writable, no store, of a newer release, locked by another process, or not to be reached.
    """
    url = _url(where)
    if url.get_backend_name() == "postgresql":
        return await _open_server(url, password)
    if not url.query:
        await anyio.to_thread.run_sync(_make_private, Path(str(url.database)))
    with anyio.move_on_after(OPENING_S):
        while True:
            try:
                return await _open_file(url, busy_timeout)
            except StoreBusyError:
                # SQLite's own waiting does not cover the switch of a new file to WAL: the loser is refused at once.
                await anyio.sleep(RETRY_S)
    return await _open_file(url, busy_timeout)


async def _open_file(url: URL, busy_timeout: float) -> Store:
    def engine(synchronous: str) -> StoreEngine:
        return SqliteEngine(url, busy_timeout=busy_timeout, synchronous=synchronous)

    writers = anyio.Lock()
    main, durable = Database(engine("NORMAL"), writers), Database(engine("FULL"), writers)
    return await _up_to_date(main, durable, lambda: engine("FULL"))


async def _open_server(url: URL, password: str | None) -> Store:
    make = await anyio.to_thread.run_sync(_server_engine, url, password)
    engine = make()
    # Every commit is durable there; the ledger has a lock of its own, so that a permit waits for no batch of outcomes.
    return await _up_to_date(Database(engine, anyio.Lock()), Database(engine, anyio.Lock()), make)


def _server_engine(url: URL, password: str | None) -> Callable[[], StoreEngine]:
    """In a thread: what it loads and reads would hold up the loop."""
    from orchestrator.store.server_address import server_address  # noqa: PLC0415

    address = server_address(url, password)
    try:
        from orchestrator.store.postgresql import PostgresEngine  # noqa: PLC0415 - an extra
    except ModuleNotFoundError:
        raise StoreError(
            f"store {address.name}: PostgreSQL needs asyncpg, which is not installed: pip install keymuster[postgres]"
        ) from None
    tls = address.tls()
    return lambda: PostgresEngine(address, tls)


async def _up_to_date(main: Database, durable: Database, new_engine: Callable[[], StoreEngine]) -> Store:
    fences = Fences()
    store = Store(
        runs=Runs(main, durable, fences),
        attempts=Attempts(main, fences),
        remainders=Remainders(main, fences),
        ledger=Ledger(durable),
        host_keys=HostKeys(main),
        check_outs=RunSecrets(durable, check_outs, CheckOutRow),
        approvals=RunSecrets(durable, approvals, ApprovalRow, same=("request",)),
        stops=StopTable(durable),
        schedules=Schedules(durable),
        searches=Searches(durable),
        timings=Timings(main),
        fleet=FleetTable(durable),
        leases=Leases(durable),
        fences=fences,
        unlisted=Unlisted(main),
        _databases=(main, durable),
    )
    try:
        await upgrade(main, new_engine)
    except BaseException:  # cancellation too: connections are threads
        await store.close()
        raise
    return store


def _url(where: str | Path) -> URL:
    if isinstance(where, Path) or "://" not in where:
        return URL.create("sqlite", database=str(where))
    try:
        url = make_url(where)
    except (ArgumentError, ValueError):
        raise StoreError(f"store: this is no database URL; give a path, {_URLS}") from None
    if url.drivername in {"postgresql", "postgres"}:
        return url.set(drivername="postgresql")
    if url.drivername != "sqlite" or url.database in {None, "", ":memory:"}:
        # A store in memory would be another one on each connection, and gone with the process.
        raise StoreError(f"store {url.render_as_string()}: no such store is supported; give a path, {_URLS}")
    return url


def _make_private(path: Path) -> None:
    try:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | getattr(os, "O_CLOEXEC", 0), 0o600))
    except OSError as error:
        raise StoreError(f"store {path}: {error.strerror}; check that its directory exists and is writable") from None
