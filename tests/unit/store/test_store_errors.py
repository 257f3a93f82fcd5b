"""Every way in which a store cannot work ends in a StoreError that says what to do."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import anyio
import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from appliance.contract import Account
from orchestrator.permit_ledger import EntryKind, LedgerEntry
from orchestrator.store import RunRecord, RunState, Store, StoreError, open_store
from orchestrator.store.errors import translate


def run(snapshot: str = "") -> RunRecord:
    return RunRecord("r1", "quarterly", 1.0, RunState.QUEUED, 1, {"campaign": {"name": snapshot}})


def modes(directory: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mode & 0o777 for path in directory.iterdir()}


async def limit(store: Store, pages: int) -> None:
    """Let the store's file grow no further than this: what a full disk looks like."""
    pragma = text(f"PRAGMA max_page_count={pages}")
    await store._databases[0].read(lambda connection: connection.execute(pragma))


async def test_a_full_disk(tmp_path: Path) -> None:
    store = await open_store(tmp_path / "store.db")
    await limit(store, 1)
    with pytest.raises(
        StoreError, match=r"store .*store\.db: its disk is full; free some space, then do this again, or"
    ):
        await store.runs.add(run("x" * 1_000_000))
    assert await store.runs.all() == [], "nothing of it was written"
    await limit(store, 1_000_000)
    await store.runs.add(run())
    assert len(await store.runs.all()) == 1, "and it goes on once there is space"
    await store.close()


async def test_a_directory_in_place_of_a_file(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"Is a directory; check that its directory exists and is writable"):
        await open_store(tmp_path)


async def test_a_path_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"file/store\.db: Not a directory"):
        await open_store(tmp_path / "file" / "store.db")


async def test_a_missing_directory(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"No such file or directory; check that its directory exists"):
        await open_store(str(tmp_path / "gone" / "store.db"))


async def test_a_read_only_store(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    await (await open_store(path)).close()
    store = await open_store(f"sqlite:///file:{path}?mode=ro&uri=true")
    assert await store.runs.all() == []
    with pytest.raises(StoreError, match="it is not writable; check the owner and mode"):
        await store.runs.add(run())
    await store.close()


async def test_an_empty_read_only_store(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    path.touch()
    with pytest.raises(StoreError, match="it is not writable"):
        await open_store(f"sqlite:///file:{path}?mode=ro&uri=true")


async def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "campaign.toml"
    path.write_text('name = "quarterly"\n' * 100)
    with pytest.raises(StoreError, match="it is no Keymuster store; move the file away, or name another"):
        await open_store(path)
    assert path.read_text().startswith("name")


async def test_a_store_that_another_process_holds(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = await open_store(path, busy_timeout=0.01)
    with closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN IMMEDIATE")
        entry = LedgerEntry(EntryKind.GRANTED, Account(authority="dir:corp", user="scan"), "r1", "j1", 1, 1.0)
        with pytest.raises(StoreError, match="locked by another process; end that process, or wait"):
            await store.ledger.append([entry])
        with pytest.raises(StoreError, match="locked by another process"):
            await store.runs.add(run())
        assert await store.runs.all() == [], "readers are not held up"
    await store.runs.add(run())
    await store.close()


@pytest.mark.parametrize(
    ("where", "message"),
    [
        (
            "mysql://u:pw@db/keymuster",
            r"mysql://u:\*\*\*@db/keymuster: no such store is supported; give a path, sqlite",
        ),
        ("oracle+x://u:pw@db/keymuster", "no such store is supported"),
        ("sqlite://", "no such store is supported"),
        ("sqlite:///:memory:", "no such store is supported"),
        ("://", "this is no database URL"),
        ("postgresql://u:pw@db:port/keymuster", "this is no database URL"),
        ("postgresql://u:pw@db", "it names no database; write postgresql://USER@HOST/DATABASE"),
        ("postgresql://u:pw@db/k?sslmode=prefer", "sslmode=prefer is not supported; choose one of disable, require"),
        ("postgresql://u:pw@db/k?pool=3", "'pool' is no setting of it; there are host, sslmode"),
        ("postgresql://u:pw@db/k?sslmode=require&sslmode=disable", "each setting is given once"),
        ("postgresql://u:pw@db/k?host=/run", "is for the directory of a Unix socket"),
        ("postgresql:///k?host=/run&sslmode=require", "a Unix socket has no TLS; leave sslmode out"),
        ("postgresql://u:pw@db/k?sslrootcert=/gone/ca.pem", "there is no file /gone/ca.pem"),
        ("postgresql://u:pw@db/k?sslkey=/gone/key.pem", "sslkey needs sslcert"),
    ],
)
async def test_a_url_that_names_no_store(where: str, message: str) -> None:
    with pytest.raises(StoreError, match=message) as caught:
        await open_store(where)
    assert "pw" not in str(caught.value)


async def test_the_store_is_its_owners_only(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = await open_store(path)
    await store.runs.add(run())
    assert modes(tmp_path) == {"store.db": 0o600, "store.db-shm": 0o600, "store.db-wal": 0o600}
    await store.close()


async def test_two_that_open_a_new_store_at_once_both_get_it(tmp_path: Path) -> None:
    stores: list[Store] = []

    async def open_it() -> None:
        stores.append(await open_store(tmp_path / "100%.db"))

    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(open_it)
    await stores[0].runs.add(run())
    assert [len(await store.runs.all()) for store in stores] == [1, 1, 1]
    for store in stores:
        await store.close()


async def test_the_ledger_reaches_the_disk_and_the_rest_need_not(tmp_path: Path) -> None:
    store = await open_store(tmp_path / "store.db")
    found = []
    for database in (store.runs._database, store.ledger._database):
        mode = await database.read(lambda c: c.execute(text("PRAGMA journal_mode")).scalar_one())
        found.append((mode, await database.read(lambda c: c.execute(text("PRAGMA synchronous")).scalar_one())))
    await store.close()
    assert found == [("wal", 1), ("wal", 2)]  # NORMAL, FULL


def test_a_servers_own_words_are_kept_and_the_statement_is_not() -> None:
    error = OperationalError("INSERT INTO runs", {"seed": 1}, ConnectionResetError("connection reset by peer"))
    told = translate(error, "postgresql://db/keymuster")
    assert isinstance(told, StoreError)
    assert str(told) == "store postgresql://db/keymuster: the database says: connection reset by peer"
