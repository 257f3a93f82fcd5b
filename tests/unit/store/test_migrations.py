"""The schema is the sum of the migrations, and a store of another release is upgraded or refused."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, make_url
from sqlalchemy.schema import CreateIndex, CreateTable

from orchestrator.store import StoreError, open_store
from orchestrator.store.migrating import configuration
from orchestrator.store.schema import HEAD, metadata


def statements(path: Path) -> dict[str, str]:
    """Name -> the statement SQLite remembers it by, white space aside."""
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    return {name: " ".join(sql.split()) for name, sql in rows}


async def test_the_schema_is_the_sum_of_the_migrations(tmp_path: Path) -> None:
    migrated, declared = tmp_path / "migrated.db", tmp_path / "declared.db"
    store = await open_store(migrated)
    await store.close()
    engine = create_engine(f"sqlite:///{declared}")
    metadata.create_all(engine)
    engine.dispose()
    found = statements(migrated)
    assert found.pop("alembic_version")
    assert found == statements(declared)


async def test_alembic_finds_nothing_to_add(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = await open_store(path)
    await store.close()
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


def test_head_is_the_last_migration() -> None:
    assert ScriptDirectory.from_config(configuration()).get_heads() == [HEAD]


def test_the_tables_can_be_made_in_postgresql() -> None:
    dialect = make_url("postgresql://").get_dialect()()
    for table in metadata.tables.values():
        assert str(CreateTable(table).compile(dialect=dialect)).strip().startswith(f"CREATE TABLE {table.name}")
        for index in table.indexes:
            assert str(CreateIndex(index).compile(dialect=dialect)).startswith(f"CREATE INDEX {index.name}")


async def test_a_store_that_is_behind_is_upgraded(tmp_path: Path) -> None:
    """An empty version table is what a store looks like before its first step."""
    path = tmp_path / "store.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
        connection.commit()
    store = await open_store(path)
    assert await store.runs.all() == []
    await store.close()
    assert "runs" in statements(path)


async def test_a_newer_store_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = await open_store(path)
    await store.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()
    before = statements(path)
    with pytest.raises(StoreError, match=r"a newer Keymuster made it \(schema 9999\); use that release"):
        await open_store(path)
    assert statements(path) == before


async def test_another_programs_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE bookmarks (url TEXT)")
        connection.commit()
    with pytest.raises(StoreError, match="some other program's database; name another file"):
        await open_store(path)
    assert list(statements(path)) == ["bookmarks"]
